"""Numbers for monitoring: the current state of the tables, and counts of new events in the audit log."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pydantic import BaseModel
from sqlalchemy import case, func, literal_column, select

from domain.status import Status
from store.audit import audit_log
from store.cases import blocked
from store.db.connection import AsyncConnection
from store.notifications import outbox
from store.tables.audit import checkpoints, events, unsequenced
from store.tables.cases import cases, tasks
from store.tables.notifications import heartbeats

COUNTED = ("decided", "decision_refused", "refusals_counted", "rollback_started", "intervention_opened", "case_closed")
"""The kinds of events that metrics count."""
OPEN = [status.value for status in Status if not status.closed]


class OpenTasks(NamedTuple):
    """The open tasks of one gate."""

    process: str
    gate: str
    number: int
    overdue: int
    oldest: datetime
    """When the oldest task was opened."""


class MetricsSnapshot(BaseModel):
    """The numbers of tasks, cases, workers and unsent messages at one moment."""

    at: datetime
    tasks: list[OpenTasks]
    cases: dict[tuple[str, str], int]
    """Cases that have not ended, by process and status."""
    workers: int
    """Workers whose newest heartbeat is not older than the `silence` given to `snapshot`."""
    heard: datetime | None
    """When the newest heartbeat of any worker was sent; None if there is none."""
    outbox: outbox.Lag
    unsequenced: int
    """Events and seals that have no position yet."""
    unsequenced_s: float
    """How many seconds ago the oldest event or seal without a position was written; 0 if all have positions."""
    uncovered: int
    """Events that no signed checkpoint covers yet."""
    uncovered_s: float
    """How many seconds ago the oldest of these events happened; 0 if there are none."""
    stopped: dict[str, int]
    """Workflows that cannot continue, by kind of problem."""


class CountedEvent(NamedTuple):
    """One event that metrics count."""

    kind: str
    process: str
    data: dict[str, str]


async def snapshot(conn: AsyncConnection, silence: timedelta) -> MetricsSnapshot:
    """Return the current numbers. A worker that has sent no heartbeat for the time `silence` is not counted."""
    at = datetime.now(UTC)
    overdue = func.sum(case((tasks.c.due_at < at, 1), else_=0))
    by_gate = (
        select(tasks.c.process, tasks.c.gate, func.count(), overdue, func.min(tasks.c.opened_at))
        .where(tasks.c.status == literal_column("'open'"))  # same text as in the index, so that SQLite uses the index
        .group_by(tasks.c.process, tasks.c.gate)
    )
    by_status = (
        select(cases.c.process, cases.c.status, func.count())
        .where(cases.c.status.in_(OPEN))
        .group_by(cases.c.process, cases.c.status)
    )
    lives = select(func.sum(case((heartbeats.c.at > at - silence, 1), else_=0)), func.max(heartbeats.c.at))
    workers, heard = (await conn.execute(lives)).one()
    waits = select(func.count(), func.min(unsequenced.c.at))
    waiting, oldest = (await conn.execute(waits)).one()
    position = await audit_log.position(conn)
    size = await conn.scalar(select(func.max(checkpoints.c.size)).where(checkpoints.c.size <= position)) or 0
    first = (await conn.execute(audit_log.in_order(size, size + 1))).one_or_none()
    return MetricsSnapshot(
        at=at,
        tasks=[OpenTasks(*row) for row in await conn.execute(by_gate)],
        cases={(process, status): number for process, status, number in await conn.execute(by_status)},
        workers=workers or 0,
        heard=heard,
        outbox=await outbox.lag(conn, at),
        unsequenced=waiting,
        unsequenced_s=max((at - oldest).total_seconds(), 0.0) if oldest else 0.0,
        uncovered=position - size,
        uncovered_s=max((at - first.at).total_seconds(), 0.0) if first else 0.0,
        stopped=await blocked.counts(conn),
    )


async def counted_events(conn: AsyncConnection, since: int, limit: int) -> tuple[list[CountedEvent], int]:
    """Read the next `limit` events after position `since`.

    Return the events that metrics count, and the position of the last event that was read; `since` if there is none.
    """
    upto = min(since + limit, await audit_log.position(conn))
    query = audit_log.in_order(since, upto).where(events.c.kind.in_(COUNTED))
    found = [
        CountedEvent(row.kind, (row.case_id or "").partition(":")[0], _data(row.payload))
        for row in await conn.execute(query)
    ]
    return found, upto


_SAID: Sequence[str] = ("gate", "verdict", "code", "status", "count")


def _data(payload: str | None) -> dict[str, str]:
    data = json.loads(payload)["data"] if payload else {}
    return {name: str(data[name]) for name in _SAID if data.get(name)}
