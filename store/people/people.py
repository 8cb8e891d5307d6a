"""People and their groups. Every change is an audit event. `tokens.py` has their access tokens."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, Field
from sqlalchemy import bindparam, case, delete, func, insert, literal, or_, select, union_all, update

from domain.input_errors import WrongField
from domain.names import ADMINS
from domain.normalization import check_visible, fold, identity_key
from domain.notification import AccountNewsKind
from domain.scope import Scope
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import Database, insert_once
from store.db.prepared import prepared
from store.notifications import account_news
from store.people import absences, group_owners, new_members, one_time_links, successors
from store.people.last_admin import check_admin_left
from store.people.person_lock import locked
from store.people.secret_hash import secret_hash
from store.tables.base import Instant
from store.tables.people import absences as absent_people, memberships, people, service_account_owners

Kind = Literal["person", "service"]
"""The kinds of accounts: of a person, or of a program (`service_accounts.py`)."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,199}")
_GROUP = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")
_ID_WORDS = "begin with a letter (a-z, A-Z) or a digit, then use only these and . _ @ -, at most 200 characters"
_GROUP_WORDS = "begin with a letter a-z or a digit, then use only letters a-z, digits and -, at most 60 characters"
RESERVED = frozenset({audit_log.ENGINE, "temporal"})


class UnknownPerson(LookupError):
    """Raised if no person has this id."""


class NotForServices(ValueError):
    """Raised if a change is for people only, and the account belongs to a program."""

    def __init__(self, id: str) -> None:
        super().__init__(
            f"{id} is a service account, which has no manager, address, absence, password or successor: name a person"
        )


@dataclass(frozen=True)
class Candidate:
    """A person whom the rules of a gate name, directly or by group."""

    id: str
    groups: list[str]
    away: bool = False
    substitute: str | None = None
    """The person who decides in the place of this person, while this person is out of office."""


class Person(BaseModel):
    """A person who uses Holdgate, with the groups and relations that decide what the person may see and do."""

    id: str
    name: str
    groups: list[str]
    email: str | None = None
    """The address for notifications. The address is never written to the audit log or to a log file."""
    manager: str | None = None
    time_zone: str | None = None
    kind: Kind = "person"
    """`service` for the account of a program. Such an account asks, but never decides."""
    demo: bool = False
    """True if the demo created the person; such a person cannot sign in while the demo is off."""
    stands_in_for: "list[Person]" = []
    """People out of office who named this person as substitute; loaded only for a signed-in person."""
    comes_after: list[str] = []
    """People who left and whose successor this person is; loaded only for a signed-in person."""
    scope: Scope = Field(default=Scope(), exclude=True, repr=False)
    """What the person may do with which processes; empty unless the gateway has computed it."""

    @property
    def asks_as(self) -> list[str]:
        """Return the ids whose cases and uploads belong to the person.

        These are the person's own id, and the ids of people whose successor the person is.
        """
        return [self.id, *self.comes_after]


async def add(
    conn: AsyncConnection,
    id: str,
    name: str,
    groups: Sequence[str],
    by: str,
    email: str | None = None,
    kind: Kind = "person",
) -> Person:
    """Add a person, or the row of a service account: `service_accounts.create` adds the rest.

    Raises ValueError for an id that exists or is reserved, and for an invalid name, group or address; ProvidedGroup.
    """
    if not _ID.fullmatch(id):
        raise ValueError(f"'{id}' is not valid as an id: {_ID_WORDS}")
    if is_reserved(id):
        raise ValueError(f"'{id}' is reserved for Holdgate itself: choose another id")
    groups = [group_named(group) for group in groups]
    person = Person(id=id, name=shown_name(name), groups=sorted(set(groups)), email=address_of(email), kind=kind)
    if kind == "person":
        await group_owners.check_local(conn, person.groups)
    await check_new(conn, id, person.email)
    now = datetime.now(UTC)
    row = {"id": id, "name": person.name, "active": True, "created_at": now, "email": person.email, "kind": kind}
    row |= {"email_set_by": by, "email_set_at": now} if person.email else {}
    if not await insert_once(conn, people, row):
        known = await conn.scalar(select(people.c.active).where(people.c.id == id))
        left = f" by a person who has left. To reactivate the person: ./holdgate people reactivate {id}"
        back = "" if known else left
        raise ValueError(f"the id '{id}' is already in use{back}")
    if person.groups:
        added = {"person": id, "added_by": by, "added_at": now}
        await conn.execute(insert(memberships), [{**added, "group_name": group} for group in person.groups])
        await new_members.tell(conn, id, person.groups, by)
    summary = f"{person.name} was added with {', '.join(person.groups) or 'no groups'}"
    data = {"person": id, "groups": person.groups, "name_sha256": digest_of(person.name), "email": bool(person.email)}
    await audit_log.note(conn, "person_added", by=by, summary=summary, data=data)
    return person


def is_reserved(id: str) -> bool:
    """Return True if the id stands for Holdgate itself in the audit log."""
    return id in RESERVED


def shown_name(name: str) -> str:
    """Return the stored form of the name of a person. Raises ValueError for an invalid name."""
    if not 1 <= len(name.strip()) <= 200:
        raise WrongField("name", "a name has 1 to 200 characters")
    return check_visible(name.strip(), joiners=True)


def group_named(name: str) -> str:
    """Return the stored form of a group name: `managers` for `Managers`. Raises ValueError for an invalid name."""
    if not _GROUP.fullmatch(group := identity_key(name)):
        raise WrongField("groups", f"'{name}' is not valid as a group: {_GROUP_WORDS}")
    return group


async def check_new(conn: AsyncConnection, id: str, email: str | None) -> None:
    """Check that no person has this id or this e-mail address: one person with two ids could request and approve.

    Raises ValueError if another person has this address, or an id that differs only in capital letters.
    """
    like = await conn.execute(select(people.c.id).where(func.lower(people.c.id) == id.lower(), people.c.id != id))
    if (other := like.scalar()) is not None:
        raise ValueError(f"the id of '{other}' differs only in capital letters: choose another id")
    if email is None:
        return
    same = select(people.c.id).where(func.lower(people.c.email) == email.lower(), people.c.id != id, people.c.active)
    if (other := (await conn.execute(same)).scalar()) is not None:
        raise WrongField("email", f"'{other}' already has this e-mail address: enter another address")


async def get(conn: AsyncConnection, id: str) -> Person:
    """Return the person, active or not. Raises UnknownPerson."""
    found = await _found(conn, _PEOPLE.where(people.c.id == id))
    if not found:
        raise UnknownPerson(f"there is no person with the id '{id}'")
    return found[0]


async def get_person(conn: AsyncConnection, id: str) -> Person:
    """Return the person, active or not. Raises UnknownPerson, NotForServices for a service account, and
    ValueError for an erased person.
    """
    found = await get(conn, id)
    if found.kind != "person":
        raise NotForServices(id)
    if await successors.is_erased(conn, id):
        raise ValueError(f"{id} was erased: nobody can change an erased person")
    return found


async def candidates_of(
    conn: AsyncConnection, groups: Sequence[str], users: Sequence[str], at: datetime
) -> list[Candidate]:
    """Return all active people who are in one of these groups, or whose ids are in `users`, in the order of ids.

    A service account is never among them: it decides nothing, also if it is a member of these groups.
    """
    found = await _found(conn, _CANDIDATES, {"groups": groups, "users": users})
    away = await absences.substitutes(conn, [each.id for each in found], at)
    return [Candidate(each.id, each.groups, each.id in away, away.get(each.id)) for each in found]


async def manager_of(conn: AsyncConnection, person: str) -> str | None:
    """Return the id of the manager of a person; None if the person has no manager, or the manager is not active."""
    above = people.alias()
    query = select(above.c.id).join(people, people.c.manager == above.c.id)
    query = query.where(people.c.id == person, above.c.active, above.c.kind == "person")
    return (await conn.execute(query)).scalar_one_or_none()


async def set_manager(conn: AsyncConnection, id: str, manager: str | None, by: str) -> None:
    """Set the person's manager, whom a policy names as `manager_of(requester)`.

    Raises UnknownPerson; ValueError if person and manager are the same.
    """
    named = await get_person(conn, id)
    if manager is not None:
        await get_person(conn, manager)
        if manager.casefold() == id.casefold():
            raise ValueError("a person cannot be their own manager: name somebody else")
    await conn.execute(update(people).where(people.c.id == id).values(manager=manager))
    summary = f"The manager of {named.name} is {manager}" if manager else f"{named.name} has no manager"
    await audit_log.note(conn, "manager_set", by=by, summary=summary, data={"person": id, "manager": manager})


async def set_time_zone(conn: AsyncConnection, id: str, time_zone: str | None, by: str) -> None:
    """Set the person's time zone. Raises UnknownPerson, ValueError for an unknown IANA zone."""
    named = await get(conn, id)
    zone_of(time_zone)
    await conn.execute(update(people).where(people.c.id == id).values(time_zone=time_zone))
    summary = f"The time zone of {named.name} is {time_zone or 'UTC'}"
    await audit_log.note(conn, "time_zone_set", by=by, summary=summary, data={"person": id, "time_zone": time_zone})


async def join(conn: AsyncConnection, id: str, group: str, by: str) -> None:
    """Add the person to a group.

    Raises UnknownPerson, ValueError for an invalid group name, ProvidedGroup for a group that a provider owns.
    """
    named, group = await get(conn, id), group_named(group)
    if named.kind == "person":  # a provider does not know service accounts
        await group_owners.check_local(conn, [group])
    row = {"person": id, "group_name": group, "added_by": by, "added_at": datetime.now(UTC)}
    if await insert_once(conn, memberships, row):
        await new_members.tell(conn, id, [group], by)
        data = {"person": id, "group": group}
        await audit_log.note(conn, "group_joined", by=by, summary=f"{named.name} joined {group}", data=data)


async def leave(conn: AsyncConnection, id: str, group: str, by: str) -> None:
    """Remove a member from a group.

    Raises UnknownPerson, ValueError for a non-member, LastAdmin for the last admin, ProvidedGroup for a membership that
    an identity provider gave.
    """
    named, group = await get(conn, id), fold(group)
    its = (memberships.c.person == id, memberships.c.group_name == group)
    if not (await conn.execute(delete(memberships).where(*its, memberships.c.provider.is_(None)))).rowcount:
        if (given := await conn.scalar(select(memberships.c.provider).where(*its))) is not None:
            raise group_owners.ProvidedGroup(group, given)
        raise ValueError(f"{id} is not in {group}")
    data = {"person": id, "group": group}
    await audit_log.note(conn, "group_left", by=by, summary=f"{named.name} left {group}", data=data)
    if group == ADMINS and named.kind == "person":
        await check_admin_left(conn, named.name)


async def set_name(conn: AsyncConnection, id: str, name: str, by: str) -> None:
    """Set the name that pages show. Raises UnknownPerson, ValueError for an invalid name."""
    named, wanted = await get(conn, id), shown_name(name)
    if named.name != wanted:
        await conn.execute(update(people).where(people.c.id == id).values(name=wanted))
        data = {"person": id, "name_sha256": digest_of(wanted)}
        await audit_log.note(conn, "name_set", by=by, summary=f"{named.name} is called {wanted} now", data=data)


async def active(conn: AsyncConnection, id: str) -> Person | None:
    """Return the person if active, otherwise None."""
    found = await _found(conn, _ACTIVE, {"of_person": id})
    return found[0] if found else None


async def named(conn: AsyncConnection, name: str) -> Person | None:
    """Return the active person with this id or mail address, without regard to case; None if none or several match."""
    low = fold(name)
    like = or_(func.lower(people.c.id) == low, func.lower(people.c.email) == low)
    found = await _found(conn, _PEOPLE.where(like, people.c.active))
    return found[0] if len(found) == 1 else None


async def all(conn: AsyncConnection) -> list[Person]:
    """Return all people, active or not, by id."""
    return await _found(conn, _PEOPLE)


async def acting(conn: AsyncConnection, id: str, at: datetime) -> Person | None:
    """Return an active person with the absent people whom they substitute and the people whose successor they are.

    Return None if the person is not active.
    """
    person = await active(conn, id)
    if person is None:
        return None
    others = (await conn.execute(_ACTS_FOR, {"of_person": id, "at": at})).all()
    if not others:
        return person
    names = [name for name, why in others if why == "away"]
    away = await _found(conn, _PEOPLE.where(people.c.id.in_(names), people.c.active)) if names else []
    left = sorted(name for name, why in others if why == "left")
    return person.model_copy(update={"stands_in_for": away, "comes_after": left})


async def set_email(conn: AsyncConnection, id: str, email: str | None, by: str) -> None:
    """Set the address for mail; None or an empty text removes the address.

    The audit log shows that the address changed, but not the address.

    Raises UnknownPerson, and ValueError for an invalid address.
    """
    await locked(conn, id)
    named, address = await get_person(conn, id), address_of(email)
    if named.email == address:
        return
    await check_new(conn, id, address)
    now = datetime.now(UTC)
    # Notify the address from before all changes of these days.
    settled = or_(people.c.former_email.is_(None), people.c.email_set_at <= now - account_news.FORMER_FOR)
    former = case((settled, people.c.email), else_=people.c.former_email)
    values = {"email": address, "former_email": former, "email_set_by": by, "email_set_at": now}
    await conn.execute(update(people).where(people.c.id == id).values(values))
    await one_time_links.void(conn, id, by=by, now=now)
    await account_news.tell(conn, id, AccountNewsKind.ADDRESS_SET, by)
    summary = f"The e-mail address of {named.name} was {'set' if address else 'removed'}"
    await audit_log.note(conn, "email_changed", by=by, summary=summary, data={"person": id, "email": bool(address)})


def zone_of(name: str | None) -> ZoneInfo:
    """Return the time zone with this name, UTC for None. Raises ValueError for an unknown name."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as wrong:
        raise ValueError(f"'{name}' is not a time zone: enter a name such as Europe/London") from wrong


_PEOPLE = (
    select(
        *(people.c[name] for name in ("id", "name", "email", "manager", "time_zone", "kind", "demo")),
        memberships.c.group_name,
    )
    .outerjoin(memberships, memberships.c.person == people.c.id)
    .order_by(people.c.id, memberships.c.group_name)
)
"""The query of people: one row for each person and each group of the person."""

_in_groups = select(memberships.c.person).where(memberships.c.group_name.in_(bindparam("groups", expanding=True)))
_is_candidate = or_(people.c.id.in_(bindparam("users", expanding=True)), people.c.id.in_(_in_groups))

_ACTIVE = prepared(_PEOPLE.where(people.c.id == bindparam("of_person"), people.c.active))
_CANDIDATES = prepared(
    _PEOPLE.where(people.c.active, people.c.kind == "person", _is_candidate), long=True
)  # a group may have many members
_ACTS_FOR = prepared(
    union_all(
        select(absent_people.c.person, literal("away").label("why")).where(
            absent_people.c.substitute == bindparam("of_person"), absences.covers(bindparam("at", type_=Instant()))
        ),
        select(people.c.id, literal("left")).where(people.c.successor == bindparam("of_person"), ~people.c.active),
    )
)


async def _found(conn: AsyncConnection, query: Any, parameters: Any = None) -> list[Person]:
    found: dict[str, Person] = {}
    for row in await conn.execute(query, parameters):
        known = {name: row._mapping[name] for name in ("email", "manager", "time_zone", "kind", "demo")}
        person = found.setdefault(row.id, Person(id=row.id, name=row.name, groups=[], **known))
        if row.group_name is not None:
            person.groups.append(row.group_name)
    return list(found.values())


def address_of(email: str | None) -> str | None:
    """Return the e-mail address in its stored form.

    Raises ValueError for an invalid address; the error does not contain the address, because errors are written to
    logs.
    """
    address = (email or "").strip()
    if address and (len(address) > 254 or not _EMAIL.fullmatch(address)):
        raise WrongField("email", "this is not an e-mail address: enter an address such as anna@example.org")
    return address or None


def digest_of(text: str) -> str:
    """Return the digest of a text. The audit log stores the digest of texts that it must not contain."""
    return secret_hash(text)


class PeopleDirectory:
    """Finds candidates and managers for the rules of gates. Each method reads in a transaction of its own."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def candidates(self, groups: Sequence[str], users: Sequence[str]) -> Sequence[Candidate]:
        """Return all active people in these groups or with these ids."""
        async with self._db.read() as conn:
            return await candidates_of(conn, groups, users, datetime.now(UTC))

    async def groups_among(self, names: Sequence[str]) -> set[str]:
        """Return the names that are groups with members."""
        query = select(memberships.c.group_name).where(memberships.c.group_name.in_(names)).distinct()
        async with self._db.read() as conn:
            return set((await conn.execute(query)).scalars())

    async def manager_of(self, person: str) -> str | None:
        """Return the active manager of a person, None if there is no active manager."""
        async with self._db.read() as conn:
            return await manager_of(conn, person)

    async def owners_of(self, account: str) -> Sequence[str]:
        """Return the present owners of a service account; none for a person."""
        query = select(service_account_owners.c.owner).where(service_account_owners.c.account == account)
        async with self._db.read() as conn:
            return list((await conn.execute(query.order_by(service_account_owners.c.owner))).scalars())

    async def left(self, names: Sequence[str]) -> Mapping[str, str | None]:
        """Return the people in `names` who have left, each with their active successor, or None without a successor."""
        if not names:
            return {}
        async with self._db.read() as conn:
            return await successors.successors_of(conn, names)
