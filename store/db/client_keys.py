"""Idempotency keys of clients, as they are stored."""

import hashlib


def scoped_key(person: str, client_key: str) -> str:
    """Return a client's Idempotency-Key scoped to the person who sent it, as a SHA-256 in hex.

    Without the scope a person could use the key of another person and get their answer.
    """
    return hashlib.sha256(f"{person}\n{client_key}".encode()).hexdigest()
