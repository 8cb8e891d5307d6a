"""Deactivate people who leave, give their work to a successor, and reactivate people who return under their old id.

The id of a person who has left is never given to another person, so a person who returns gets the same id.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, update

from domain.names import ADMINS
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import insert_once
from store.people import (
    absences,
    group_owners,
    identities,
    new_members,
    one_time_links,
    passkeys,
    scim_groups,
    service_accounts,
    tokens,
)
from store.people.last_admin import check_admin_left
from store.people.people import check_new, get_person, group_named
from store.people.person_lock import locked
from store.people.successors import is_active
from store.tables.people import memberships, passwords, people, sessions


async def replace(conn: AsyncConnection, old: str, new: str, reason: str, by: str) -> None:
    """Deactivate the person `old`. The person `new` gets the requests, groups, direct reports and
    substitutions of `old`, but not the groups whose members an identity provider sets.

    Raises UnknownPerson, LastAdmin, and ValueError if `old` and `new` are the same person. `store.cases.recounts` later
    changes the open tasks of `old`.
    """
    await locked(conn, old)
    leaver, successor = await get_person(conn, old), await get_person(conn, new)
    if leaver.id.casefold() == successor.id.casefold():
        raise ValueError("name another person as the successor")
    provided = await group_owners.owned(conn, leaver.groups)
    handed = [group for group in leaver.groups if group not in provided]
    joined = [group for group in handed if await insert_once(conn, memberships, _membership(new, group, by))]
    await conn.execute(update(people).where(people.c.manager == old, people.c.id != new).values(manager=new))
    await absences.hand_over(conn, old, new)
    revoked = await _left(conn, old, new, by)
    await new_members.tell(conn, new, joined, by)
    summary = f"{leaver.name} was replaced by {successor.name}: {reason}"
    data = {"person": old, "by": new, "groups": leaver.groups, "token_ids": revoked, "reason": reason}
    await audit_log.note(conn, "person_replaced", by=by, summary=summary, data=data)
    if ADMINS in leaver.groups:  # the successor does not get the group if a provider sets its members
        await check_admin_left(conn, leaver.name)


async def deactivate(conn: AsyncConnection, id: str, reason: str, by: str) -> None:
    """Deactivate a person without a successor. The person loses all groups and cannot sign in any more.

    Raises UnknownPerson, LastAdmin, and ValueError for a person who has left already.
    """
    await locked(conn, id)
    leaver = await get_person(conn, id)
    if not await is_active(conn, id):
        raise ValueError(f"{id} has left already")
    await absences.hand_over(conn, id, None)
    revoked = await _left(conn, id, None, by)
    summary = f"{leaver.name} has left without a successor: {reason}"
    data = {"person": id, "groups": leaver.groups, "token_ids": revoked, "reason": reason}
    await audit_log.note(conn, "person_deactivated", by=by, summary=summary, data=data)
    if ADMINS in leaver.groups:
        await check_admin_left(conn, leaver.name)


async def reactivate(conn: AsyncConnection, id: str, groups: Sequence[str], by: str) -> list[str]:
    """Reactivate a person under the same id. The person is then a member of only the groups `groups`, and of those that
    an identity provider gives by SCIM.

    Return the groups `groups` in their stored form.

    The successor keeps the requests, groups and tasks that the person had before leaving. The person needs a new
    password or token, and is no longer a demo person. Raises UnknownPerson, and ValueError for a person who has not
    left, for an invalid group, and for an address that another person uses now; ProvidedGroup.
    """
    back = await get_person(conn, id)
    if await is_active(conn, id):
        raise ValueError(f"{id} has not left")
    await check_new(conn, id, back.email)
    named = sorted({group_named(group) for group in groups})
    await group_owners.check_local(conn, named)
    await conn.execute(update(people).where(people.c.id == id).values(active=True, successor=None, demo=False))
    await conn.execute(delete(sessions).where(sessions.c.person == id))  # no longer a demo person, see `demo_people`
    for group in named:
        await insert_once(conn, memberships, _membership(id, group, by))
    await new_members.tell(conn, id, named, by)
    summary = f"{back.name} is back with {', '.join(named) or 'no groups'}"
    await audit_log.note(conn, "person_reactivated", by=by, summary=summary, data={"person": id, "groups": named})
    await scim_groups.give(conn, [id], by)
    return named


def _membership(person: str, group: str, by: str) -> dict[str, Any]:
    return {"person": person, "group_name": group, "added_by": by, "added_at": datetime.now(UTC)}


async def _left(conn: AsyncConnection, id: str, successor: str | None, by: str) -> list[str]:
    """Deactivate a person who leaves, and delete their group memberships, tokens, passkeys, links, sessions and
    password.

    Return the ids of the tokens, which are then revoked.
    """
    await conn.execute(delete(memberships).where(memberships.c.person == id))
    await conn.execute(update(people).where(people.c.manager == id).values(manager=None))
    await conn.execute(update(people).where(people.c.id == id).values(active=False, successor=successor, demo=False))
    # Update their predecessors too, so that nobody has to follow a chain of successors.
    await conn.execute(update(people).where(people.c.successor == id).values(successor=successor))
    revoked = await tokens.end(conn, id, by)
    await service_accounts.owner_left(conn, id, successor, by)
    await passkeys.end_all(conn, id, by)
    await identities.forget_tokens(conn, id)
    await one_time_links.void(conn, id, by=by, now=datetime.now(UTC))
    for table in (sessions, passwords):
        await conn.execute(delete(table).where(table.c.person == id))
    return revoked
