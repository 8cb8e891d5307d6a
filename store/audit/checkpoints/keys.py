"""The key that signs checkpoints, in a file that only its owner can read.

A second file, beside the registry of public keys, has the public keys: a line for each key that this installation has
used. To change the key, move the private key away; the next start makes a new one. Older checkpoints can still be
checked, because the line of their key stays.
"""

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from core.atomic_write import create_private
from store.audit.checkpoints.note import SigningKey, VerifierKey

_OTHERS = 0o077


class WrongKey(ValueError):
    """Raised if the file of the key cannot be used. The text names the file and says why."""

    safe_to_log = True


def default_origin(public_url: str) -> str:
    """Return the name of the audit log of an installation whose gateway has this URL."""
    return f"{urlsplit(public_url).netloc.rpartition('@')[2]}/record"


def make(file: Path, public: Path, origin: str | None, default: str) -> VerifierKey:
    """Make a new key if the file is missing, and return the public key of the file. Add it to the file `public`.

    A new key gets the name `origin`, or `default` if that is None. Of two programs that make the key at the same time,
    one makes it. Raises WrongKey, also if the key of the file has another name than `origin`.
    """
    if not file.exists():
        try:
            with suppress(FileExistsError):
                create_private(file, SigningKey.new(origin or default).private_text() + "\n")
        except OSError as error:
            raise WrongKey(f"{file} cannot be written: {error.strerror}") from error
    known = read(file).verifier
    if origin is not None and known.name != origin:
        raise WrongKey(
            f"the key in {file} is named {known.name}, and HOLDGATE_RECORD_ORIGIN is {origin}. The name of an audit log"
            " stays: set HOLDGATE_RECORD_ORIGIN to the name of the key, or move the file away for a new key"
        )
    _publish(public, known)
    return known


def read(file: Path) -> SigningKey:
    """Return the private key. Raises WrongKey if the file is missing, cannot be read, or others can read it."""
    try:
        if file.stat().st_mode & _OTHERS:
            raise WrongKey(f"other users can read {file}: run chmod 600 {file}")
        return SigningKey.read(file.read_text())
    except OSError as error:
        raise WrongKey(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise WrongKey(f"{file} is no private key") from error
    except ValueError as error:
        raise error if isinstance(error, WrongKey) else WrongKey(f"{file} is no private key: {error}") from error


def _publish(public: Path, key: VerifierKey) -> None:
    """Add a public key to the file of public keys, unless it is there. Raises WrongKey."""
    try:
        if key not in trusted(public):
            public.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(public, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w") as into:
                into.write(f"{key}\n")
    except OSError as error:
        raise WrongKey(f"{public} cannot be written: {error.strerror}") from error


def trusted(public: Path) -> list[VerifierKey]:
    """Return the public keys in a file, oldest first; empty if there is no file. Raises WrongKey."""
    try:
        lines = public.read_text().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise WrongKey(f"{public} cannot be read: {error}") from error
    try:
        return [VerifierKey.read(line) for line in lines if line.strip()]
    except ValueError as error:
        raise WrongKey(f"{public} has a line that is no verifier key: {error}") from error
