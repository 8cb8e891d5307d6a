"""Browser sessions of signed-in people. A session is a random token; only the hash of the token is stored.

A session refers to the token, password, passkey or account of a provider with which it began, and is looked up together
with it. So a session always ends when its token is revoked, its password is changed, its passkey is removed or its
account is disconnected, even if this happens at the same time as the sign-in.
"""

import secrets
from dataclasses import dataclass
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
from store.tables.people import identities, passkeys, passwords as stored_passwords, sessions, tokens

LONGEST = timedelta(hours=24)
"""The longest time from the sign-in to the end of a session. After this time the person must sign in again."""


class Session(BaseModel):
    """One of a person's sessions, without its secret."""

    model_config = ConfigDict(from_attributes=True)

    hash: str
    person: str
    way: str
    """How the person signed in: `password`, `passkey`, `token`, `demo`, `oidc` or `link`."""
    agent: str
    zone: str | None
    begun_at: datetime
    ends_at: datetime
    credential: str | None = None
    """What the session began with: a digest of the token (`tokens.credential_of`) or password
    (`passwords.credential_of`), or the id of the passkey.
    """
    issuer: str | None = None
    subject: str | None = None
    provider_session: str | None = None
    proved_at: datetime | None = None
    """For `oidc`: when the person last proved to the provider who they are. None: the provider does not say."""


@dataclass(frozen=True)
class ProviderSession:
    """What an identity provider says about a sign-in."""

    issuer: str
    subject: str
    session_id: str | None
    """The id of the provider's own session, with which the provider ends the session here."""
    proved_at: datetime | None
    """When the person last entered a password or used a device. None: the provider does not say."""


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
    provider: ProviderSession | None = None,
) -> str:
    """Create a session and return its token. Only the hash is stored, so the token cannot be read again.

    Sessions that have ended are deleted.

    A session begun by `token`, `password` or `passkey` lasts no longer than that `credential`. A session begun by
    `oidc`, for which `provider` is given, lasts no longer than the account is connected. For a session begun by `demo`,
    the gateway checks that the secret of the demo is still the secret with which the session began.
    """
    token = secrets.token_urlsafe(32)
    try:
        people.zone_of(zone)
    except ValueError:
        zone = None
    row: dict[str, Any] = {
        "hash": secret_hash(token),
        "person": person.id,
        "way": way,
        "agent": agent[:200],
        "zone": zone,
        "begun_at": now,
    }
    row["credential"] = credential
    if provider is not None:
        row |= {"issuer": provider.issuer, "subject": provider.subject, "proved_at": provider.proved_at}
        row["provider_session"] = provider.session_id
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
        identities.c.person.label("identity_of"),
        exists().where(account_news.c.person == sessions.c.person, account_news.c.seen_at.is_(None)).label("news"),
    )
    .outerjoin(tokens, and_(tokens.c.hash == sessions.c.credential, tokens.c.revoked_at.is_(None)))
    .outerjoin(stored_passwords, stored_passwords.c.person == sessions.c.person)
    .outerjoin(identities, and_(identities.c.issuer == sessions.c.issuer, identities.c.subject == sessions.c.subject))
    .outerjoin(passkeys, and_(passkeys.c.passkey_id == sessions.c.credential, passkeys.c.removed_at.is_(None)))
)


def _lives(row: Row[Any], now: datetime) -> bool:
    """Return True if the credential with which the session in this row began is still valid."""
    match row.way:
        case "token":
            return row.token is not None and (row.token_ends_at is None or row.token_ends_at > now)
        case "passkey":
            return row.passkey is not None
        case "password":
            return row.password is not None and passwords.credential_of(row.password) == row.credential
        case "oidc":
            return row.identity_of is not None and bool(row.identity_of == row.person)
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


async def end_at_provider(conn: AsyncConnection, issuer: str, subject: str | None, session_id: str | None) -> int:
    """End the sessions that an identity provider has ended, and return their number.

    These are the sessions of the provider's session `session_id`, or without it all sessions of the account `subject`.
    """
    its = [sessions.c.issuer == issuer]
    if session_id is not None:
        its.append(sessions.c.provider_session == session_id)
    if subject is not None:
        its.append(sessions.c.subject == subject)
    found = await conn.execute(select(sessions.c.hash, sessions.c.person).where(*its).order_by(sessions.c.person))
    ended = found.all()
    for row in ended:
        await locked(conn, row.person)
        data = {"person": row.person, "way": "oidc", "issuer": issuer}
        summary = f"{row.person} was signed out by {issuer}"
        await audit_log.note(conn, "signed_out", by=audit_log.ENGINE, summary=summary, data=data)
        await conn.execute(delete(sessions).where(sessions.c.hash == row.hash))
    return len(ended)


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
