"""The current status: cases by status, active batches, workers and the outbox."""

from datetime import datetime, timedelta

from pydantic import BaseModel, Field
from sqlalchemy import func, select

from domain.batch import BatchCounts
from domain.status import Status
from store.cases import batch_cases, batches, blocked
from store.dashboard.scope import DashboardScope
from store.db.connection import AsyncConnection
from store.db.heartbeats import FORGET_AFTER
from store.notifications.outbox import Lag, lag
from store.tables.cases import batches as batches_table, cases as cases_table
from store.tables.notifications import heartbeats

BATCHES = 10
"""The maximum number of batches that are listed, newest first."""
_UNDER_WAY = ("starting", "running", "paused", "cancelling")


class UnderWay(BaseModel):
    """A batch that has not ended."""

    batch_id: str
    process: str
    filename: str
    status: batches.BatchStatus
    created_at: datetime
    rows: BatchCounts
    cases: dict[str, int] = Field(description="The number of cases of the batch by status")


class Worker(BaseModel):
    """A worker that sent a heartbeat within the last hour (`FORGET_AFTER`)."""

    name: str
    heard_at: datetime
    alive: bool


class Signs(BaseModel):
    """The health of workers, outbox and Workflows, as far as the database shows it."""

    workers: list[Worker]
    outbox: Lag = Field(description="Notifications to people, by mail and other channels")
    stopped: dict[str, int] = Field(description="Workflows that cannot continue by themselves, by kind of problem")


async def statuses(conn: AsyncConnection, scope: DashboardScope) -> dict[Status, int]:
    """Return the number of cases by status, in the usual order of statuses; a status that no case has is left out."""
    query = select(cases_table.c.status, func.count()).where(scope.cases()).group_by(cases_table.c.status)
    found = {row.status: row[1] for row in await conn.execute(query)}
    return {status: found[status] for status in Status if status in found}


async def under_way(conn: AsyncConnection, scope: DashboardScope) -> list[UnderWay]:
    """Return at most 10 batches in the scope that have not ended, newest first."""
    table = batches_table.c
    columns = (table.batch_id, table.process, table.filename, table.status, table.created_at)
    query = select(*columns).where(table.status.in_(_UNDER_WAY), scope.batches())
    found = []
    for row in (await conn.execute(query.order_by(table.created_at.desc(), table.batch_id).limit(BATCHES))).all():
        found.append(
            UnderWay(
                **row._mapping,
                rows=await batches.counts(conn, row.batch_id),
                cases=await batch_cases.counts_by_status(conn, row.batch_id),
            )
        )
    return found


async def signs(conn: AsyncConnection, at: datetime, silence: timedelta) -> Signs:
    """Return the health signs; a worker without a heartbeat for `silence` counts as down."""
    lately = select(heartbeats.c.worker, heartbeats.c.at).where(heartbeats.c.at >= at - FORGET_AFTER)
    rows = await conn.execute(lately.order_by(heartbeats.c.worker))
    heard = [Worker(name=row.worker, heard_at=row.at, alive=row.at > at - silence) for row in rows]
    return Signs(workers=heard, outbox=await lag(conn, at), stopped=await blocked.counts(conn))
