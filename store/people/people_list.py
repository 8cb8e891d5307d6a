"""The list of people with all data that the People page shows. A few queries load a whole page."""

from datetime import datetime

from pydantic import BaseModel
from sqlalchemy import and_, func, or_, select

from store.db.connection import AsyncConnection
from store.db.text_search import texts_say
from store.people import group_owners
from store.people.group_owners import Provider
from store.people.people import Kind
from store.tables.people import absences, identities, memberships, passwords, people, tokens


class RosterEntry(BaseModel):
    """One person of the list.

    The e-mail address is not included, only True or False for whether the person has an address.
    """

    id: str
    name: str
    kind: Kind = "person"
    """`service` for a service account, which this list has only if it is asked for by id."""
    active: bool
    """False for a person who has left: they can no longer sign in."""
    groups: list[str]
    provided: dict[str, Provider] = {}
    """The identity provider of each group that a provider gave to the person."""
    email: bool
    manager: str | None
    time_zone: str | None
    away_until: datetime | None = None
    """For a person who is out of office: the end of the absence."""
    substitute: str | None = None
    """The person who decides in the place of this person during the absence."""
    tokens: int = 0
    """The number of valid tokens of the person."""
    password: bool = False
    """True if the person has a password."""
    single_sign_on: bool = False
    """True if an account of an identity provider is connected to the person."""
    created_at: datetime
    erased_at: datetime | None = None
    """When everything about the person but the id was erased."""


class ErasedAt(BaseModel):
    """When a person was erased; None for a person who was not."""

    erased_at: datetime | None


class Member(BaseModel):
    """A member of a group."""

    id: str
    name: str
    active: bool
    kind: Kind = "person"


class RosterGroup(BaseModel):
    """A group and its members, by id."""

    group: str
    provider: Provider | None = None
    """The identity provider that sets the members; None if administrators set them here."""
    members: list[Member]


async def page(
    conn: AsyncConnection,
    now: datetime,
    *,
    q: str | None = None,
    group: str | None = None,
    after: str = "",
    limit: int = 50,
    only: str | None = None,
) -> list[RosterEntry]:
    """Return the people whose ids come after `after`, in the order of ids.

    `q` are search words, which must be in the id or the name.

    With `only`, return only the person with this id.
    """
    query = select(people).where(people.c.id > after).order_by(people.c.id).limit(limit)
    if q:
        query = query.where(texts_say([people.c.id, people.c.name], q))
    if group:
        query = query.where(people.c.id.in_(select(memberships.c.person).where(memberships.c.group_name == group)))
    query = query.where(people.c.id == only if only is not None else people.c.kind == "person")
    found = {row.id: row for row in await conn.execute(query)}
    ids = list(found)
    groups: dict[str, list[str]] = {id: [] for id in ids}
    provided: dict[str, dict[str, Provider]] = {id: {} for id in ids}
    of_groups = select(memberships).where(memberships.c.person.in_(ids)).order_by(memberships.c.group_name)
    for row in await conn.execute(of_groups):
        groups[row.person].append(row.group_name)
        if row.provider is not None:
            provided[row.person][row.group_name] = row.provider
    gone = select(absences).where(absences.c.person.in_(ids), absences.c.starts_at <= now, absences.c.ends_at > now)
    away = {row.person: row for row in await conn.execute(gone)}
    valid = and_(tokens.c.revoked_at.is_(None), or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now))
    counted = select(tokens.c.person, func.count()).where(tokens.c.person.in_(ids), valid)
    number = {row[0]: row[1] for row in await conn.execute(counted.group_by(tokens.c.person))}
    known = set((await conn.execute(select(passwords.c.person).where(passwords.c.person.in_(ids)))).scalars())
    connected = set((await conn.execute(select(identities.c.person).where(identities.c.person.in_(ids)))).scalars())
    return [
        RosterEntry(
            **{
                name: getattr(row, name)
                for name in ("id", "name", "kind", "active", "manager", "time_zone", "created_at", "erased_at")
            },
            groups=groups[row.id],
            provided=provided[row.id],
            email=bool(row.email),
            away_until=away[row.id].ends_at if row.id in away else None,
            substitute=away[row.id].substitute if row.id in away else None,
            tokens=number.get(row.id, 0),
            password=row.id in known,
            single_sign_on=row.id in connected,
        )
        for row in found.values()
    ]


async def erased_at(conn: AsyncConnection, id: str) -> ErasedAt | None:
    """Return when the person with this id was erased; None if there is no such person, or it is a service account."""
    query = select(people.c.erased_at).where(people.c.id == id, people.c.kind == "person")
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else ErasedAt(erased_at=row.erased_at)


async def groups(conn: AsyncConnection) -> list[RosterGroup]:
    """Return all groups that have members, by name."""
    query = select(memberships.c.group_name, people.c.id, people.c.name, people.c.active, people.c.kind)
    query = query.join(people, people.c.id == memberships.c.person)
    found: dict[str, RosterGroup] = {}
    for row in await conn.execute(query.order_by(memberships.c.group_name, people.c.id)):
        group = found.setdefault(row.group_name, RosterGroup(group=row.group_name, members=[]))
        group.members.append(Member(id=row.id, name=row.name, active=row.active, kind=row.kind))
    for name, provider in (await group_owners.owned(conn, found)).items():
        found[name].provider = provider
    return list(found.values())
