"""Find the members of groups who can act now."""

from collections.abc import Collection

from sqlalchemy import select

from store.db.connection import AsyncConnection
from store.tables.people import memberships, people


async def active_members(conn: AsyncConnection, *groups: str, but: Collection[str] = ()) -> list[str]:
    """Return the ids of the active people in one of the groups, without those in `but`, in the order of ids.

    A service account is never among them.
    """
    query = select(people.c.id).join(memberships, memberships.c.person == people.c.id).distinct()
    query = query.where(memberships.c.group_name.in_(groups), people.c.id.not_in(but))
    query = query.where(people.c.active, people.c.kind == "person")
    return list((await conn.execute(query.order_by(people.c.id))).scalars())
