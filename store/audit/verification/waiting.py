"""Check the list of events and seals that have no position yet (table `unsequenced`)."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Select, select

from store.db.connection import AsyncConnection
from store.tables.audit import event_positions, events, seal_positions, seals, unsequenced

LONGEST = timedelta(minutes=1)
"""An event or seal that has waited longer is a problem: no worker and no gateway runs, or something prevents
sequencing.
"""


class Waiting(NamedTuple):
    """How many events and seals have no position yet, and what is wrong with the list of these events and seals."""

    number: int
    oldest_s: float
    """How many seconds ago the oldest of these events and seals was written; 0 if there are none."""
    problems: list[str]


async def check(conn: AsyncConnection, case_id: str | None = None) -> Waiting:
    """Return what waits, and the problems of the list, one sentence each. With `case_id`, only for one case."""
    number, oldest_s, problems = 0, 0.0, []
    for query in _QUERIES:
        of_case = query if case_id is None else query.where(query.selected_columns.case_id == case_id)
        for row in await conn.execute(of_case):
            name = f"{row.kind} number {row.number} of table unsequenced"
            if row.stored is None:
                problems.append(f"{name} is not stored: it was removed before it was sequenced, or the entry inserted")
            elif row.position is not None:
                problems.append(f"{name} is listed, and has position {row.position}: the entry was inserted")
            else:
                number += 1
                oldest_s = max(oldest_s, (datetime.now(UTC) - row.at).total_seconds())
    if oldest_s > LONGEST.total_seconds():
        problems.append(
            f"{number} events and seals are not sequenced yet, the oldest for {oldest_s:.0f} s:"
            " no worker and no gateway runs, or something prevents sequencing"
        )
    return Waiting(number, oldest_s, problems)


def _query(kind: str, stored: Any, places: Any) -> Select[Any]:
    return (
        select(
            *(unsequenced.c.kind, unsequenced.c.number, unsequenced.c.at),
            *(stored.c.number.label("stored"), stored.c.case_id, places.c.position),
        )
        .select_from(
            unsequenced.outerjoin(stored, stored.c.number == unsequenced.c.number).outerjoin(
                places, places.c.number == unsequenced.c.number
            )
        )
        .where(unsequenced.c.kind == kind)
        .order_by(unsequenced.c.number)
    )


_QUERIES = (_query("event", events, event_positions), _query("seal", seals, seal_positions))
