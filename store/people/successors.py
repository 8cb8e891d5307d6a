"""Successors: the row of a person who has left names their successor, who is always an active person."""

from collections.abc import Iterable

from sqlalchemy import func, select

from store.db.connection import AsyncConnection
from store.tables.people import people


async def is_active(conn: AsyncConnection, id: str) -> bool:
    """Return True if the person exists and has not left."""
    return (await conn.scalar(select(people.c.active).where(people.c.id == id))) is True


async def is_erased(conn: AsyncConnection, id: str) -> bool:
    """Return True if the person was erased: the id stays as a pseudonym, and nobody returns under it."""
    return (await conn.scalar(select(people.c.erased_at).where(people.c.id == id))) is not None


async def successors_of(conn: AsyncConnection, names: Iterable[str]) -> dict[str, str | None]:
    """Return the people in `names` who have left, each with their active successor, or None without a successor.

    Names are compared without case, in the same way as in the rules of gates.
    """
    low = {name.casefold(): name for name in names}
    gone = select(people.c.id, people.c.successor).where(~people.c.active, func.lower(people.c.id).in_(low))
    return {low[row.id.casefold()]: row.successor for row in await conn.execute(gone)}


async def in_place_of(conn: AsyncConnection, id: str) -> str | None:
    """Return the id if the person has not left.

    Otherwise return the id of the active successor, or None without a successor.
    """
    return (await successors_of(conn, [id])).get(id, id)
