"""Users that an identity provider sends by SCIM. Each user is a person, who stays when the user is deleted."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, select, true, update

from domain.normalization import fold
from store.db.connection import AsyncConnection
from store.people import leavers, scim_people
from store.people.scim_groups import BY
from store.people.successors import is_active
from store.tables.scim import scim_groups, scim_members, scim_users

LEFT, GONE = "the identity provider deactivated the user", "the identity provider deleted the user"


class NameTaken(ValueError):
    """Raised if another user of the provider has this userName."""


@dataclass(frozen=True)
class GivenUser:
    """A user as a request describes it."""

    user_name: str
    external_id: str | None
    name: str
    """The name that pages show."""
    address: str | None
    """The e-mail address for notifications."""
    active: bool | None
    attributes: Mapping[str, Any]
    """What the provider sent, of the attributes that are kept."""


@dataclass(frozen=True)
class ScimUser:
    """A user of the provider."""

    scim_id: str
    person: str
    external_id: str | None
    active: bool
    """Whether the provider lets the person in."""
    attributes: Mapping[str, Any]
    created_at: datetime
    changed_at: datetime
    version: int


# ------------------------------------------------------------------------------------------------------------- reading


async def get(conn: AsyncConnection, scim_id: str) -> ScimUser | None:
    """Return the user with this SCIM id; None if there is none, or if the provider deleted the user."""
    row = (await conn.execute(select(scim_users).where(scim_users.c.scim_id == scim_id))).one_or_none()
    return None if row is None else _user(row)


async def listed(conn: AsyncConnection, equal: Mapping[str, str], *, offset: int, limit: int) -> list[ScimUser]:
    """Return users in the order of their creation. `equal` are values of `id`, `externalId` or `userName`."""
    query = select(scim_users).where(_same(equal)).order_by(scim_users.c.created_at, scim_users.c.scim_id)
    return [_user(row) for row in await conn.execute(query.offset(offset).limit(limit))]


async def number(conn: AsyncConnection, equal: Mapping[str, str]) -> int:
    """Return the number of users with these values."""
    return int(await conn.scalar(select(func.count()).select_from(scim_users).where(_same(equal))))


def _same(equal: Mapping[str, str]) -> ColumnElement[bool]:
    columns = {"id": scim_users.c.scim_id, "externalId": scim_users.c.external_id}
    plain = [columns[name] == value for name, value in equal.items() if name in columns]
    named = [scim_users.c.user_key == fold(value) for name, value in equal.items() if name == "userName"]
    return and_(true(), *plain, *named)


def _user(row: Row[Any]) -> ScimUser:
    return ScimUser(
        scim_id=row.scim_id,
        person=row.person,
        external_id=row.external_id,
        active=row.active,
        attributes=row.attributes,
        created_at=row.created_at,
        changed_at=row.changed_at,
        version=row.version,
    )


# ------------------------------------------------------------------------------------------------------------ changing


async def create(conn: AsyncConnection, given: GivenUser) -> ScimUser:
    """Store a new user. The user is the person of the same userName before, a person who is here, or a new person.

    Raises NameTaken, ValueError if the user cannot be a person here, LastAdmin.
    """
    key = fold(given.user_name)
    await _check_free(conn, key)
    person = await scim_people.person_for(conn, key, given.user_name, given.external_id, given.name, given.address)
    if (await conn.execute(select(scim_users.c.scim_id).where(scim_users.c.person == person))).first() is not None:
        raise NameTaken(f"the person {person} belongs to another user of the identity provider")
    now, active = datetime.now(UTC), given.active is not False
    user = ScimUser(str(uuid4()), person, given.external_id, active, given.attributes, now, now, 1)
    row = {"scim_id": user.scim_id, "person": person, "created_at": now, **_columns(user, key)}
    await conn.execute(insert(scim_users).values(**row))
    await scim_people.remember(conn, key, person)
    await scim_people.describe(conn, person, given.name, given.address)
    await _let_in_or_out(conn, person, LEFT, active=active)
    return user


async def change(conn: AsyncConnection, before: ScimUser, given: GivenUser, former: GivenUser) -> ScimUser:
    """Store the user as the provider sends it now. `former` is the user as it was.

    Only what the request changes is changed at the person. So a person who was deactivated here stays deactivated until
    the provider deactivates and activates the user. Raises NameTaken, ValueError for a name or an address that cannot
    be used, LastAdmin.
    """
    key, old_key = fold(given.user_name), fold(former.user_name)
    if key != old_key:
        await _check_free(conn, key)
        await scim_people.forget(conn, old_key)
        await scim_people.remember(conn, key, before.person)
    active = before.active if given.active is None else given.active
    after = replace(
        before,
        external_id=given.external_id,
        active=active,
        attributes=given.attributes,
        changed_at=datetime.now(UTC),
        version=before.version + 1,
    )
    its = scim_users.c.scim_id == before.scim_id
    await conn.execute(update(scim_users).where(its).values(**_columns(after, key)))
    name = given.name if given.name != former.name else None
    await scim_people.describe(conn, before.person, name, given.address, given.address != former.address)
    if active != before.active:
        await _let_in_or_out(conn, before.person, LEFT, active=active)
    return after


async def remove(conn: AsyncConnection, user: ScimUser) -> None:
    """Delete the user. The person is deactivated and stays, for the audit log names the person. Raises LastAdmin."""
    memberships = select(scim_members.c.scim_group).where(scim_members.c.scim_user == user.scim_id)
    groups = list((await conn.execute(memberships)).scalars())
    changed = update(scim_groups).where(scim_groups.c.scim_id.in_(groups))
    await conn.execute(changed.values(version=scim_groups.c.version + 1, changed_at=datetime.now(UTC)))
    await conn.execute(delete(scim_members).where(scim_members.c.scim_user == user.scim_id))
    await conn.execute(delete(scim_users).where(scim_users.c.scim_id == user.scim_id))
    await _let_in_or_out(conn, user.person, GONE, active=False)


async def _check_free(conn: AsyncConnection, key: str) -> None:
    if (await conn.execute(select(scim_users.c.scim_id).where(scim_users.c.user_key == key))).first() is not None:
        raise NameTaken("userName: another user has this userName")


def _columns(user: ScimUser, key: str) -> dict[str, Any]:
    return {
        "user_key": key,
        "external_id": user.external_id,
        "active": user.active,
        "attributes": dict(user.attributes),
        "changed_at": user.changed_at,
        "version": user.version,
    }


async def _let_in_or_out(conn: AsyncConnection, person: str, reason: str, *, active: bool) -> None:
    if await is_active(conn, person) == active:
        return
    if active:
        await leavers.reactivate(conn, person, [], BY)
    else:
        await leavers.deactivate(conn, person, reason, BY)
