"""Count the cases that ended, by status, and compute how long they took.

The durations are in total, waiting for people, and in automatic steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import CTE, ColumnElement, Integer, Select, and_, column, func, literal_column, select, values

from domain.status import Status
from store.dashboard.scope import DashboardScope, Span
from store.db.connection import AsyncConnection
from store.tables.base import Instant
from store.tables.cases import cases

SHARES = (50, 90)
"""The percentiles that are computed, in per cent."""
_MEASURES: dict[str, ColumnElement[int]] = {
    "cycle": cases.c.took_ms,
    "waiting": cases.c.waited_ms,
    "working": cases.c.took_ms - cases.c.waited_ms,
}


class Spread(BaseModel):
    """Percentiles of the durations of several cases, in seconds.

    Each percentile is the duration of one of these cases (nearest rank method).
    """

    median_s: float
    p90_s: float
    mean_s: float


class Ended(BaseModel):
    """The cases that ended for the first time within a period."""

    since: datetime
    until: datetime
    ended: dict[str, int] = Field({}, description="Number of cases by the status they ended with")
    cycle: Spread | None = Field(None, description="Time from start to end of a case; null when no case ended")
    waiting: Spread | None = Field(None, description="Part of that time in which a task of the case was open")
    working: Spread | None = Field(None, description="The rest of that time")
    overturned: int = Field(0, description="Completed cases of this period that have been rolled back since")
    taken_back: int = Field(0, description="Cases rolled back in this period, whenever they completed")


async def parts(conn: AsyncConnection, scope: DashboardScope, span: Span) -> list[Ended]:
    """Return the numbers and durations of cases that ended, one result for each hour or day of the period."""
    found = [Ended(since=since, until=until) for since, until in span.parts]
    sums = [_Sums() for _ in found]
    of_parts, inside = _in_parts(span, cases.c.ended_at)
    ended = of_parts.join(cases, inside)
    query = select(of_parts.c.part, *_COUNTS).select_from(ended).where(scope.cases())
    for row in await conn.execute(query.group_by(of_parts.c.part, cases.c.ended_as)):
        found[row.part].ended[row.ended_as] = row.number
        found[row.part].overturned += row.overturned
        sums[row.part].add(row)
    sizes = [each.number for each in sums if each.number]
    for name, measure in _MEASURES.items():
        place = func.row_number().over(order_by=(of_parts.c.part, measure))
        numbered = select(measure.label("value"), place.label("place")).select_from(ended).where(scope.cases())
        percentiles = iter(await _percentiles(conn, numbered, sizes))
        for part, each in zip(found, sums, strict=True):
            if each.number:
                setattr(part, name, each.spread(name, next(percentiles)))
    of_parts, inside = _in_parts(span, cases.c.closed_at)
    undone = select(of_parts.c.part, func.count().label("number")).select_from(of_parts.join(cases, inside))
    for part_row in await conn.execute(undone.where(_TAKEN_BACK, scope.cases()).group_by(of_parts.c.part)):
        found[part_row.part].taken_back = part_row.number
    return found


async def whole(conn: AsyncConnection, scope: DashboardScope, span: Span) -> Ended:
    """Return the numbers and durations of cases that ended in the whole period."""
    found, sums = Ended(since=span.since, until=span.until), _Sums()
    ended = (cases.c.ended_at >= span.since, cases.c.ended_at < span.until, scope.cases())
    for row in await conn.execute(select(*_COUNTS).where(*ended).group_by(cases.c.ended_as)):
        found.ended[row.ended_as] = row.number
        found.overturned += row.overturned
        sums.add(row)
    for name, measure in _MEASURES.items() if sums.number else ():
        place = func.row_number().over(order_by=measure)
        numbered = select(measure.label("value"), place.label("place")).where(*ended)
        setattr(found, name, sums.spread(name, (await _percentiles(conn, numbered, [sums.number]))[0]))
    closed = (cases.c.closed_at >= span.since, cases.c.closed_at < span.until)
    undone = select(func.count()).where(_TAKEN_BACK, *closed, scope.cases())
    found.taken_back = (await conn.execute(undone)).scalar_one()
    return found


@dataclass
class _Sums:
    """For several cases: their number and the sums of their durations in milliseconds."""

    number: int = 0
    took: int = 0
    waited: int = 0

    def add(self, row: Any) -> None:
        self.number += row.number
        self.took += int(row.took)  # PostgreSQL returns a decimal
        self.waited += int(row.waited)

    def spread(self, measure: str, percentiles: tuple[int, int]) -> Spread:
        median, p90 = percentiles
        sums = {"cycle": self.took, "waiting": self.waited, "working": self.took - self.waited}
        return Spread(median_s=median / 1000, p90_s=p90 / 1000, mean_s=round(sums[measure] / self.number) / 1000)


# ---------------------------------------------------------------------------------------------------------- the queries


def _in_parts(span: Span, at: ColumnElement[datetime]) -> tuple[CTE, ColumnElement[bool]]:
    """Return the parts of the period as an SQL table, and the SQL condition that the moment `at` is in one of these
    parts.

    The condition lets the database read one index range for each part.
    """
    rows = [(number, since, until) for number, (since, until) in enumerate(span.parts)]
    columns = (column("part", Integer), column("since", Instant), column("until", Instant))
    parts = values(*columns, name="parts").data(rows).cte("parts")
    return parts, and_(at >= parts.c.since, at < parts.c.until)


_COUNTS = (
    cases.c.ended_as,
    func.count().label("number"),
    func.sum(cases.c.took_ms).label("took"),
    func.sum(cases.c.waited_ms).label("waited"),
    func.count().filter(cases.c.status == Status.ROLLED_BACK, cases.c.ended_as == Status.COMPLETED).label("overturned"),
)
_TAKEN_BACK = cases.c.status == literal_column("'rolled_back'")  # as in the index, so that SQLite uses it


async def _percentiles(
    conn: AsyncConnection, numbered: Select[tuple[int, int]], sizes: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the median and the 90th percentile, by nearest rank, for several groups of sorted values.

    `numbered` is a query with the columns `value` and `place`.

    The database sorts and numbers the values and returns those at the requested places. The sizes of the groups are
    known, so the places are plain arithmetic and both databases give the same answer.
    """
    before, wanted = 0, list[tuple[int, int]]()
    for size in sizes:
        median, p90 = (before - (-size * share // 100) for share in SHARES)  # rounded up
        wanted.append((median, p90))
        before += size
    if not wanted:
        return []
    rows = numbered.subquery()
    places = sorted({place for pair in wanted for place in pair})
    query = select(rows.c.place, rows.c.value).where(rows.c.place.in_(places))
    value = {row.place: row.value for row in await conn.execute(query)}
    return [(value[median], value[p90]) for median, p90 in wanted]
