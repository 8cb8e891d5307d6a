"""The form in which idempotency keys of clients are stored."""

import hashlib


def scoped_key(person: str, client_key: str) -> str:
    """Return a client's Idempotency-Key scoped to the person who sent it, as a SHA-256 in hex.

    Without the scope, a person who sends the key of another person would get that person's answer.
    """
    return hashlib.sha256(f"{person}\n{client_key}".encode()).hexdigest()
