"""Groups that an identity provider sends by SCIM, and the groups of Holdgate that they fill.

A group of the provider fills the group that an administrator mapped it to. Without a mapping, it fills the group whose
name is its displayName in small letters and dashes, but never `admins`. A group that fills none is stored and gives
nothing.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, select, update

from domain.names import ADMINS
from domain.normalization import fold, without_accents
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import insert_into
from store.people import group_owners, people, provided_groups
from store.people.provided_groups import in_parts
from store.people.scim_lock import lock_scim
from store.tables.scim import scim_groups, scim_mappings, scim_members, scim_users

BY = "provider:scim"
"""The actor that the audit log stores for changes by SCIM."""

_OTHER = re.compile(r"[^a-z0-9]+")


class UnknownMember(ValueError):
    """Raised if a member of a group is no user of the provider."""


class Member(NamedTuple):
    """A member of a group of the provider."""

    user: str
    """The SCIM id of the user."""
    display: str | None = None
    """What the provider sent as the name of the member."""


@dataclass(frozen=True)
class ScimGroup:
    """A group of the provider."""

    scim_id: str
    display_name: str
    external_id: str | None
    attributes: Mapping[str, Any]
    """What the provider sent, without the members."""
    members: Sequence[Member]
    group: str | None
    """The group of Holdgate that it fills; None if it fills none."""
    created_at: datetime
    changed_at: datetime
    version: int


@dataclass(frozen=True)
class GivenGroup:
    """A group as a request describes it."""

    display_name: str
    external_id: str | None
    attributes: Mapping[str, Any]
    members: Sequence[Member]


# ------------------------------------------------------------------------------------------------------------- reading


async def get(conn: AsyncConnection, scim_id: str, *, with_members: bool = True) -> ScimGroup | None:
    """Return the group with this SCIM id; None if there is none."""
    row = (await conn.execute(select(scim_groups).where(scim_groups.c.scim_id == scim_id))).one_or_none()
    if row is None:
        return None
    return _group(row, (await _members_of(conn, [scim_id]))[scim_id] if with_members else [])


async def listed(
    conn: AsyncConnection, equal: Mapping[str, str], *, offset: int, limit: int, with_members: bool = True
) -> list[ScimGroup]:
    """Return groups in the order of their creation. `equal` are values of `id`, `externalId` or `displayName`."""
    query = select(scim_groups).where(_same(equal)).order_by(scim_groups.c.created_at, scim_groups.c.scim_id)
    rows = (await conn.execute(query.offset(offset).limit(limit))).all()
    members = await _members_of(conn, [row.scim_id for row in rows]) if with_members else {}
    return [_group(row, members.get(row.scim_id, [])) for row in rows]


async def number(conn: AsyncConnection, equal: Mapping[str, str]) -> int:
    """Return the number of groups with these values."""
    return int(await conn.scalar(select(func.count()).select_from(scim_groups).where(_same(equal))))


def _same(equal: Mapping[str, str]) -> ColumnElement[bool]:
    columns = {"id": scim_groups.c.scim_id, "externalId": scim_groups.c.external_id}
    plain = [columns[name] == value for name, value in equal.items() if name in columns]
    named = [scim_groups.c.name_key == fold(value) for name, value in equal.items() if name == "displayName"]
    return and_(True, *plain, *named)


def _group(row: Row[Any], members: Sequence[Member]) -> ScimGroup:
    return ScimGroup(
        scim_id=row.scim_id,
        display_name=row.attributes["displayName"],
        external_id=row.external_id,
        attributes=row.attributes,
        members=members,
        group=row.group_name,
        created_at=row.created_at,
        changed_at=row.changed_at,
        version=row.version,
    )


async def _members_of(conn: AsyncConnection, ids: Sequence[str]) -> dict[str, list[Member]]:
    found: dict[str, list[Member]] = {id: [] for id in ids}
    query = select(scim_members).where(scim_members.c.scim_group.in_(ids)).order_by(scim_members.c.scim_user)
    for row in await conn.execute(query):
        found[row.scim_group].append(Member(row.scim_user, row.display))
    return found


# ------------------------------------------------------------------------------------------------------------ changing


async def create(conn: AsyncConnection, given: GivenGroup) -> ScimGroup:
    """Store a new group, and add its members to the group that it fills. Raises UnknownMember."""
    now = datetime.now(UTC)
    row = {"scim_id": str(uuid4()), "created_at": now, "changed_at": now, "version": 1, **_columns(given)}
    row["group_name"] = await _filled(conn, given.display_name)
    await conn.execute(insert(scim_groups).values(**row))
    empty = ScimGroup(row["scim_id"], given.display_name, None, {}, [], row["group_name"], now, now, 1)
    return await _follow(conn, empty, given, empty)


async def change(conn: AsyncConnection, before: ScimGroup, given: GivenGroup) -> ScimGroup:
    """Store the group as the provider sends it now, and change the members of the groups that it filled and fills.

    Raises UnknownMember, LastAdmin.
    """
    now = datetime.now(UTC)
    values = {**_columns(given), "changed_at": now, "version": before.version + 1}
    values["group_name"] = await _filled(conn, given.display_name)
    await conn.execute(update(scim_groups).where(scim_groups.c.scim_id == before.scim_id).values(**values))
    after = replace(before, group=values["group_name"], changed_at=now, version=values["version"])
    return await _follow(conn, before, given, after)


async def remove(conn: AsyncConnection, before: ScimGroup) -> None:
    """Delete a group of the provider. Its members lose the group that it filled. Raises LastAdmin."""
    persons = await _persons(conn, [each.user for each in before.members])
    await conn.execute(delete(scim_members).where(scim_members.c.scim_group == before.scim_id))
    await conn.execute(delete(scim_groups).where(scim_groups.c.scim_id == before.scim_id))
    await give(conn, persons, BY)
    await _release(conn, before.group, BY)


def _columns(given: GivenGroup) -> dict[str, Any]:
    return {
        "name_key": fold(given.display_name),
        "external_id": given.external_id,
        "attributes": dict(given.attributes),
    }


async def _follow(conn: AsyncConnection, before: ScimGroup, given: GivenGroup, after: ScimGroup) -> ScimGroup:
    """Write the members, and give and take memberships as the change from `before` to `after` says."""
    had, has = set(before.members), {each.user: each for each in given.members}
    gone = sorted(each.user for each in had - set(has.values()))
    new = sorted(set(has.values()) - had)
    persons = await _persons(conn, [*gone, *(each.user for each in new)])
    for some in in_parts(gone):
        its = (scim_members.c.scim_group == before.scim_id, scim_members.c.scim_user.in_(some))
        await conn.execute(delete(scim_members).where(*its))
    if new:
        rows = [{"scim_group": before.scim_id, "scim_user": each.user, "display": each.display} for each in new]
        await conn.execute(insert(scim_members), rows)
    if before.group != after.group:
        persons |= await _persons(conn, [each.user for each in had])
    await give(conn, persons, BY)
    if before.group != after.group:
        await _release(conn, before.group, BY)
    return replace(
        after,
        display_name=given.display_name,
        external_id=given.external_id,
        attributes=given.attributes,
        members=sorted(has.values()),
    )


async def _persons(conn: AsyncConnection, users: Collection[str]) -> set[str]:
    """Return the people of these users of the provider. Raises UnknownMember."""
    found: dict[str, str] = {}
    for some in in_parts(users):
        query = select(scim_users.c.scim_id, scim_users.c.person).where(scim_users.c.scim_id.in_(some))
        found |= {row.scim_id: row.person for row in await conn.execute(query)}
    if unknown := sorted(set(users) - set(found)):
        raise UnknownMember(f"members: there is no user with the id {unknown[0]}")
    return set(found.values())


async def give(conn: AsyncConnection, persons: Collection[str], by: str) -> None:
    """Make the memberships that people have by SCIM what the groups of the provider say. Raises LastAdmin."""
    wanted: dict[str, set[str]] = {person: set() for person in persons}
    for some in in_parts(persons):
        query = (
            select(scim_users.c.person, scim_groups.c.group_name)
            .join(scim_members, scim_members.c.scim_user == scim_users.c.scim_id)
            .join(scim_groups, scim_groups.c.scim_id == scim_members.c.scim_group)
            .where(scim_users.c.person.in_(some), scim_users.c.active, scim_groups.c.group_name.is_not(None))
        )
        for row in await conn.execute(query):
            wanted[row.person].add(row.group_name)
    await provided_groups.assign_all(conn, wanted, "scim", by)


# ------------------------------------------------------------------------------------------------------------- mapping


class MappedName(NamedTuple):
    """A group of the provider that an administrator mapped."""

    display_name: str
    group: str


async def mappings(conn: AsyncConnection) -> list[MappedName]:
    """Return all mappings, ordered by the name of the group of the provider."""
    rows = await conn.execute(select(scim_mappings).order_by(scim_mappings.c.name_key))
    return [MappedName(row.display_name, row.group_name) for row in rows]


async def map_name(conn: AsyncConnection, display_name: str, group: str, by: str) -> str:
    """Let groups of the provider with this displayName fill the group `group`. Return the stored name of the group.

    Raises ValueError for an invalid name, LastAdmin if the group was mapped to `admins` before.
    """
    await lock_scim(conn)
    key, group = _key(display_name), people.group_named(group)
    row = {"display_name": display_name.strip(), "group_name": group, "mapped_by": by, "mapped_at": datetime.now(UTC)}
    put = insert_into(conn, scim_mappings).values(name_key=key, **row)
    await conn.execute(put.on_conflict_do_update(index_elements=[scim_mappings.c.name_key], set_=row))
    summary = f"The SCIM group {display_name.strip()} fills {group}"
    data = {"provider_group": display_name.strip(), "group": group, "provider": "scim"}
    await audit_log.note(conn, "group_mapped", by=by, summary=summary, data=data)
    await group_owners.own(conn, group, "scim", by)
    await _fill_again(conn, key, group, by)
    return group


async def unmap_name(conn: AsyncConnection, display_name: str, by: str) -> str | None:
    """Delete the mapping of a displayName. Return the group that it fills from now on; None if it fills none.

    Raises ValueError if there is no such mapping, LastAdmin if no administrator would be left.
    """
    await lock_scim(conn)
    key = _key(display_name)
    gone = delete(scim_mappings).where(scim_mappings.c.name_key == key).returning(scim_mappings.c.group_name)
    before = (await conn.execute(gone)).scalar()
    if before is None:
        raise ValueError(f"the group {display_name} is not mapped: ./holdgate scim groups lists the groups")
    after = group_by_name(display_name)
    summary = f"The SCIM group {display_name.strip()} is not mapped to {before} any more"
    data = {"provider_group": display_name.strip(), "group": before, "provider": "scim"}
    await audit_log.note(conn, "group_unmapped", by=by, summary=summary, data=data)
    await _fill_again(conn, key, after, by)
    await _release(conn, before, by)
    return after


def _key(display_name: str) -> str:
    if not 1 <= len(key := fold(display_name)) <= 500:
        raise ValueError("enter the displayName of a group of the identity provider, with 1 to 500 characters")
    return key


def group_by_name(display_name: str) -> str | None:
    """Return the group that a group of the provider fills without a mapping; None if it fills none."""
    slug = _OTHER.sub("-", without_accents(fold(display_name))).strip("-")
    return slug if 1 <= len(slug) <= 60 and slug != ADMINS else None


async def _filled(conn: AsyncConnection, display_name: str) -> str | None:
    mapped = select(scim_mappings.c.group_name).where(scim_mappings.c.name_key == fold(display_name))
    found: str | None = await conn.scalar(mapped)
    return found or group_by_name(display_name)


async def _fill_again(conn: AsyncConnection, key: str, group: str | None, by: str) -> None:
    """Let the groups of the provider with this name fill another group."""
    query = select(scim_groups.c.scim_id, scim_groups.c.group_name).where(scim_groups.c.name_key == key)
    found = {row.scim_id: row.group_name for row in await conn.execute(query)}
    if not found:
        return
    await conn.execute(update(scim_groups).where(scim_groups.c.scim_id.in_(list(found))).values(group_name=group))
    members = await _members_of(conn, list(found))
    await give(conn, await _persons(conn, {each.user for some in members.values() for each in some}), by)
    for before in sorted({each for each in found.values() if each is not None and each != group}):
        await _release(conn, before, by)


async def _release(conn: AsyncConnection, group: str | None, by: str) -> None:
    """Give a group back to administrators, if no group of the provider and no mapping fills it any more."""
    if group is None:
        return
    for table in (scim_groups, scim_mappings):
        if (await conn.execute(select(table.c.name_key).where(table.c.group_name == group).limit(1))).first():
            return
    await group_owners.release(conn, group, "scim", by)
