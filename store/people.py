"""People, their groups and their bearer tokens. Every change is an event of the record."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Select, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit
from store.database import insert_once
from store.tables import memberships, people, tokens

TOKEN_PREFIX = "hg_"
"""Lets secret scanners and people recognise a token."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,199}")
_GROUP = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")
_RESERVED = frozenset({audit.ENGINE, "temporal"})


class UnknownPerson(LookupError):
    """Nobody has this id."""


class Person(BaseModel):
    """Somebody who may sign in."""

    id: str
    name: str
    groups: list[str]
    email: str | None = None
    """Where notices go by mail; never in the record and never in a log."""


async def add(
    conn: AsyncConnection, id: str, name: str, groups: Sequence[str], by: str, email: str | None = None
) -> Person:
    """Add a person.

    Raises ValueError for an id that is taken or reserved, or a name, group or address that cannot be.
    """
    if not _ID.fullmatch(id):
        raise ValueError(f"'{id}' cannot be a person's id: letters, digits and . _ @ -, at most 200 characters")
    if id in _RESERVED:
        raise ValueError(f"'{id}' is reserved: it stands for the software itself in the record")
    if not 1 <= len(name.strip()) <= 200:
        raise ValueError("a name has 1 to 200 characters")
    for group in groups:
        if not _GROUP.fullmatch(group):
            raise ValueError(f"'{group}' cannot be a group: lower case letters, digits and -, at most 60 characters")
    person = Person(id=id, name=name.strip(), groups=sorted(set(groups)), email=_address(email))
    row = {"id": id, "name": person.name, "active": True, "created_at": datetime.now(UTC), "email": person.email}
    if not await insert_once(conn, people, row):
        raise ValueError(f"there is a person '{id}' already")
    if person.groups:
        await conn.execute(insert(memberships), [{"person": id, "group_name": group} for group in person.groups])
    summary = f"{person.name} was added with {', '.join(person.groups) or 'no groups'}"
    await audit.note(conn, "person_added", by=by, summary=summary, data={"person": id, "groups": person.groups})
    return person


async def get(conn: AsyncConnection, id: str) -> Person:
    """The person. Raises UnknownPerson."""
    found = await _found(conn, _PEOPLE.where(people.c.id == id))
    if not found:
        raise UnknownPerson(f"there is no person '{id}'")
    return found[0]


async def all(conn: AsyncConnection) -> list[Person]:
    """Everybody, by id."""
    return await _found(conn, _PEOPLE)


async def by_token(conn: AsyncConnection, token: str) -> Person | None:
    """Whose token it is; None when nobody's, when it was revoked, or when the person is no longer active."""
    query = _PEOPLE.join(tokens, tokens.c.person == people.c.id).where(
        tokens.c.hash == _hash(token), tokens.c.revoked_at.is_(None), people.c.active
    )
    found = await _found(conn, query)
    return found[0] if found else None


async def set_email(conn: AsyncConnection, id: str, email: str | None, by: str) -> None:
    """Where the person gets mail; None or empty: nowhere. The record says that it changed, and not to what.

    Raises UnknownPerson, or ValueError for what cannot be an address.
    """
    named, address = await get(conn, id), _address(email)
    if named.email == address:
        return
    await conn.execute(update(people).where(people.c.id == id).values(email=address))
    summary = f"The e-mail address of {named.name} was {'set' if address else 'removed'}"
    await audit.note(conn, "email_changed", by=by, summary=summary, data={"person": id, "email": bool(address)})


async def new_token(conn: AsyncConnection, person: str, label: str, by: str) -> str:
    """A new token for the person. Only its hash is stored: this is the one time that it can be seen.

    Raises UnknownPerson, or ValueError for a label that is empty or longer than 60 characters.
    """
    if not 1 <= len(label.strip()) <= 60:
        raise ValueError("a label has 1 to 60 characters, for example where the token is used")
    named = await get(conn, person)
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = {"hash": _hash(token), "person": person, "label": label.strip(), "created_at": datetime.now(UTC)}
    await conn.execute(insert(tokens).values(row))
    summary = f"A token was made for {named.name}: {label.strip()}"
    await audit.note(conn, "token_made", by=by, summary=summary, data={"person": person, "label": label.strip()})
    return token


async def revoke_tokens(conn: AsyncConnection, person: str, by: str) -> int:
    """Make all tokens of the person worthless and return how many there were. Raises UnknownPerson."""
    named = await get(conn, person)
    revoked = await conn.execute(
        update(tokens)
        .where(tokens.c.person == person, tokens.c.revoked_at.is_(None))
        .values(revoked_at=datetime.now(UTC))
    )
    if revoked.rowcount:
        summary = f"{revoked.rowcount} tokens of {named.name} were revoked"
        await audit.note(conn, "tokens_revoked", by=by, summary=summary, data={"person": person})
    return revoked.rowcount


_PEOPLE = (
    select(people.c.id, people.c.name, people.c.email, memberships.c.group_name)
    .outerjoin(memberships, memberships.c.person == people.c.id)
    .order_by(people.c.id, memberships.c.group_name)
)
"""One row for each person and group."""


async def _found(conn: AsyncConnection, query: Select[Any]) -> list[Person]:
    found: dict[str, Person] = {}
    for row in await conn.execute(query):
        person = found.setdefault(row.id, Person(id=row.id, name=row.name, groups=[], email=row.email))
        if row.group_name is not None:
            person.groups.append(row.group_name)
    return list(found.values())


def _address(email: str | None) -> str | None:
    """The address as it is kept; raises ValueError without repeating it, for errors reach logs."""
    address = (email or "").strip()
    if address and (len(address) > 254 or not _EMAIL.fullmatch(address)):
        raise ValueError("this cannot be an e-mail address; one looks like anna@example.org")
    return address or None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
