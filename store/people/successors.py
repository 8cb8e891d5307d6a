"""In whose place somebody is: people who have left name who came after them, always somebody who is there."""

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables.people import people


async def is_active(conn: AsyncConnection, id: str) -> bool:
    """Whether the person is there and has not left."""
    return (await conn.scalar(select(people.c.active).where(people.c.id == id))) is True


async def successors_of(conn: AsyncConnection, names: Iterable[str]) -> dict[str, str | None]:
    """Of these people those who have left, each with the active person who came after; None where nobody did.

    Names are compared without case, as the rules of gates compare them.
    """
    low = {name.casefold(): name for name in names}
    gone = select(people.c.id, people.c.successor).where(~people.c.active, func.lower(people.c.id).in_(low))
    return {low[row.id.casefold()]: row.successor for row in await conn.execute(gone)}


async def in_place_of(conn: AsyncConnection, id: str) -> str | None:
    """The person, or if they have left the active person who came after them; None where nobody did."""
    return (await successors_of(conn, [id])).get(id, id)
