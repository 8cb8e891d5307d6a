"""Groups whose members an identity provider sets: by OIDC at each sign-in, or by SCIM."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import and_, delete, select, update

from domain.case import CaseEvent
from domain.names import ADMINS
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import insert_into
from store.people import group_owners, new_members, people
from store.people.group_owners import ProvidedGroup as ProvidedGroup, Provider as Provider, owner as owner
from store.people.last_admin import check_admin_left
from store.people.people import UnknownPerson
from store.tables.people import memberships, people as people_table

AT_ONCE = 500
"""The most names in one statement."""


@dataclass
class _Changes:
    """What changes of the memberships of many people, by group."""

    joined: dict[str, list[str]] = field(default_factory=dict)
    taken: dict[str, list[str]] = field(default_factory=dict)
    """Memberships that were added here, or by single sign-on, and belong to the provider from now on."""
    left: dict[str, list[str]] = field(default_factory=dict)


async def assign(conn: AsyncConnection, person: str, groups: Collection[str], provider: Provider, by: str) -> None:
    """Make the memberships that the provider gives to the person exactly `groups`: see `assign_all`."""
    await assign_all(conn, {person: groups}, provider, by)


async def assign_all(conn: AsyncConnection, wanted: Mapping[str, Collection[str]], provider: Provider, by: str) -> None:
    """Make the memberships that the provider gives to each person in `wanted` exactly the groups of this person.

    A membership that was added here, in a group that the provider gives now, belongs to the provider from now on: it
    ends when the provider takes the group away. So does a membership that single sign-on gave and SCIM gives, too: a
    group that SCIM takes away must end at once, and single sign-on gives the group again if it still says so. Other
    memberships that were added here, and those that another provider gives, stay. A person who is not active gets no
    groups. A few statements change thousands of members.

    Raises UnknownPerson, ValueError for an invalid group name, LastAdmin if no administrator would be left.
    """
    names: dict[str, str] = {}
    changes = _Changes()
    for some in in_parts(wanted):
        names |= await _compared(conn, {person: wanted[person] for person in some}, provider, changes)
    for group in sorted({*changes.joined, *changes.taken}):
        await group_owners.own(conn, group, provider, by)
    await _write(conn, changes, provider, by)
    for group, members in changes.joined.items():
        for person in members:
            await new_members.tell(conn, person, [group], by)
    events = [
        *_events("group_joined", "joined", changes.joined, names, by),
        *_events("group_left", "left", changes.left, names, by),
    ]
    if events:
        await audit_log.append(conn, events)
    if gone := changes.left.get(ADMINS):
        await check_admin_left(conn, names[gone[0]])


async def _compared(
    conn: AsyncConnection, wanted: Mapping[str, Collection[str]], provider: Provider, changes: _Changes
) -> dict[str, str]:
    """Lock these people, add to `changes` what must change, and return the names of the people."""
    locking = select(people_table.c.id, people_table.c.name, people_table.c.active).where(people_table.c.id.in_(wanted))
    # In one order, and before the audit log: two transactions that do not can deadlock.
    rows = (await conn.execute(locking.order_by(people_table.c.id).with_for_update(key_share=True))).all()
    known = {row.id: row for row in rows}
    if unknown := sorted(set(wanted) - set(known)):
        raise UnknownPerson(f"there is no person with the id '{unknown[0]}'")
    have: dict[str, dict[str, str | None]] = {person: {} for person in wanted}
    for row in await conn.execute(select(memberships).where(memberships.c.person.in_(wanted))):
        have[row.person][row.group_name] = row.provider
    for person, groups in wanted.items():
        after = {people.group_named(group) for group in groups} if known[person].active else set()
        for group in after:
            if group not in have[person]:
                changes.joined.setdefault(group, []).append(person)
            elif have[person][group] != provider and (have[person][group] is None or provider == "scim"):
                changes.taken.setdefault(group, []).append(person)
        for group, giver in have[person].items():
            if giver == provider and group not in after:
                changes.left.setdefault(group, []).append(person)
    return {row.id: row.name for row in rows}


async def _write(conn: AsyncConnection, changes: _Changes, provider: Provider, by: str) -> None:
    now = datetime.now(UTC)
    for group, members in changes.joined.items():
        for some in in_parts(members):
            row = {"group_name": group, "added_by": by, "added_at": now, "provider": provider}
            new = insert_into(conn, memberships).values([{"person": person, **row} for person in some])
            # Somebody may have joined here in this moment.
            key = [memberships.c.person, memberships.c.group_name]
            await conn.execute(new.on_conflict_do_update(index_elements=key, set_={"provider": provider}))
    for group, members in changes.taken.items():
        for some in in_parts(members):
            its = and_(memberships.c.group_name == group, memberships.c.person.in_(some))
            await conn.execute(update(memberships).where(its).values(provider=provider))
    for group, members in changes.left.items():
        for some in in_parts(members):
            its = and_(memberships.c.group_name == group, memberships.c.person.in_(some))
            await conn.execute(delete(memberships).where(its, memberships.c.provider == provider))


def _events(
    kind: str, verb: str, changed: Mapping[str, Iterable[str]], names: Mapping[str, str], by: str
) -> list[CaseEvent]:
    return [
        audit_log.noted(kind, by=by, summary=f"{names[person]} {verb} {group}", data={"person": person, "group": group})
        for group, members in sorted(changed.items())
        for person in members
    ]


def in_parts(names: Iterable[str]) -> list[list[str]]:
    """Return the names in lists that are short enough for one statement, ordered and without duplicates."""
    inside = sorted(set(names))
    return [inside[first : first + AT_ONCE] for first in range(0, len(inside), AT_ONCE)]
