"""Store how a case first ended, how long the case took, and how much of this time it waited for people.

The durations are stored once, when the case ends: at that time its tasks are read anyway, and later no list has to add
up their times.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, select, update

from domain.status import Status
from store.db.connection import AsyncConnection
from store.db.prepared import prepared
from store.tables.audit import events
from store.tables.cases import cases, tasks

_MS = timedelta(milliseconds=1)

_not_ended = (cases.c.case_id == bindparam("of_case"), cases.c.ended_at.is_(None))
_NOT_ENDED = prepared(select(cases.c.submitted_at, cases.c.start_at).where(*_not_ended))
_SPANS = prepared(select(tasks.c.opened_at, tasks.c.closed_at).where(tasks.c.case_id == bindparam("of_case")))
_END = prepared(update(cases).where(*_not_ended))


async def note(conn: AsyncConnection, case_id: str, status: Status, at: datetime) -> None:
    """Store the first end of a case whose tasks are all closed; a later end, such as a rollback, changes nothing."""
    case = (await conn.execute(_NOT_ENDED, {"of_case": case_id})).one_or_none()
    if case is None:
        return
    began = case.submitted_at
    if case.start_at and case.start_at > began:
        began = await _began(conn, case_id, case.start_at, at)
    rows = await conn.execute(_SPANS, {"of_case": case_id})
    took = max(at - began, timedelta())
    waited = waiting(((row.opened_at, row.closed_at or at) for row in rows), began, at)
    values = {"ended_at": at, "ended_as": status, "took_ms": took // _MS, "waited_ms": waited // _MS}
    await conn.execute(_END, {"of_case": case_id, **values})


def waiting(spans: Iterable[tuple[datetime, datetime]], began: datetime, ended: datetime) -> timedelta:
    """Return for how long, between `began` and `ended`, at least one of these spans was running.

    Time in which spans overlap counts once.
    """
    waited, reached = timedelta(), began
    for opened, closed in sorted((opened, min(closed, ended)) for opened, closed in spans):
        if closed > reached:
            waited += closed - max(opened, reached)
            reached = closed
    return waited


async def _began(conn: AsyncConnection, case_id: str, planned: datetime, ended: datetime) -> datetime:
    """Return the time when a scheduled case started, which may be before its planned time.

    If the case never started, return the time of its end.
    """
    started = select(func.min(events.c.at)).where(events.c.case_id == case_id, events.c.kind == "case_started")
    return (await conn.execute(started)).scalar_one() or min(planned, ended)
