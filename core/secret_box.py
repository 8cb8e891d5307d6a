"""Encrypt secrets that the database must keep, with a key in a file beside the other keys.

Somebody who reads the database or a backup of it cannot use the secrets without the file.
"""

import base64
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.atomic_write import create_private
from core.settings import PREFIX, WrongSettings

_KEY_BYTES, _NONCE_BYTES = 32, 12


class SecretBox:
    """Encrypts texts by AES-256-GCM. Every text is bound to its owner, such as the key of its row."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def encrypt(self, text: str, owner: str) -> str:
        """Return the encrypted text, as base64url."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return base64.urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), owner.encode())).decode()

    def decrypt(self, encrypted: str, owner: str) -> str | None:
        """Return the text; None if it was encrypted with another key or for another owner, or was changed."""
        try:
            raw = base64.urlsafe_b64decode(encrypted)
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], owner.encode()).decode()
        except (InvalidTag, ValueError):
            return None


def open_secret_box(path: Path) -> SecretBox:
    """Return the box with the key in the file, and create the file if it is missing.

    Of several programs that start at the same time, one creates the file. Raises WrongSettings if the file cannot be
    read or created, or has no key.
    """
    where = f"{PREFIX}SECRETS_KEY={path}"
    try:
        if not path.exists():
            with suppress(FileExistsError):
                create_private(path, base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode() + "\n")
        key = base64.b64decode(path.read_text(encoding="ascii").strip(), altchars=b"-_", validate=True)
    except (OSError, ValueError) as error:
        raise WrongSettings(f"{where}: the key cannot be read: {error}") from error
    if len(key) != _KEY_BYTES:
        raise WrongSettings(f"{where}: the file must have a key of {_KEY_BYTES} bytes as base64url")
    return SecretBox(key)
