"""Passwords, and the limit of sign-in attempts."""

import secrets
from datetime import datetime, timedelta
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, select, update

from domain.moments import moment_text
from domain.notification import AccountNewsKind
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import insert_into, insert_once
from store.notifications import account_news
from store.people import one_time_links, people
from store.people.person_lock import locked
from store.people.secret_hash import secret_hash
from store.tables.people import passwords, sign_in_tries

LEAST, MOST = 12, 200
"""The minimum and maximum number of characters of a password.

Only length is required, no mixture of characters (NIST SP 800-63B, 3.1.1.2).
"""
FREE = 5
"""How many failed attempts cause no delay. Further failed attempts cause delays of 2 s, 4 s, 8 s, ..., up to 15
minutes.
"""
LONGEST = timedelta(minutes=15)

_hasher = PasswordHasher()
"""argon2id with the library's parameters, which are those of RFC 9106 for little memory: about 50 ms."""


@cache
def _nobody() -> str:
    """Return a hash that `matches` checks when a person has no password.

    So the response time does not disclose whether the person has a password.
    """
    return _hasher.hash(secrets.token_urlsafe())


class TooManyAttempts(Exception):
    """Raised if too many attempts to sign in have failed. The person cannot try again before `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"too many attempts failed: try again after {moment_text(until, seconds=True)}")
        self.until = until


def matches(password: str, stored: str | None) -> bool:
    """Return True if the password is correct.

    `stored` is the stored hash; if it is None, the call takes the same time and returns False.

    The call blocks for about 50 ms of CPU time.
    """
    nobody = _nobody()  # created at the first sign-in, because it would delay every start
    try:
        return _hasher.verify(stored or nobody, password[:MOST]) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


def hash_of(password: str) -> str:
    """Return the hash of a new password, which is stored in its place.

    Raises ValueError for a password that is too short or too long, or has fewer than four different characters.
    """
    if not LEAST <= len(password) <= MOST:
        raise ValueError(f"choose a password with {LEAST} to {MOST} characters")
    if len(set(password)) < 4:
        raise ValueError("choose a password with at least four different characters")
    return _hasher.hash(password)


def temporary() -> str:
    """Return a random temporary password."""
    return secrets.token_urlsafe(12)


async def stored(conn: AsyncConnection, person: str) -> str | None:
    """Return the hash of the person's password; None if the person has no password."""
    found: str | None = await conn.scalar(select(passwords.c.hash).where(passwords.c.person == person))
    return found


def credential_of(stored: str) -> str:
    """Return the value that a session stores about the password that began it: a digest of the password hash."""
    return secret_hash(stored)


async def must_change(conn: AsyncConnection, person: str) -> bool:
    """Return True if another person set the password and the owner has not changed the password since."""
    return bool(await conn.scalar(select(passwords.c.temporary).where(passwords.c.person == person)))


async def put(conn: AsyncConnection, person: str, hashed: str, now: datetime, by: str) -> None:
    """Store the hash of the person's new password.

    If `by` is another person, the owner must change the password at the next sign-in. Raises UnknownPerson.
    """
    await locked(conn, person)
    named = await people.get_person(conn, person)
    row = {"person": person, "hash": hashed, "temporary": by != person, "changed_at": now}
    adding = insert_into(conn, passwords)
    kept = {name: adding.excluded[name] for name in row if name != "person"}
    await conn.execute(adding.on_conflict_do_update(index_elements=[passwords.c.person], set_=kept), [row])
    await one_time_links.void(conn, person, by=by, now=now)
    await account_news.tell(conn, person, AccountNewsKind.PASSWORD_SET, by)
    summary = f"The password of {named.name} was set"
    data = {"person": person, "sha256": credential_of(hashed), "temporary": by != person}
    await audit_log.note(conn, "password_set", by=by, summary=summary, data=data)


async def take_try(conn: AsyncConnection, key: str, now: datetime) -> int:
    """Count an attempt to sign in under this key, such as `name:ada`, and return the number of attempts.

    Call this before the password is checked, so that concurrent attempts count too.

    Raises TooManyAttempts if the person must wait before the next attempt.
    """
    hashed = _key(key)
    here = sign_in_tries.c.key == hashed
    more = update(sign_in_tries).where(here, sign_in_tries.c.next_at <= now)
    counted = more.values(number=sign_in_tries.c.number + 1).returning(sign_in_tries.c.number)
    number: int | None = await conn.scalar(counted)  # the row is locked until the end of the transaction
    if number is None:
        number = 1
        if not await insert_once(conn, sign_in_tries, {"key": hashed, "number": 1, "next_at": now}):
            raise TooManyAttempts((await conn.execute(select(sign_in_tries.c.next_at).where(here))).scalar_one())
    if number > FREE:
        wait = min(timedelta(seconds=2 ** min(number - FREE, 20)), LONGEST)
        await conn.execute(update(sign_in_tries).where(here).values(next_at=now + wait))
    return number


async def forget_tries(conn: AsyncConnection, *keys: str) -> None:
    """Delete the counts of failed attempts, after a successful sign-in or when an administrator unlocks the person."""
    hashed = [_key(key) for key in keys]
    await conn.execute(delete(sign_in_tries).where(sign_in_tries.c.key.in_(hashed)))


async def unlock(conn: AsyncConnection, person: str, by: str) -> None:
    """Allow the person to sign in again at once after too many failed attempts. Raises UnknownPerson."""
    named = await people.get(conn, person)
    names = [f"name:{name}" for name in (named.id, named.email) if name]
    await forget_tries(conn, *names, f"change:{person}")
    summary = f"{named.name} may try to sign in again"
    await audit_log.note(conn, "sign_in_unlocked", by=by, summary=summary, data={"person": person})


async def sweep(conn: AsyncConnection, now: datetime) -> None:
    """Delete the counts of failed attempts after a day without another attempt."""
    await conn.execute(delete(sign_in_tries).where(sign_in_tries.c.next_at < now - timedelta(days=1)))


def _key(key: str) -> str:
    return secret_hash(key.casefold())
