"""Lock a person, so that changes of their credentials and their leaving happen one after the other."""

from typing import Any

from sqlalchemy import Row, select

from store.db.connection import AsyncConnection
from store.tables.people import people


async def locked(conn: AsyncConnection, id: str) -> Row[Any] | None:
    """Lock the person's row until the end of the transaction, and return the row.

    Return None for unknown and inactive people.

    Take this lock before any other row of the person and before the audit log: the opposite order can deadlock. Rows
    that refer to the person can still be added.
    """
    query = select(people).where(people.c.id == id).with_for_update(key_share=True)
    row = (await conn.execute(query)).first()
    return row if row is not None and row.active else None
