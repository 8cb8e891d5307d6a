"""How secrets are stored: tokens of people and of sessions, codes of one-time links, names typed at sign-in."""

import hashlib


def secret_hash(text: str) -> str:
    """The SHA-256 of a text in hex. The text may be whatever a stranger sends, halves of characters too."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
