"""The stored form of secrets: tokens of people and sessions, codes of one-time links, names typed at sign-in."""

import hashlib


def secret_hash(text: str) -> str:
    """Return the SHA-256 of a text in hex.

    The function accepts any text, also with unpaired surrogates, which a request of a stranger may contain.
    """
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
