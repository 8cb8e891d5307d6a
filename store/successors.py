"""In whose place somebody is: people who have left name who came after them."""

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import people

MOST_STEPS = 100
"""Of successors behind one another; nobody keeps a longer line, and a circle must end."""


async def is_active(conn: AsyncConnection, id: str) -> bool:
    """Whether the person is there and has not left."""
    return (await conn.scalar(select(people.c.active).where(people.c.id == id))) is True


async def left(conn: AsyncConnection, names: Iterable[str]) -> dict[str, str | None]:
    """Of these people those who have left, each with the active person who came after; None where nobody did.

    Names are compared without case, as the rules of gates compare them.
    """
    low = {name.casefold(): name for name in names}
    found: dict[str, str | None] = {}
    for row in await conn.execute(_LEFT.where(func.lower(people.c.id).in_(low))):
        if (name := low.get(row.id.casefold())) is not None:
            found[name] = await _after(conn, row.successor)
    return found


async def in_place_of(conn: AsyncConnection, id: str) -> str | None:
    """The person, or if they have left the active person who came after them; None where nobody did."""
    gone = await left(conn, [id])
    return gone.get(id, id)


async def predecessors(conn: AsyncConnection, id: str) -> list[str]:
    """All who have left and in whose place this person is now, also by others in between."""
    found: list[str] = []
    names = [id]
    while names and len(found) < MOST_STEPS:
        query = select(people.c.id).where(people.c.successor.in_(names), ~people.c.active, people.c.id.not_in(found))
        names = sorted((await conn.execute(query)).scalars())
        found += names
    return found


_LEFT = select(people.c.id, people.c.successor).where(~people.c.active)


async def _after(conn: AsyncConnection, successor: str | None) -> str | None:
    for _ in range(MOST_STEPS):
        if successor is None:
            return None
        row = (await conn.execute(select(people.c.active, people.c.successor).where(people.c.id == successor))).first()
        if row is None or row.active:
            return successor if row else None
        successor = row.successor
    return None
