"""The cases that an upload started."""

from sqlalchemy import func, literal, select, tuple_

from domain.status import Status
from store.cases.cases import CaseRow
from store.db.connection import AsyncConnection
from store.tables.base import Instant
from store.tables.cases import cases


async def counts_by_status(conn: AsyncConnection, batch_id: str) -> dict[str, int]:
    """Return the number of cases of a batch by status."""
    query = select(cases.c.status, func.count()).where(cases.c.batch_id == batch_id).group_by(cases.c.status)
    return {row.status: row[1] for row in await conn.execute(query)}


async def count_running(conn: AsyncConnection, batch_id: str) -> int:
    """Return the number of cases of a batch that are starting, running or rolling back."""
    moving = cases.c.status.in_((Status.STARTING, Status.RUNNING, Status.ROLLING_BACK))
    return (await conn.execute(select(func.count()).where(moving, cases.c.batch_id == batch_id))).scalar_one()


async def undoable(conn: AsyncConnection, batch_id: str, before: CaseRow | None, limit: int) -> list[CaseRow]:
    """Return at most `limit` cases of a batch that can be rolled back and are not rolling back yet, newest first.

    `before` is the last case of the previous page.
    """
    wanted = [status for status in Status if not status.closed and status is not Status.ROLLING_BACK]
    query = select(cases).where(cases.c.batch_id == batch_id, cases.c.workflow_id.is_(None))
    query = query.where(cases.c.status.in_([*wanted, Status.COMPLETED]))
    if before is not None:
        place = tuple_(literal(before.submitted_at, Instant), literal(before.case_id))
        query = query.where(tuple_(cases.c.submitted_at, cases.c.case_id) < place)
    found = await conn.execute(query.order_by(cases.c.submitted_at.desc(), cases.c.case_id.desc()).limit(limit))
    return [CaseRow.model_validate(row) for row in found]
