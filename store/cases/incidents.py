"""Open incidents as a queue for operators, grouped by cause so that one answer can resolve a whole group.

A cause is a step and the code of its failure, such as `AccountLocked/operating`. The sentence of the failure is only
displayed, and does not decide the group.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import func, literal_column, select

from domain.scope import Reach
from domain.status import Outcome, Verdict
from domain.task import TaskView
from store.cases.visibility import within
from store.db.connection import AsyncConnection
from store.tables.cases import tasks

AT_ONCE = 100
"""How many tasks of a group are listed, oldest first. A bulk answer accepts no more tasks."""


class Incidents(BaseModel):
    """Open incidents of one process with the same cause at the same step."""

    group: str
    """A short id of the group, stable while the group exists."""
    process: str
    step: str
    failure: str
    """The code of the failure. Incidents of a group have the same code."""
    cause: str
    """The cause, in the words of the oldest incident of the group, for people."""
    count: int
    oldest_at: datetime
    example: TaskView
    """The oldest incident."""
    verdicts: list[Verdict]
    """The verdicts that operators can choose for the oldest incident."""
    task_ids: list[str]
    """The ids of the oldest tasks of the group, at most a hundred."""


class OpenIncident(BaseModel):
    """One task of a group, as lists show it."""

    model_config = ConfigDict(from_attributes=True)

    task_id: str
    case_id: str
    title: str
    requester: str
    opened_at: datetime
    assignee: str | None
    revision: int


class InterventionState(BaseModel):
    """The current state of a task of operators, open or closed."""

    model_config = ConfigDict(from_attributes=True)

    task_id: str
    title: str
    process: str
    outcome: Outcome | None


_STEP = tasks.c.view[("facts", "step")].as_string()
_FAILURE = tasks.c.view[("facts", "failure")].as_string()
# Same text as in the index, so that SQLite uses the index.
_OPEN = (tasks.c.status == literal_column("'open'"), tasks.c.kind == literal_column("'intervention'"))


async def groups(conn: AsyncConnection, reach: Reach, process: str | None = None, limit: int = 50) -> list[Incidents]:
    """Return the `limit` largest groups of open incidents of the processes in `reach`, largest first."""
    step, failure = func.coalesce(_STEP, ""), func.coalesce(_FAILURE, "")
    number = func.count()
    query = select(tasks.c.process, step, failure, number, func.min(tasks.c.opened_at)).where(
        *_OPEN, within(tasks.c.process, reach)
    )
    if process:
        query = query.where(tasks.c.process == process)
    query = query.group_by(tasks.c.process, step, failure)
    rows = (await conn.execute(query.order_by(number.desc(), tasks.c.process, step, failure).limit(limit))).all()
    found = []
    for of_process, of_step, of_failure, count, oldest in rows:
        like = (tasks.c.process == of_process, step == of_step, failure == of_failure)
        ids = select(tasks.c.task_id, tasks.c.view).where(*_OPEN, *like)
        named = (await conn.execute(ids.order_by(tasks.c.opened_at, tasks.c.task_id).limit(AT_ONCE))).all()
        if not named:  # answered between the two queries
            continue
        example = TaskView.model_validate(named[0].view)
        found.append(
            Incidents(
                group=hashlib.sha256("\n".join((of_process, of_step, of_failure)).encode()).hexdigest()[:8],
                process=of_process,
                step=of_step,
                failure=of_failure,
                cause=str(example.facts.get("cause") or ""),
                count=count,
                oldest_at=oldest,
                example=example,
                verdicts=example.verdicts,
                task_ids=[row.task_id for row in named],
            )
        )
    return found


async def waiting(conn: AsyncConnection, task_ids: Sequence[str]) -> list[OpenIncident]:
    """Return the tasks in `task_ids` that are still open, oldest first."""
    query = select(*(tasks.c[name] for name in OpenIncident.model_fields)).where(*_OPEN, tasks.c.task_id.in_(task_ids))
    rows = await conn.execute(query.order_by(tasks.c.opened_at, tasks.c.task_id))
    return [OpenIncident.model_validate(row) for row in rows]


async def revisions(conn: AsyncConnection, reach: Reach, task_ids: Sequence[str]) -> dict[str, int]:
    """Return the current revision of each task of the processes in `reach`; for a closed task, its last revision."""
    query = select(tasks.c.task_id, tasks.c.revision).where(tasks.c.task_id.in_(task_ids))
    query = query.where(within(tasks.c.process, reach))
    return {row.task_id: row.revision for row in await conn.execute(query)}


async def answered(conn: AsyncConnection, reach: Reach, task_ids: Sequence[str]) -> dict[str, InterventionState]:
    """Return, by task id, the current state of the tasks in `task_ids`. Tasks that do not exist, or whose process is
    not in `reach`, are left out.
    """
    query = select(*(tasks.c[name] for name in InterventionState.model_fields)).where(tasks.c.task_id.in_(task_ids))
    query = query.where(within(tasks.c.process, reach))
    return {row.task_id: InterventionState.model_validate(row) for row in await conn.execute(query)}
