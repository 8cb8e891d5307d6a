"""What happened to one case, as its page and `GET /cases/{case_id}` show it.

What people can make more of by themselves is left out when there is much of it, the oldest first. What decided or
changed the case is never left out: its Workflow bounds how much of that there is.
"""

from typing import NamedTuple

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.audit.audit_log import StoredEvent, stored
from store.cases.cases import CaseRow
from store.tables.audit import event_payloads, events

NOISE = (
    *("decision_refused", "action_refused", "message_refused", "refusals_counted", "messages_counted"),
    *("comment_added", "cancel_too_late", "task_claimed", "task_released"),
)
"""Kinds of events that decide nothing."""
NEWEST = 500
"""Of those so many are shown."""
WHOLE = 1_000
"""Events of a case that are all shown."""


class Timeline(NamedTuple):
    """Events of one case, oldest first."""

    events: list[StoredEvent]
    left_out: int
    """How many are not among them."""


async def of_case(conn: AsyncConnection, case: CaseRow) -> Timeline:
    """Read what is shown of a case; `case` is its row as it is now."""
    if case.head_count <= WHOLE:
        return Timeline(await _read(conn, case.case_id), 0)
    deciding = await _read(conn, case.case_id, events.c.kind.not_in(NOISE))
    newest = await _read(conn, case.case_id, events.c.kind.in_(NOISE), newest=NEWEST)
    shown = sorted([*deciding, *newest], key=lambda event: event.seq)
    return Timeline(shown, max(case.head_count - len(shown), 0))


async def page(conn: AsyncConnection, case_id: str, after: int = 0, limit: int = 200) -> list[StoredEvent]:
    """Read all events of a case page by page, from behind the place `after` in its chain."""
    return await _read(conn, case_id, events.c.seq > after, oldest=limit)


async def _read(
    conn: AsyncConnection,
    case_id: str,
    *which: ColumnElement[bool],
    oldest: int | None = None,
    newest: int | None = None,
) -> list[StoredEvent]:
    query = (
        select(events, event_payloads.c.payload)
        .outerjoin(event_payloads, event_payloads.c.position == events.c.position)
        .where(events.c.case_id == case_id, *which)
        .order_by(events.c.seq.desc() if newest else events.c.seq)
        .limit(newest or oldest)
    )
    return [stored(row) for row in (await conn.execute(query)).mappings()]
