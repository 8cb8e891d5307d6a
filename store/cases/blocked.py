"""Workflows that cannot go on by themselves, each with the task by which operators deal with it."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.case import CaseEvent
from domain.status import Outcome, Status
from domain.task import TaskView
from store.audit import audit_log
from store.cases import tasks
from store.db.database import insert_once
from store.tables.audit import events
from store.tables.cases import cases, stopped, tasks as tasks_table

Kind = Literal["failing", "unknown", "behind", "ended"]
"""`failing`: its Workflow task fails again and again. Of the others Temporal knows less than the record: the Workflow
is not there, is at an earlier point, or has ended."""
WHOLE_CASE = "case"
"""Stands where incidents name the step that failed: no step did, the case as a whole stands still."""
NAMED = 20
"""Workflows that health names; more are counted."""


class Stopped(BaseModel):
    """One Workflow that cannot go on."""

    model_config = ConfigDict(from_attributes=True)

    workflow_id: str
    kind: Kind
    case_id: str | None
    """None for an import, and for what was started by hand."""
    task_id: str | None
    status: Status | None
    """The case's before it stopped."""
    cause: str
    """For people."""
    technical: str
    """For engineers."""
    since: datetime


async def all(conn: AsyncConnection) -> list[Stopped]:
    """Every one of them, the longest first."""
    rows = await conn.execute(select(stopped).order_by(stopped.c.since, stopped.c.workflow_id))
    return [Stopped.model_validate(row) for row in rows]


async def counts(conn: AsyncConnection) -> dict[str, int]:
    """How many there are of each kind."""
    query = select(stopped.c.kind, func.count()).group_by(stopped.c.kind)
    return {row.kind: row[1] for row in await conn.execute(query)}


async def add(conn: AsyncConnection, one: Stopped, task: TaskView | None, event: CaseEvent | None) -> bool:
    """Store what stands still and, of a case, the task of operators; False when that is known already."""
    if not await insert_once(conn, stopped, one.model_dump()):
        return False
    if task is not None and event is not None:
        await tasks.open_all(conn, [task])
        await audit_log.append(conn, [event])
        same = (cases.c.case_id == task.case_id, cases.c.closed_at.is_(None))
        await conn.execute(update(cases).where(*same).values(status=Status.NEEDS_INTERVENTION))
    return True


async def remove(conn: AsyncConnection, one: Stopped, event: CaseEvent | None) -> None:
    """It goes on, or another Workflow has the case: operators need not deal with it any more."""
    await conn.execute(delete(stopped).where(stopped.c.workflow_id == one.workflow_id))
    if one.case_id is None:
        return
    await tasks.close(conn, one.task_id or "", Outcome.CANCELLED, datetime.now(UTC))
    if event is not None:
        await audit_log.append(conn, [event])
    still = (cases.c.case_id == one.case_id, cases.c.status == Status.NEEDS_INTERVENTION)
    if one.status is not None and not await _asks_operators(conn, one.case_id):
        await conn.execute(update(cases).where(*still, cases.c.closed_at.is_(None)).values(status=one.status))


async def by_task(conn: AsyncConnection, task_id: str) -> Stopped | None:
    """What a task of operators is about."""
    row = (await conn.execute(select(stopped).where(stopped.c.task_id == task_id))).one_or_none()
    return Stopped.model_validate(row) if row else None


async def tasks_so_far(conn: AsyncConnection, case_id: str) -> int:
    """How many tasks a case has had, to number the next one."""
    query = select(func.count()).select_from(tasks_table).where(tasks_table.c.case_id == case_id)
    return int(await conn.scalar(query) or 0)


async def made_by(conn: AsyncConnection, case_id: str, workflow_id: str, limit: int = 30) -> dict[str, datetime]:
    """The newest events of a case that this Workflow has written, by id: when they happened."""
    query = select(events.c.event_id, events.c.at).where(events.c.case_id == case_id)
    rows = (await conn.execute(query.order_by(events.c.position.desc()).limit(limit))).all()
    own = f"{workflow_id}/"
    # Of whoever started it is "/0", and further words of its rounds and of its start; the Workflow's end in digests.
    return {row.event_id: row.at for row in rows if row.event_id.startswith(own) and len(row.event_id) >= len(own) + 16}


async def _asks_operators(conn: AsyncConnection, case_id: str) -> bool:
    query = select(tasks_table.c.task_id).where(
        tasks_table.c.case_id == case_id, tasks_table.c.status == "open", tasks_table.c.kind == "intervention"
    )
    return (await conn.execute(query.limit(1))).first() is not None
