"""Successors: a person who has left refers to their successor, who is always an active person."""

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables.people import people


async def is_active(conn: AsyncConnection, id: str) -> bool:
    """Return whether the person exists and has not left."""
    return (await conn.scalar(select(people.c.active).where(people.c.id == id))) is True


async def successors_of(conn: AsyncConnection, names: Iterable[str]) -> dict[str, str | None]:
    """Return the people who have successors_of, each with the active successor; None without one.

    Names are compared without case, as the rules of gates compare them.
    """
    low = {name.casefold(): name for name in names}
    gone = select(people.c.id, people.c.successor).where(~people.c.active, func.lower(people.c.id).in_(low))
    return {low[row.id.casefold()]: row.successor for row in await conn.execute(gone)}


async def in_place_of(conn: AsyncConnection, id: str) -> str | None:
    """Return the person, or the active successor if they have successors_of; None without one."""
    return (await successors_of(conn, [id])).get(id, id)
