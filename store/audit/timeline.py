"""The events of one case, as its page and `GET /cases/{case_id}` show them.

In a case with more than 1,000 events, only the newest 500 of the kinds in `NOISE` are shown, such as comments: people
can produce very many events of these kinds. All other events are always shown: the Workflow limits their number.
"""

from typing import NamedTuple

from sqlalchemy import ColumnElement

from store.audit.audit_log import OF_A_CASE, StoredEvent, stored
from store.cases.cases import CaseRow
from store.db.connection import AsyncConnection
from store.tables.audit import events

NOISE = (
    *("decision_refused", "action_refused", "message_refused", "refusals_counted", "messages_counted"),
    *("comment_added", "cancel_too_late", "task_claimed", "task_released", "field_revealed", "reveal_refused"),
)
"""Kinds of events that decide nothing."""
NEWEST = 500
"""The maximum number of events of the kinds in `NOISE` that a case with more than 1,000 events shows."""
WHOLE = 1_000
"""A case with at most this number of events shows all of them."""


class Timeline(NamedTuple):
    """Events of one case, oldest first."""

    events: list[StoredEvent]
    left_out: int
    """Number of events that are not included."""


async def of_case(conn: AsyncConnection, case: CaseRow) -> Timeline:
    """Return the events to show for a case; `case` is its current row."""
    if case.head_count <= WHOLE:
        return Timeline(await _read(conn, case.case_id), 0)
    deciding = await _read(conn, case.case_id, events.c.kind.not_in(NOISE))
    newest = await _read(conn, case.case_id, events.c.kind.in_(NOISE), newest=NEWEST)
    shown = sorted([*deciding, *newest], key=lambda event: event.seq)
    return Timeline(shown, max(case.head_count - len(shown), 0))


async def page(conn: AsyncConnection, case_id: str, after: int = 0, limit: int = 200) -> list[StoredEvent]:
    """Return the next `limit` events of a case after position `after` in its chain. No event is left out."""
    return await _read(conn, case_id, events.c.seq > after, oldest=limit)


async def _read(
    conn: AsyncConnection,
    case_id: str,
    *which: ColumnElement[bool],
    oldest: int | None = None,
    newest: int | None = None,
) -> list[StoredEvent]:
    query = (
        OF_A_CASE.where(events.c.case_id == case_id, *which)
        .order_by(events.c.seq.desc() if newest else events.c.seq)
        .limit(newest or oldest)
    )
    return [stored(row) for row in (await conn.execute(query)).mappings()]
