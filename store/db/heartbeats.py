"""Heartbeats of the workers."""

from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update

from store.db.connection import AsyncConnection
from store.tables.notifications import heartbeats

FORGET_AFTER = timedelta(hours=1)
"""A worker that has sent no heartbeat for this time is not shown any more, and its row can be deleted."""


async def beat(connection: AsyncConnection, worker: str, at: datetime) -> None:
    """Store a heartbeat of a worker.

    With the first heartbeat of a worker, also delete the rows of workers that have sent no heartbeat for an hour.
    """
    moved = await connection.execute(update(heartbeats).where(heartbeats.c.worker == worker).values(at=at))
    if moved.rowcount == 0:
        await connection.execute(insert(heartbeats).values(worker=worker, at=at))
        await connection.execute(delete(heartbeats).where(heartbeats.c.at < at - FORGET_AFTER))


async def latest(connection: AsyncConnection) -> datetime | None:
    """Return the time of the newest heartbeat of any worker; None if there is no heartbeat."""
    moment: datetime | None = await connection.scalar(select(heartbeats.c.at).order_by(heartbeats.c.at.desc()).limit(1))
    return moment
