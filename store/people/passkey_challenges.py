"""Random challenges that browsers sign with passkeys.

A challenge is in SQL, so that any gateway can take the answer. It is valid for a short time and for one answer only:
taking a challenge deletes its row.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, insert

from store.db.connection import AsyncConnection
from store.people.secret_hash import secret_hash
from store.tables.people import passkey_challenges

VALID_FOR = timedelta(minutes=5)
"""How long a person has to answer: to find the security key, or the phone."""


@dataclass(frozen=True)
class Challenge:
    """What a challenge was made for."""

    person: str | None
    """The person who adds a passkey; None for a sign-in, whose person is not known yet."""
    user_handle: str | None
    """For a new passkey: the text that the authenticator stores in place of the id of the person."""


async def make(
    conn: AsyncConnection, now: datetime, *, person: str | None = None, user_handle: str | None = None
) -> bytes:
    """Store a new challenge and return it. An earlier challenge for the same person, and expired ones, are deleted."""
    challenge = secrets.token_bytes(32)
    row = {"person": person, "user_handle": user_handle, "expires_at": now + VALID_FOR}
    await conn.execute(delete(passkey_challenges).where(passkey_challenges.c.expires_at <= now))
    if person is not None:
        await conn.execute(delete(passkey_challenges).where(passkey_challenges.c.person == person))
    await conn.execute(insert(passkey_challenges).values(hash=_hash_of(challenge), **row))
    return challenge


async def take(conn: AsyncConnection, challenge: bytes, now: datetime) -> Challenge | None:
    """Delete a challenge, and return what it was made for. Return None if it is unknown, expired or already taken."""
    its = passkey_challenges.c.hash == _hash_of(challenge)
    taking = delete(passkey_challenges).where(its, passkey_challenges.c.expires_at > now)
    row = (await conn.execute(taking.returning(passkey_challenges.c.person, passkey_challenges.c.user_handle))).first()
    return None if row is None else Challenge(row.person, row.user_handle)


def _hash_of(challenge: bytes) -> str:
    return secret_hash(challenge.hex())
