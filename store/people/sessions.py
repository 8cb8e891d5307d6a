"""Browser sessions of signed-in people. A session is a random token; only the hash of the token is stored.

A session refers to the token, password or passkey with which it began, and is looked up together with it. So a session
always ends when its token is revoked, its password is changed or its passkey is removed, even if this happens at the
same time as the sign-in.
"""

import secrets
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Row, and_, delete, exists, insert, select, update

from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.people import page_preferences, passwords, people
from store.people.people import Person
from store.people.person_lock import locked
from store.people.secret_hash import secret_hash
from store.tables.notifications import account_news
from store.tables.people import passkeys, passwords as stored_passwords, sessions, tokens

LONGEST = timedelta(hours=24)
"""The longest time from the sign-in to the end of a session. After this time the person must sign in again."""


class Session(BaseModel):
    """One of a person's sessions, without its secret."""

    model_config = ConfigDict(from_attributes=True)

    hash: str
    person: str
    way: str
    """How the person signed in: `password`, `passkey`, `token` or `demo`."""
    agent: str
    zone: str | None
    begun_at: datetime
    ends_at: datetime
    credential: str | None = None
    """What the session began with: a digest of the token (`tokens.credential_of`) or password
    (`passwords.credential_of`), or the id of the passkey.
    """


class SignedIn(BaseModel):
    """The person who reads a page, and their display settings."""

    session: Session
    person: Person
    preferences: dict[str, str]
    must_change: bool
    """True if another person chose the password with which the person signed in, so that the person must change it."""
    news: bool = False
    """True if there are unread notifications about the person's account."""


async def begin(
    conn: AsyncConnection,
    person: Person,
    way: str,
    now: datetime,
    lasts: timedelta,
    *,
    agent: str = "",
    zone: str | None = None,
    credential: str | None = None,
) -> str:
    """Create a session and return its token. Only the hash is stored, so the token cannot be read again.

    Sessions that have ended are deleted.

    A session begun by `token`, `password` or `passkey` lasts no longer than that `credential`. For a session begun by
    `demo`, the gateway checks that the secret of the demo is still the secret with which the session began.
    """
    token = secrets.token_urlsafe(32)
    try:
        people.zone_of(zone)
    except ValueError:
        zone = None
    row = {
        "hash": secret_hash(token),
        "person": person.id,
        "way": way,
        "agent": agent[:200],
        "zone": zone,
        "begun_at": now,
    }
    row["credential"] = credential
    await conn.execute(delete(sessions).where(sessions.c.ends_at <= now))
    await conn.execute(insert(sessions).values(**row, ends_at=now + lasts))
    summary = f"{person.name} signed in by {way}"
    await audit_log.note(conn, "signed_in", by=person.id, summary=summary, data={"person": person.id, "way": way})
    return token


async def by_token(conn: AsyncConnection, token: str, now: datetime) -> SignedIn | None:
    """Return the person to whom a session belongs.

    Return None if the session is unknown or has ended, or if the person is not active.
    """
    row = (await conn.execute(_SESSION.where(sessions.c.hash == secret_hash(token)))).one_or_none()
    if row is None or row.ends_at <= now or not _lives(row, now):
        return None
    person = await people.acting(conn, row.person, now)
    if person is None:
        return None
    chosen = await page_preferences.of(conn, person.id)
    given = row.way == "password" and bool(row.temporary)
    session = Session.model_validate(row)
    return SignedIn(session=session, person=person, preferences=chosen, must_change=given, news=row.news)


_SESSION = (
    select(
        sessions,
        tokens.c.hash.label("token"),
        tokens.c.expires_at.label("token_ends_at"),
        stored_passwords.c.hash.label("password"),
        stored_passwords.c.temporary,
        passkeys.c.passkey_id.label("passkey"),
        exists().where(account_news.c.person == sessions.c.person, account_news.c.seen_at.is_(None)).label("news"),
    )
    .outerjoin(tokens, and_(tokens.c.hash == sessions.c.credential, tokens.c.revoked_at.is_(None)))
    .outerjoin(stored_passwords, stored_passwords.c.person == sessions.c.person)
    .outerjoin(passkeys, and_(passkeys.c.passkey_id == sessions.c.credential, passkeys.c.removed_at.is_(None)))
)


def _lives(row: Row[Any], now: datetime) -> bool:
    """Return True if the token, password or passkey with which the session in this row began is still valid."""
    match row.way:
        case "token":
            return row.token is not None and (row.token_ends_at is None or row.token_ends_at > now)
        case "passkey":
            return row.passkey is not None
        case "password":
            return row.password is not None and passwords.credential_of(row.password) == row.credential
        case _:
            return True


async def extend(conn: AsyncConnection, session: Session, now: datetime, lasts: timedelta) -> datetime:
    """Extend a session by `lasts`, but at most to one day after the sign-in. Return the new end of the session."""
    ends_at = min(now + lasts, session.begun_at + LONGEST)
    await conn.execute(update(sessions).where(sessions.c.hash == session.hash).values(ends_at=ends_at))
    return ends_at


async def end(conn: AsyncConnection, session: Session) -> None:
    """End this session, which signs the person out in one browser."""
    # The event first: signing out everywhere locks the audit log before this row, too.
    data = {"person": session.person, "way": session.way}
    await audit_log.note(conn, "signed_out", by=session.person, summary=f"{session.person} signed out", data=data)
    await conn.execute(delete(sessions).where(sessions.c.hash == session.hash))


async def end_all(conn: AsyncConnection, person: str, by: str) -> int:
    """End all sessions of the person, in every browser. Return the number of sessions that were ended.

    Raises UnknownPerson.
    """
    await locked(conn, person)
    named = await people.get(conn, person)
    gone = await conn.execute(delete(sessions).where(sessions.c.person == person))
    summary = f"{named.name} was signed out everywhere"
    await audit_log.note(conn, "signed_out_everywhere", by=by, summary=summary, data={"person": person})
    return gone.rowcount


async def replace_password(conn: AsyncConnection, person: str, hashed: str, now: datetime, by: str) -> None:
    """Set the password hash, reset the count of failed attempts and end all sessions of the person.

    Raises UnknownPerson.
    """
    await passwords.put(conn, person, hashed, now, by=by)
    await passwords.unlock(conn, person, by=by)
    await end_all(conn, person, by=by)


async def of(conn: AsyncConnection, person: str, now: datetime) -> list[Session]:
    """Return the sessions of the person that have not ended, newest first."""
    query = select(sessions).where(sessions.c.person == person, sessions.c.ends_at > now)
    found = await conn.execute(query.order_by(sessions.c.begun_at.desc(), sessions.c.hash))
    return [Session.model_validate(row) for row in found]
