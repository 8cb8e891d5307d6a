"""Access tokens of people and service accounts. Every token that is made or revoked is an audit event.

Only the hash of a token is stored. A token may have scopes, which limit what it may be used for, and an end.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Row, and_, bindparam, delete, exists, func, insert, select, update

from domain.input_errors import WrongField
from domain.moments import moment_text
from domain.notification import AccountNewsKind
from domain.token_scopes import TokenScope
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import insert_into
from store.db.prepared import prepared
from store.notifications import account_news
from store.people import one_time_links, people
from store.people.people import Person
from store.people.person_lock import locked
from store.people.secret_hash import secret_hash
from store.tables.people import people as people_table, service_account_owners, sessions, token_uses, tokens

TOKEN_PREFIX = "hg_"
"""The prefix of each token, by which secret scanners and people recognise a token."""

TOKEN_ID = 12
"""The number of characters of the hash of a token that are the id of the token."""

LONGEST = timedelta(days=5 * 366)
"""The longest time until the end of a token that has an end."""


class UnknownToken(LookupError):
    """Raised if the person has no valid token with this id: the id is unknown, or the token was revoked."""


class TokenRefused(Exception):
    """Raised for a token that was valid and is not accepted now, though nobody revoked it.

    `str()` is a sentence for its owner. `why` is the reason for the audit log: `ended` or `suspended`.
    """

    def __init__(self, said: str, why: str, person: str) -> None:
        super().__init__(said)
        self.why = why
        self.person = person


def ended(at: datetime, person: str) -> TokenRefused:
    """Return the refusal of a token that has ended at this moment."""
    said = f"This token ended at {moment_text(at)}. Create a new token, or ask for one."
    return TokenRefused(said, "ended", person)


def suspended(account: str) -> TokenRefused:
    """Return the refusal of a token of a service account that has no active owner."""
    said = f"The service account {account} is suspended, because it has no active owner. "
    return TokenRefused(f"{said}Ask an administrator to name another owner.", "suspended", account)


class Token(BaseModel):
    """A token without its secret."""

    id: str
    """The first characters of the hash of the token. These characters do not disclose the token."""
    label: str
    created_at: datetime
    revoked_at: datetime | None
    scopes: list[TokenScope] | None = None
    """What the token may be used for; None for everything that its owner may do."""
    expires_at: datetime | None = None
    """When the token ends; None if the token works until it is revoked."""
    last_used_at: datetime | None = None
    """When the token was last used, at most a minute old; None if the token was not used yet."""


@dataclass(frozen=True)
class Holder:
    """The owner of a valid token, and what the token may be used for."""

    person: Person
    scopes: frozenset[str] | None
    """None for everything that the owner may do."""


async def holder(conn: AsyncConnection, token: str, now: datetime) -> Holder | None:
    """Return the owner of a token; None if the token is unknown or revoked, or the owner is not active.

    Raises TokenRefused for a token that has ended, and for the token of a service account without an active owner.
    """
    row = (await conn.execute(_OF_TOKEN, {"of_hash": secret_hash(token)})).one_or_none()
    person = None if row is None else await people.acting(conn, row.person, now)
    if row is None or person is None:
        return None
    if row.expires_at is not None and row.expires_at <= now:
        raise ended(row.expires_at, row.person)
    if person.kind == "service" and not row.owned:
        raise suspended(row.person)
    if person.kind == "service" and row.scopes is None:  # `make` never stores such a token
        return None
    return Holder(person, None if row.scopes is None else frozenset(row.scopes))


async def by_token(conn: AsyncConnection, token: str) -> Person | None:
    """Return the owner of a token; None if the token is not accepted now, for any reason."""
    try:
        found = await holder(conn, token, datetime.now(UTC))
    except TokenRefused:
        return None
    return found.person if found else None


async def make(
    conn: AsyncConnection,
    person: str,
    label: str,
    by: str,
    *,
    scopes: Sequence[TokenScope] | None = None,
    expires_at: datetime | None = None,
) -> str:
    """Create a token for the person and return it.

    Only the hash of the token is stored, so this return value is the only place where the token can be read.

    Raises UnknownPerson, and ValueError for a label that is empty or longer than 60 characters, for an end that is past
    or too far away, and for a service account without scopes: `service_accounts.new_token` makes its tokens.
    """
    if not 1 <= len(label.strip()) <= 60:
        raise WrongField("label", "enter a label of 1 to 60 characters, such as the name of the script")
    made_at = datetime.now(UTC)
    check_end(expires_at, made_at)
    await locked(conn, person)
    named = await people.get(conn, person)
    if named.kind == "service" and scopes is None:
        raise ValueError(f"{person} is a service account: its tokens need scopes, so make them with service-accounts")
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    hash, listed = secret_hash(token), None if scopes is None else [*scopes]
    row = {"hash": hash, "person": person, "label": label.strip(), "created_at": made_at}
    await conn.execute(insert(tokens).values(**row, scopes=listed, expires_at=expires_at))
    if named.kind == "person":
        await account_news.tell(conn, person, AccountNewsKind.TOKEN_MADE, by, about=label.strip())
    summary = f"A token was made for {named.name}: {label.strip()}"
    data: dict[str, Any] = {"person": person, "token_id": hash[:TOKEN_ID], "label": label.strip()}
    data |= {"scopes": listed} if listed else {}
    data |= {"expires_at": expires_at.isoformat()} if expires_at else {}
    await audit_log.note(conn, "token_made", by=by, summary=summary, data=data)
    return token


def check_end(expires_at: datetime | None, now: datetime) -> None:
    """Raise WrongField if a token cannot end at this moment: the moment is past, or too far away."""
    if expires_at is not None and not now < expires_at <= now + LONGEST:
        raise WrongField("expires_at", "the end must be in the future, within five years")


async def revoke_all(conn: AsyncConnection, person: str, by: str) -> int:
    """Revoke all tokens of the person, and end the sessions that were begun with these tokens.

    Return the number of revoked tokens.

    Raises UnknownPerson.
    """
    await locked(conn, person)
    named = await people.get(conn, person)
    if revoked := await end(conn, person, by):
        await _tell_revoked(conn, named, by)
        summary = f"{len(revoked)} tokens of {named.name} were revoked"
        data = {"person": person, "token_ids": revoked}
        await audit_log.note(conn, "tokens_revoked", by=by, summary=summary, data=data)
    return len(revoked)


async def revoke(conn: AsyncConnection, person: str, token_id: str, by: str) -> None:
    """Revoke one token of the person, and end the sessions that were begun with this token.

    Raises UnknownPerson, UnknownToken.
    """
    await locked(conn, person)
    named = await people.get(conn, person)
    if not await end(conn, person, by, only=token_id):
        raise UnknownToken(f"{person} has no token {token_id}")
    its = (tokens.c.person == person, func.substr(tokens.c.hash, 1, TOKEN_ID) == token_id)
    label = await conn.scalar(select(tokens.c.label).where(*its))
    if by != person:
        await _tell_revoked(conn, named, by, about=label or "")
    summary = f"A token of {named.name} was revoked: {label}"
    data = {"person": person, "token_id": token_id, "label": label}
    await audit_log.note(conn, "token_revoked", by=by, summary=summary, data=data)


async def end(conn: AsyncConnection, person: str, by: str, only: str | None = None) -> list[str]:
    """Revoke all tokens of the person, or only the token with the id `only`. Return the ids of the revoked tokens.

    Sessions that were begun with these tokens end, and one-time links become void as `one_time_links.void` says.
    """
    now = datetime.now(UTC)
    which = [tokens.c.person == person, tokens.c.revoked_at.is_(None)]
    if only is not None:
        which.append(func.substr(tokens.c.hash, 1, TOKEN_ID) == only)
    ending = update(tokens).where(*which).values(revoked_at=now).returning(tokens.c.hash)
    hashes = sorted((await conn.execute(ending)).scalars())
    if hashes:
        await conn.execute(delete(sessions).where(sessions.c.credential.in_(hashes)))
        await one_time_links.void(conn, person, by=by, now=now)
    return [hash[:TOKEN_ID] for hash in hashes]


async def _tell_revoked(conn: AsyncConnection, owner: Person, by: str, about: str = "") -> None:
    if owner.kind == "person":
        await account_news.tell(conn, owner.id, AccountNewsKind.TOKEN_REVOKED, by, about=about)


async def of(conn: AsyncConnection, person: str) -> list[Token]:
    """Return the person's tokens, newest first, including revoked ones and ones that have ended."""
    query = select(tokens, token_uses.c.last_used_at).outerjoin(token_uses, token_uses.c.hash == tokens.c.hash)
    query = query.where(tokens.c.person == person).order_by(tokens.c.created_at.desc(), tokens.c.hash)
    return [_token(row) for row in await conn.execute(query)]


def _token(row: Row[Any]) -> Token:
    known = {name: row._mapping[name] for name in Token.model_fields if name != "id"}
    return Token(id=row.hash[:TOKEN_ID], **known)


async def used_by(
    conn: AsyncConnection, persons: Sequence[str], now: datetime
) -> tuple[dict[str, datetime], dict[str, int]]:
    """Return, by person, when one of their tokens was last used, and the number of their valid tokens."""
    query = select(tokens.c.person, tokens.c.revoked_at, tokens.c.expires_at, token_uses.c.last_used_at)
    query = query.outerjoin(token_uses, token_uses.c.hash == tokens.c.hash).where(tokens.c.person.in_(persons))
    used: dict[str, datetime] = {}
    valid: dict[str, int] = {}
    for row in await conn.execute(query):
        if row.last_used_at is not None:
            used[row.person] = max(row.last_used_at, used.get(row.person, row.last_used_at))
        if row.revoked_at is None and (row.expires_at is None or row.expires_at > now):
            valid[row.person] = valid.get(row.person, 0) + 1
    return used, valid


async def former_owner(conn: AsyncConnection, token: str) -> str | None:
    """Return the id of the person to whom a token that is not valid any more belonged.

    Return None for any other text.
    """
    found: str | None = await conn.scalar(select(tokens.c.person).where(tokens.c.hash == secret_hash(token)))
    return found


async def note_use(conn: AsyncConnection, hash: str, at: datetime) -> None:
    """Store that the token with this hash was used."""
    new = insert_into(conn, token_uses).values(hash=hash, last_used_at=at)
    later = {"last_used_at": new.excluded.last_used_at}
    await conn.execute(new.on_conflict_do_update(index_elements=[token_uses.c.hash], set_=later))


def credential_of(token: str) -> str:
    """Return the value that a session stores about the token with which a person signed in: a digest of the token."""
    return secret_hash(token)


def has_active_owner(account: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that a service account has an active owner. Otherwise the account is suspended."""
    owner = people_table.alias()
    owns = and_(service_account_owners.c.account == account, service_account_owners.c.owner == owner.c.id)
    return exists().where(owns, owner.c.active)


_OF_TOKEN = prepared(
    select(
        tokens.c.person,
        tokens.c.scopes,
        tokens.c.expires_at,
        has_active_owner(tokens.c.person).label("owned"),
    ).where(tokens.c.hash == bindparam("of_hash"), tokens.c.revoked_at.is_(None))
)
