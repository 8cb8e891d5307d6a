"""Read and write the files of signing keys: private keys as PEM, and the registry of public keys as TOML.

    [keys.0123456789abcdef]
    public_key = "base64url"
    role = "gateway"
    not_before = 2026-11-30T15:45:00Z
    retired_at = 2027-02-28T09:00:00Z

The registry is a file beside the workers, and not a table: otherwise, somebody who can write to the database could add
a key.
"""

import fcntl
import logging
import os
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from core.atomic_write import create_private, write_private
from core.file_state import state_of
from core.settings import PREFIX, Settings, WrongSettings
from domain.proof.keys import KeyRegistry, Role, SigningKey, TrustedKey

log = logging.getLogger("holdgate.keys")

MAKE = "`make up` or `./holdgate keys init` makes it"


class KeyFile:
    """The registry of public keys in a file, which is read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Read the registry. Raises WrongSettings if it is missing or wrong."""
        self._path = path
        self._seen = state_of(path)
        self.registry = read_registry(path)

    def current(self) -> KeyRegistry:
        """Return the registry as the file has it now. Workflows read `registry`, because they must not read files."""
        self.refresh()
        return self.registry

    def refresh(self) -> bool:
        """Read the file again if it has changed. Return True if the registry has changed.

        A file that is missing or wrong is logged, and changes nothing.
        """
        if (seen := state_of(self._path)) == self._seen:
            return False
        self._seen, before = seen, self.registry
        try:
            self.registry = read_registry(self._path)
        except WrongSettings as wrong:
            log.error("%s. The keys that were read before stay in use", wrong)
        return self.registry.keys != before.keys


def read_registry(path: Path) -> KeyRegistry:
    """Return the registry in a file. Raises WrongSettings if the file is missing or wrong."""
    where = f"{PREFIX}TRUSTED_KEYS={path}"
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("keys", {})
        keys = {key_id: TrustedKey.model_validate(entry) for key_id, entry in entries.items()}
    except FileNotFoundError:
        raise WrongSettings(f"{where}: the file does not exist; {MAKE}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise WrongSettings(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (OSError, ValueError, AttributeError) as error:
        raise WrongSettings(f"{where}: the registry of keys cannot be read: {error}") from error
    for key_id, key in keys.items():
        if key.key_id != key_id:
            raise WrongSettings(f"{where}: [keys.{key_id}] has the public key of {key.key_id}")
    if not keys:  # With an empty file, workers would refuse for ever each decision that Temporal keeps for them.
        raise WrongSettings(f"{where}: the file has no keys; restore it from a backup")
    return KeyRegistry(keys.values())


def write_registry(path: Path, keys: Iterable[TrustedKey]) -> None:
    """Replace the registry in a file. A reader sees the old registry or the new one, never a part."""
    lines = ["# Public keys of Holdgate: change this file with `./holdgate keys`."]
    for key in keys:
        lines += ["", f"[keys.{key.key_id}]"]
        for name, value in key.model_dump(exclude_none=True).items():
            shown = value.astimezone(UTC).isoformat() if isinstance(value, datetime) else f'"{value}"'
            lines.append(f"{name} = {shown}")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, "\n".join(lines) + "\n")


@contextmanager
def changed_registry(path: Path) -> Iterator[dict[str, TrustedKey]]:
    """Yield the keys of a registry by their ids, and store them when the block ends without an error.

    Other programs that change the registry wait meanwhile. Raises WrongSettings.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        keys = dict(read_registry(path).keys) if path.exists() else {}
        yield keys
        write_registry(path, keys.values())
    finally:
        os.close(folder)


def read_private_key(path: Path, setting: str) -> SigningKey:
    """Return the private key in a file. `setting` is the setting that names the file. Raises WrongSettings."""
    where = f"{PREFIX}{setting.upper()}={path}"
    try:
        return SigningKey.of_pem(path.read_bytes())
    except FileNotFoundError:
        raise WrongSettings(f"{where}: the file does not exist") from None
    except (OSError, ValueError) as error:
        raise WrongSettings(f"{where}: the private key cannot be read: {error}") from error


def own_key(settings: Settings, role: Role) -> SigningKey:
    """Return the private key with which a program signs. Raises WrongSettings, also if the registry has no such key."""
    setting = {Role.GATEWAY: "signing_key", Role.WORKER: "worker_key"}[role]
    path: Path = getattr(settings, setting)
    if not path.exists():
        add = f"`./holdgate keys add --role {role} --private {path}` creates a new key"
        missing = f"{PREFIX}{setting.upper()}={path}: the file does not exist"
        raise WrongSettings(f"{missing}; {add if settings.trusted_keys.exists() else MAKE}")
    key = read_private_key(path, setting)
    entry = read_registry(settings.trusted_keys).keys.get(key.key_id)
    if entry is None or entry.role is not role or entry.state != "valid":
        state = "unknown" if entry is None else entry.state if entry.role is role else f"a key of the {entry.role}"
        raise WrongSettings(
            f"{PREFIX}{setting.upper()}={path}: the key {key.key_id} is {state} in the registry "
            f"{settings.trusted_keys}, so no case would believe what it signs; see ./holdgate keys"
        )
    return key


def make_private_key(path: Path) -> SigningKey:
    """Create a private key in a file that only its owner can read. Raises FileExistsError."""
    key = SigningKey.generate()
    create_private(path, key.pem.decode())
    return key


def make_missing_keys(settings: Settings) -> list[str]:
    """Create the private keys and the registry, if this installation has none. Return the ids of the new keys.

    If the registry exists, nothing is created: a new key would be a key that nobody has asked for. If only the registry
    is missing, each private key is valid since its file was written, so that its earlier signatures stay valid. Raises
    OSError.
    """
    if settings.trusted_keys.exists():
        return []
    now, entries = datetime.now(UTC), []
    for role, path in ((Role.GATEWAY, settings.signing_key), (Role.WORKER, settings.worker_key)):
        key = SigningKey.of_pem(path.read_bytes()) if path.exists() else make_private_key(path)
        written = now - timedelta(seconds=max(0.0, now.timestamp() - path.stat().st_mtime))
        entries.append(key.trusted(role, written))
    write_registry(settings.trusted_keys, entries)
    return [entry.key_id for entry in entries]
