"""Workflows that cannot continue by themselves, each with the task in which operators resolve it."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import delete, func, select, update

from domain.blocked import BlockKind
from domain.case import CaseEvent
from domain.status import Outcome, Status
from domain.task import TaskView
from store.audit import audit_log
from store.cases import tasks
from store.db.connection import AsyncConnection
from store.db.database import insert_once
from store.tables.audit import events
from store.tables.cases import cases, stopped, tasks as tasks_table

WHOLE_CASE = "case"
"""The text in incidents in place of the name of a failed step, if no step failed but the whole case is blocked."""
NAMED = 20
"""How many Workflows the health report lists. Further Workflows are only counted."""


class BlockedWorkflow(BaseModel):
    """One Workflow that cannot continue."""

    model_config = ConfigDict(from_attributes=True)

    workflow_id: str
    kind: BlockKind
    case_id: str | None
    """The id of the case; None for an import, and for a Workflow that was started by hand."""
    task_id: str | None
    status: Status | None
    """The status that the case had before its Workflow was blocked."""
    cause: str
    """The cause as a sentence for people."""
    technical: str
    """The cause for engineers, such as the message of an exception."""
    since: datetime


async def all(conn: AsyncConnection) -> list[BlockedWorkflow]:
    """Return every blocked Workflow, longest blocked first."""
    rows = await conn.execute(select(stopped).order_by(stopped.c.since, stopped.c.workflow_id))
    return [BlockedWorkflow.model_validate(row) for row in rows]


async def counts(conn: AsyncConnection) -> dict[str, int]:
    """Return the number of blocked Workflows of each kind."""
    query = select(stopped.c.kind, func.count()).group_by(stopped.c.kind)
    return {row.kind: row[1] for row in await conn.execute(query)}


async def add(conn: AsyncConnection, one: BlockedWorkflow, task: TaskView | None, event: CaseEvent | None) -> bool:
    """Store that a Workflow is blocked. If the Workflow belongs to a case, also store the task for operators.

    Return False, and store nothing, if the Workflow is stored as blocked already.
    """
    if not await insert_once(conn, stopped, one.model_dump()):
        return False
    if task is not None and event is not None:
        await tasks.open_all(conn, [task])
        await audit_log.append(conn, [event])
        same = (cases.c.case_id == task.case_id, cases.c.closed_at.is_(None))
        await conn.execute(update(cases).where(*same).values(status=Status.NEEDS_INTERVENTION))
    return True


async def remove(conn: AsyncConnection, one: BlockedWorkflow, event: CaseEvent | None) -> None:
    """Remove the entry of a Workflow that is not blocked any more or was replaced, and close the task for operators."""
    await conn.execute(delete(stopped).where(stopped.c.workflow_id == one.workflow_id))
    if one.case_id is None:
        return
    await tasks.close(conn, one.task_id or "", Outcome.CANCELLED, datetime.now(UTC))
    if event is not None:
        await audit_log.append(conn, [event])
    still = (cases.c.case_id == one.case_id, cases.c.status == Status.NEEDS_INTERVENTION)
    if one.status is not None and not await _asks_operators(conn, one.case_id):
        await conn.execute(update(cases).where(*still, cases.c.closed_at.is_(None)).values(status=one.status))


async def by_task(conn: AsyncConnection, task_id: str) -> BlockedWorkflow | None:
    """Return the blocked Workflow for which this task for operators was opened."""
    row = (await conn.execute(select(stopped).where(stopped.c.task_id == task_id))).one_or_none()
    return BlockedWorkflow.model_validate(row) if row else None


async def tasks_so_far(conn: AsyncConnection, case_id: str) -> int:
    """Return the number of tasks that a case has had so far. The caller uses this number in the id of the next task."""
    query = select(func.count()).select_from(tasks_table).where(tasks_table.c.case_id == case_id)
    return int(await conn.scalar(query) or 0)


async def made_by(conn: AsyncConnection, case_id: str, workflow_id: str, limit: int = 30) -> dict[str, datetime]:
    """Return the ids of the newest events that this Workflow wrote for a case, each with its time."""
    query = select(events.c.event_id, events.c.at).where(events.c.case_id == case_id)
    rows = (await conn.execute(query.order_by(events.c.seq.desc()).limit(limit))).all()
    own = f"{workflow_id}/"
    # Event ids of the starter end in "/0" or in words for rounds and start; those of the Workflow end in digests.
    return {row.event_id: row.at for row in rows if row.event_id.startswith(own) and len(row.event_id) >= len(own) + 16}


async def _asks_operators(conn: AsyncConnection, case_id: str) -> bool:
    query = select(tasks_table.c.task_id).where(
        tasks_table.c.case_id == case_id, tasks_table.c.status == "open", tasks_table.c.kind == "intervention"
    )
    return (await conn.execute(query.limit(1))).first() is not None
