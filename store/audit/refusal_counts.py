"""Refused attempts in the audit log: the first refusals of a person are stored as events, further refusals are counted.

The limits prevent one person from filling the log or hiding decisions in a flood of refusals. For each person and task
20 refusals become events, and each person causes at most 200 events a day over all tasks. Further refusals are counted
in `refusal_counts` in the same transaction. A job of the worker writes each count as one event with its first and last
moment. So the refusals of one person add at most 224 events a day.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import and_, or_, select, update

from domain.case import CaseEvent
from domain.erasure import ContentErased
from domain.moments import moment_text
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import Database, fit, insert_once
from store.tables.audit import refusal_counts

LISTED = 20
"""The maximum number of refusals of one person on one task that are stored as events."""
LISTED_A_DAY = 200
"""The maximum number of events that refusals of one person add in `DAY`: listed refusals and counts of single tasks."""
DAY = timedelta(days=1)
QUIET = timedelta(seconds=10)
"""The count for a task is written after this time without another refusal."""
LONGEST = timedelta(hours=1)
"""A count is due at the latest this long after its first refusal.

The count of a person over all tasks is due only after this time.
"""
AT_ONCE = 100
"""The maximum number of counts that one run writes as events."""
ALL = ""
"""Key used instead of a task id for the count of a person over all tasks."""
DECODING = "decoding"
"""Key used instead of a task id for refusals to decode payloads of Temporal."""


async def record(conn: AsyncConnection, event: CaseEvent, person: str, *, about: str | None = None) -> bool:
    """Store a refusal as an event, or only count it. Return True if the refusal was stored as an event.

    `about` is what the refusals are counted by; None: the task of the event.
    """
    now = datetime.now(UTC)
    about = str(event.data["task_id"]) if about is None else about
    whole = await _locked(conn, person, ALL, None, now)
    budget = 0 if now - whole.since >= DAY else whole.listed
    if budget >= LISTED_A_DAY:
        await _count(conn, whole, now)
        return False
    of_task = await _locked(conn, person, about, event.case_id or None, now)
    listed: bool = of_task.listed < LISTED
    if listed:
        await _set(conn, of_task, listed=of_task.listed + 1)
        await audit_log.append(conn, [event])
    else:
        await _count(conn, of_task, now)
    if listed or not of_task.uncounted:  # the first counted refusal leads to an event later
        await _set(conn, whole, listed=budget + 1, since=now if budget == 0 else whole.since)
    return listed


async def counted_only(conn: AsyncConnection, person: str, task_id: str) -> bool:
    """Return True if the next refusal of this person on this task would be counted and not stored as an event."""
    query = select(refusal_counts).where(
        refusal_counts.c.person == fit(person, refusal_counts.c.person), refusal_counts.c.about.in_((ALL, task_id))
    )
    for row in await conn.execute(query):
        if row.about == ALL and row.listed >= LISTED_A_DAY and datetime.now(UTC) - row.since < DAY:
            return True
        if row.about != ALL and row.listed >= LISTED:
            return True
    return False


class CountedRefusals:
    """The worker job that writes the counts as events."""

    def __init__(self, db: Database, quiet: timedelta = QUIET, longest: timedelta = LONGEST) -> None:
        self._db, self._quiet, self._longest = db, quiet, longest

    async def look(self) -> int:
        """Write one event for each count that is due, at most `AT_ONCE` in one run.

        Return the number of counts that were due, including those that another worker has written meanwhile.
        """
        now = datetime.now(UTC)
        counts = refusal_counts.c
        calm = and_(counts.about != ALL, counts.last_at <= now - self._quiet)
        due = (counts.uncounted > 0, or_(calm, counts.first_at <= now - self._longest))
        async with self._db.read() as conn:
            found = (await conn.execute(select(counts.person, counts.about).where(*due).limit(AT_ONCE))).all()
        for person, about in found:
            async with self._db.write() as conn:
                await _write(conn, person, about)
        return len(found)


async def _write(conn: AsyncConnection, person: str, about: str) -> None:
    row = await _locked(conn, person, about, None, datetime.now(UTC))
    if not row.uncounted:  # another worker was faster
        return
    span = f"between {moment_text(row.first_at, seconds=True)} and {moment_text(row.last_at, seconds=True)}"
    data: dict[str, Any] = {"person": person, "count": row.uncounted}
    data |= {"first_at": row.first_at.isoformat(), "last_at": row.last_at.isoformat()}
    event = CaseEvent(
        event_id=f"refusal/{uuid4()}",
        case_id=row.case_id or "",
        at=datetime.now(UTC),
        kind="refusals_counted",
        actor=audit_log.ENGINE,
        summary=f"{person} was refused {row.uncounted} more times {span}",
        data=data | ({} if about in (ALL, DECODING) else {"task_id": about}),
    )
    try:
        await audit_log.append(conn, [event])
    except ContentErased:  # an erased case takes no more events
        await audit_log.append(conn, [event.model_copy(update={"case_id": ""})])
    await _set(conn, row, uncounted=0, first_at=None, last_at=None)


async def _locked(conn: AsyncConnection, person: str, about: str, case_id: str | None, now: datetime) -> Any:
    """Return the row with the count of a person on a task, or on all tasks if `about` is `ALL`.

    Create the row if it is missing, and lock it until the transaction ends.
    """
    person = fit(person, refusal_counts.c.person)
    new = {"person": person, "about": about, "case_id": case_id, "listed": 0, "since": now, "uncounted": 0}
    await insert_once(conn, refusal_counts, new)
    query = select(refusal_counts).where(refusal_counts.c.person == person, refusal_counts.c.about == about)
    return (await conn.execute(query.with_for_update())).one()


async def _count(conn: AsyncConnection, row: Any, now: datetime) -> None:
    await _set(conn, row, uncounted=row.uncounted + 1, first_at=row.first_at or now, last_at=now)


async def _set(conn: AsyncConnection, row: Any, **values: Any) -> None:
    this = (refusal_counts.c.person == row.person, refusal_counts.c.about == row.about)
    await conn.execute(update(refusal_counts).where(*this).values(**values))
