"""Reminders that a requester sends to the people who can decide a task, at most once a day for each task.

A reminder writes an audit event, from which `fan_out.py` creates notifications. The time of the reminder is also stored
with the task, so that only one of two concurrent reminders is sent. The Workflow is not informed, because nothing about
the case changes.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel
from sqlalchemy import or_, select, update

from domain.case import CaseEvent
from domain.task import TaskView
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.tables.audit import events
from store.tables.cases import tasks

EVERY = timedelta(hours=24)
NUDGED = "nudged"
"""The kind of the audit event of a reminder."""


class Nudge(BaseModel):
    """A reminder that was sent for a task."""

    task_id: str
    nudged_at: datetime
    again_at: datetime
    """When the next reminder is possible."""


class ReminderTooSoon(Exception):
    """Raised if the last reminder for this task was sent less than a day ago, so that no reminder can be sent now."""

    def __init__(self, last: Nudge) -> None:
        super().__init__(f"reminded at {last.nudged_at}, and not again before {last.again_at}")
        self.last = last


class NotWaiting(Exception):
    """Raised if the task is closed, so that no reminder is possible."""


async def nudge(conn: AsyncConnection, task: TaskView, by: str, at: datetime, event_id: str) -> Nudge:
    """Remind the people who can decide the task.

    A second call with the same `event_id` sends nothing and returns the first reminder. Raises ReminderTooSoon or
    NotWaiting, and then writes nothing.
    """
    if earlier := await _known(conn, task.task_id, event_id):
        return earlier
    rested = or_(tasks.c.nudged_at.is_(None), tasks.c.nudged_at <= at - EVERY)
    marking = update(tasks).where(tasks.c.task_id == task.task_id, tasks.c.status == "open", rested)
    if not (await conn.execute(marking.values(nudged_at=at))).rowcount:
        # On PostgreSQL a repeated request may have waited here for the first one.
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
    """Return the last reminder if it is too early for the next reminder; None otherwise."""
    return last if last is not None and last.again_at > (now or datetime.now(UTC)) else None


async def latest(conn: AsyncConnection, task_ids: Iterable[str]) -> dict[str, Nudge]:
    """Return the last reminder of each of these tasks; tasks without one are left out."""
    query = select(tasks.c.task_id, tasks.c.nudged_at)
    query = query.where(tasks.c.task_id.in_(list(task_ids)), tasks.c.nudged_at.is_not(None))
    return {row.task_id: _nudge(row.task_id, row.nudged_at) for row in await conn.execute(query)}


async def _known(conn: AsyncConnection, task_id: str, event_id: str) -> Nudge | None:
    at = await conn.scalar(select(events.c.at).where(events.c.event_id == event_id))
    return _nudge(task_id, at) if at else None


def _nudge(task_id: str, at: datetime) -> Nudge:
    return Nudge(task_id=task_id, nudged_at=at, again_at=at + EVERY)
