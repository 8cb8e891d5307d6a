"""Leases for jobs that only one worker at a time may do."""

from datetime import datetime, timedelta

from sqlalchemy import delete, or_

from store.db.connection import AsyncConnection
from store.db.database import insert_into
from store.tables.notifications import leases


async def take(conn: AsyncConnection, name: str, holder: str, now: datetime, lasts: timedelta) -> bool:
    """Take the lease, or renew it. Return False while another holder has it."""
    mine = {"name": name, "holder": holder, "until": now + lasts}
    free = or_(leases.c.holder == holder, leases.c.until <= now)
    taking = insert_into(conn, leases).values(mine)
    taking = taking.on_conflict_do_update(index_elements=[leases.c.name], set_=mine, where=free)
    return (await conn.execute(taking.returning(leases.c.holder))).first() is not None


async def release(conn: AsyncConnection, name: str, holder: str) -> None:
    """Release the lease, so that another holder can take it at once."""
    await conn.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))
