"""Read and write the file of payload keys, which wrap the data keys of cases.

    [keys.k-20261201-4f2a]
    key = "base64url, 32 bytes"
    created_at = 2026-12-01T09:00:00Z

The first key of the file is the current one. Payload keys encrypt no payloads: they only wrap data keys, so a new
current key needs no change in Temporal. The file is beside the programs, and not in the database: somebody who has the
database or a backup of it cannot unwrap the data keys.
"""

import base64
import fcntl
import logging
import os
import re
import secrets
import stat
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.atomic_write import create_private, write_private
from core.errors import PayloadKeyMissing
from core.file_state import state_of
from core.settings import PREFIX, WrongSettings

log = logging.getLogger("holdgate.keys")

SETTING = f"{PREFIX}PAYLOAD_KEYS"
CREATE = "`./holdgate payload-keys create` creates the file of a new installation"
_KEY_BYTES, _NONCE_BYTES = 32, 12
_ID = re.compile(r"[A-Za-z0-9._-]{1,60}")
_OTHERS = 0o077


class PayloadKey(NamedTuple):
    """One key of the file."""

    id: str
    secret: bytes
    created_at: datetime

    @classmethod
    def generate(cls) -> "PayloadKey":
        """Return a new random key, with the day in its id."""
        now = datetime.now(UTC).replace(microsecond=0)
        return cls(f"k-{now:%Y%m%d}-{secrets.token_hex(2)}", secrets.token_bytes(_KEY_BYTES), now)


class Wrapped(NamedTuple):
    """A wrapped data key, and the id of the payload key that wraps it."""

    text: str
    key_id: str


class PayloadKeys:
    """The keys of a file, the current one first."""

    def __init__(self, keys: Iterable[PayloadKey]) -> None:
        self.keys = {key.id: key for key in keys}
        self._ciphers = {key.id: AESGCM(key.secret) for key in self.keys.values()}
        self.current = next(iter(self.keys))
        """The id of the key that wraps new data keys."""

    def wrap(self, data_key: bytes, owner: str) -> Wrapped:
        """Encrypt a data key with the current key. Only `unwrap` with the same owner can read the result."""
        nonce = os.urandom(_NONCE_BYTES)
        encrypted = nonce + self._ciphers[self.current].encrypt(nonce, data_key, owner.encode())
        return Wrapped(base64.urlsafe_b64encode(encrypted).decode(), self.current)

    def unwrap(self, wrapped: Wrapped, owner: str, subject: str) -> bytes:
        """Return a data key. Raises PayloadKeyMissing, also if the key of this id is another one."""
        cipher = self._ciphers.get(wrapped.key_id)
        if cipher is None:
            raise PayloadKeyMissing(wrapped.key_id, subject)
        try:
            raw = base64.urlsafe_b64decode(wrapped.text)
            return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], owner.encode())
        except (InvalidTag, ValueError):
            why = f"does not fit: the key of this id in {SETTING} is another one, or the row in case_keys was changed"
            raise PayloadKeyMissing(wrapped.key_id, subject, why) from None


class PayloadKeyFile:
    """The keys in a file, which is read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Read the keys. Raises WrongSettings if the file is missing, wrong, or readable by other users."""
        self.path = path
        self._seen = state_of(path)
        self._keys = read_payload_keys(path)

    def current(self) -> PayloadKeys:
        """Return the keys as the file has them now.

        If the file is missing or wrong now, this is logged, and the keys that were read before stay in use.
        """
        if (seen := state_of(self.path)) != self._seen:
            self._seen = seen
            try:
                self._keys = read_payload_keys(self.path)
                log.info("%s was read again; its current key is %s", self.path, self._keys.current)
            except WrongSettings as wrong:
                log.error("%s. The keys that were read before stay in use", wrong)
        return self._keys


def read_payload_keys(path: Path) -> PayloadKeys:
    """Return the keys in a file. Raises WrongSettings if it is missing, wrong, or readable by other users."""
    where = f"{SETTING}={path}"
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("keys", {})
        found = [_read(key_id, entry) for key_id, entry in entries.items()]
    except FileNotFoundError:
        raise WrongSettings(f"{where}: the file does not exist. Restore it from its backup; {CREATE}") from None
    except (OSError, ValueError, AttributeError) as error:
        raise WrongSettings(f"{where}: the keys cannot be read: {error}") from None
    if mode & _OTHERS:
        raise WrongSettings(f"{where}: other users can use the file (mode {mode:04o}). Run: chmod 600 {path}")
    if not found:
        raise WrongSettings(f"{where}: the file has no keys. Restore it from its backup; {CREATE}")
    return PayloadKeys(found)


def create_payload_keys(path: Path) -> PayloadKey:
    """Create the file of a new installation with one key. Raises FileExistsError."""
    key = PayloadKey.generate()
    create_private(path, _text([key]))
    return key


@contextmanager
def changed_payload_keys(path: Path) -> Iterator[list[PayloadKey]]:
    """Yield the keys of a file, and store the list when the block ends without an error.

    Other programs that change the file wait meanwhile. Raises WrongSettings.
    """
    keys = list(read_payload_keys(path).keys.values())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        keys = list(read_payload_keys(path).keys.values())
        yield keys
        write_private(path, _text(keys))
    finally:
        os.close(folder)


def _read(key_id: str, entry: Any) -> PayloadKey:
    """Return one key of a file. Raises ValueError, whose text does not have the key."""
    where = f"[keys.{key_id}]"
    if not _ID.fullmatch(key_id):
        raise ValueError(f"{where}: an id has 1 to 60 letters, digits, dots, dashes and underscores")
    try:
        secret = base64.b64decode(entry["key"].rstrip("=") + "=", altchars=b"-_", validate=True)
    except (KeyError, TypeError, AttributeError, ValueError):
        secret = b""
    if len(secret) != _KEY_BYTES:
        raise ValueError(f"{where}: `key` must be {_KEY_BYTES} bytes as base64url")
    created_at = entry.get("created_at")
    if not isinstance(created_at, datetime) or created_at.tzinfo is None:
        raise ValueError(f"{where}: `created_at` must be a time with its zone, such as 2026-12-01T09:00:00Z")
    return PayloadKey(key_id, secret, created_at)


def _text(keys: Iterable[PayloadKey]) -> str:
    lines = [
        "# Keys that encrypt the payloads of Holdgate in Temporal, the current key first. Change this file with",
        "# `./holdgate payload-keys`. Without a key, nobody can read the cases that need it. So keep a backup of this",
        "# file, apart from the backups of the databases.",
    ]
    for key in keys:
        text = base64.urlsafe_b64encode(key.secret).decode()
        made = key.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        lines += ["", f'[keys."{key.id}"]', f'key = "{text}"', f"created_at = {made}"]
    return "\n".join(lines) + "\n"
