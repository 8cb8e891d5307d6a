"""Nudges: whoever asked for a case reminds those who may decide it now, once a day for each task.

A nudge is an event of the record, from which notices are made like of any other (`notices.py`), and a mark on the task,
which decides between two that come at once. The Workflow does not hear of it: nothing about the case changes.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel
from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.case import CaseEvent
from domain.task import TaskView
from store.audit import audit_log
from store.tables.audit import events
from store.tables.cases import tasks

EVERY = timedelta(hours=24)
NUDGED = "nudged"
"""The kind of the event."""


class Nudge(BaseModel):
    """Those who may decide the task were reminded."""

    task_id: str
    nudged_at: datetime
    again_at: datetime
    """From then on it can be done again."""


class ReminderTooSoon(Exception):
    """The last one was less than a day ago."""

    def __init__(self, last: Nudge) -> None:
        super().__init__(f"reminded at {last.nudged_at}, and not again before {last.again_at}")
        self.last = last


class NotWaiting(Exception):
    """The task is decided, so nobody is to be reminded."""


async def nudge(conn: AsyncConnection, task: TaskView, by: str, at: datetime, event_id: str) -> Nudge:
    """Remind those who may decide the task. The same `event_id` again is the same nudge, whenever it comes.

    Raises ReminderTooSoon and NotWaiting; nothing was written then.
    """
    if earlier := await _known(conn, task.task_id, event_id):
        return earlier
    rested = or_(tasks.c.nudged_at.is_(None), tasks.c.nudged_at <= at - EVERY)
    marking = update(tasks).where(tasks.c.task_id == task.task_id, tasks.c.status == "open", rested)
    if not (await conn.execute(marking.values(nudged_at=at))).rowcount:
        # On PostgreSQL the repeat of a request may have waited here for the first.
        if earlier := await _known(conn, task.task_id, event_id):
            return earlier
        query = select(tasks.c.status, tasks.c.nudged_at).where(tasks.c.task_id == task.task_id)
        now = (await conn.execute(query)).one()
        if now.status != "open":
            raise NotWaiting
        raise ReminderTooSoon(_nudge(task.task_id, now.nudged_at))
    event = CaseEvent(
        event_id=event_id,
        case_id=task.case_id,
        at=at,
        kind=NUDGED,
        actor=by,
        summary=f"{by} reminded those who may decide: {task.gate.replace('-', ' ')}",
        data={"task_id": task.task_id, "gate": task.gate},
    )
    await audit_log.append(conn, [event])
    return _nudge(task.task_id, at)


def resting(last: Nudge | None, now: datetime | None = None) -> Nudge | None:
    """The last nudge, while there cannot be another one."""
    return last if last is not None and last.again_at > (now or datetime.now(UTC)) else None


async def latest(conn: AsyncConnection, task_ids: Iterable[str]) -> dict[str, Nudge]:
    """The last nudge of each of these tasks that had one."""
    query = select(tasks.c.task_id, tasks.c.nudged_at)
    query = query.where(tasks.c.task_id.in_(list(task_ids)), tasks.c.nudged_at.is_not(None))
    return {row.task_id: _nudge(row.task_id, row.nudged_at) for row in await conn.execute(query)}


async def _known(conn: AsyncConnection, task_id: str, event_id: str) -> Nudge | None:
    at = await conn.scalar(select(events.c.at).where(events.c.event_id == event_id))
    return _nudge(task_id, at) if at else None


def _nudge(task_id: str, at: datetime) -> Nudge:
    return Nudge(task_id=task_id, nudged_at=at, again_at=at + EVERY)
