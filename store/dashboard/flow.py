"""Cases that ended: how many of each kind, and how long they took, waiting for people or at work."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel, Field
from sqlalchemy import CTE, ColumnElement, Integer, Select, and_, column, func, literal_column, select, values
from sqlalchemy.ext.asyncio import AsyncConnection

from store.dashboard.scope import Scope, Span
from store.tables import Instant, cases
from workflows.models import Status

SHARES = (50, 90)
"""The percentiles, in per cent."""
_MEASURES: dict[str, ColumnElement[int]] = {
    "cycle": cases.c.took_ms,
    "waiting": cases.c.waited_ms,
    "working": cases.c.took_ms - cases.c.waited_ms,
}


class Spread(BaseModel):
    """Durations of some cases, in seconds. A percentile is the least of them that so many reach: one that occurred."""

    median_s: float
    p90_s: float
    mean_s: float


class Ended(BaseModel):
    """The cases that ended, for the first time, in some time."""

    since: datetime
    until: datetime
    ended: dict[str, int] = Field({}, description="How many, by the status they ended with")
    cycle: Spread | None = Field(None, description="From its start to its end; null when none ended")
    waiting: Spread | None = Field(None, description="Of that, while a task of the case was open")
    working: Spread | None = Field(None, description="All the rest")
    taken_back: int = Field(0, description="Completed cases that were undone in this time, whenever they had ended")


class Flow(BaseModel):
    """Cases that ended in a period."""

    parts: list[Ended]
    whole: Ended
    overturned: int = Field(description="Of those that ended as completed in the period: undone since")


async def flow(conn: AsyncConnection, scope: Scope, span: Span) -> Flow:
    """The cases that ended in this time, part by part and in all."""
    parts = [Ended(since=since, until=until) for since, until in span.parts]
    whole = Ended(since=span.since, until=span.until)
    sums = [_Sums(0, 0, 0)] * len(parts)
    overturned = 0
    for row in await conn.execute(_counts(scope, span)):
        parts[row.part].ended[row.ended_as] = row.number
        whole.ended[row.ended_as] = whole.ended.get(row.ended_as, 0) + row.number
        sums[row.part] = sums[row.part].plus(row.number, row.took, row.waited)
        overturned += row.overturned if row.ended_as == Status.COMPLETED else 0
    for row in await conn.execute(_taken_back(scope, span)):
        parts[row.part].taken_back = row.number
        whole.taken_back += row.number
    all_of_them = _Sums(*(sum(each) for each in zip(*sums, strict=True)))
    for name, measure in _MEASURES.items():
        found = await _percentiles(conn, scope, span, measure, [each.number for each in sums])
        for part, each in zip(parts, sums, strict=True):
            if each.number:
                setattr(part, name, _spread(next(found), each.mean(name)))
        if all_of_them.number:
            setattr(whole, name, _spread(next(found), all_of_them.mean(name)))
    return Flow(parts=parts, whole=whole, overturned=overturned)


class _Sums(NamedTuple):
    """Of the cases of a part: their number, and the sums of their durations in milliseconds."""

    number: int
    took: int
    waited: int

    def plus(self, number: int, took: int, waited: int) -> "_Sums":
        return _Sums(self.number + number, self.took + int(took), self.waited + int(waited))

    def mean(self, measure: str) -> float:
        sums = {"cycle": self.took, "waiting": self.waited, "working": self.took - self.waited}
        return sums[measure] / self.number


def _spread(percentiles: tuple[int, int], mean: float) -> Spread:
    median, p90 = percentiles
    return Spread(median_s=median / 1000, p90_s=p90 / 1000, mean_s=round(mean) / 1000)


# ---------------------------------------------------------------------------------------------------------- the queries


def _in_parts(span: Span, at: ColumnElement[datetime]) -> tuple[CTE, ColumnElement[bool]]:
    """The parts as a table, and which of them a moment is in: a range of an index for each part."""
    rows = [(number, since, until) for number, (since, until) in enumerate(span.parts)]
    columns = (column("part", Integer), column("since", Instant), column("until", Instant))
    parts = values(*columns, name="parts").data(rows).cte("parts")
    return parts, and_(at >= parts.c.since, at < parts.c.until)


def _counts(scope: Scope, span: Span) -> Select[tuple[int, str, int, int, int, int]]:
    parts, inside = _in_parts(span, cases.c.ended_at)
    return (
        select(
            parts.c.part,
            cases.c.ended_as,
            func.count().label("number"),
            func.sum(cases.c.took_ms).label("took"),
            func.sum(cases.c.waited_ms).label("waited"),
            func.count().filter(cases.c.status == Status.ROLLED_BACK).label("overturned"),
        )
        .select_from(parts.join(cases, inside))
        .where(scope.cases())
        .group_by(parts.c.part, cases.c.ended_as)
    )


def _taken_back(scope: Scope, span: Span) -> Select[tuple[int, int]]:
    parts, inside = _in_parts(span, cases.c.closed_at)
    rolled_back = cases.c.status == literal_column("'rolled_back'")  # as the index says it, so that SQLite uses it
    return (
        select(parts.c.part, func.count().label("number"))
        .select_from(parts.join(cases, inside))
        .where(rolled_back, scope.cases())
        .group_by(parts.c.part)
    )


async def _percentiles(
    conn: AsyncConnection, scope: Scope, span: Span, measure: ColumnElement[int], sizes: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Median and p90 of a measure for each part that has cases, and at last of all cases.

    The database sorts, numbers the rows and gives back those of the wanted places: the sizes are known, so which
    places these are is plain arithmetic, and both databases give the same answer.
    """
    parts, inside = _in_parts(span, cases.c.ended_at)
    sorted_in_parts = select(
        measure.label("value"), func.row_number().over(order_by=(parts.c.part, measure)).label("place")
    ).select_from(parts.join(cases, inside))
    sorted_in_all = select(measure.label("value"), func.row_number().over(order_by=measure).label("place")).where(
        cases.c.ended_at >= span.since, cases.c.ended_at < span.until
    )
    before, wanted = 0, []
    for size in filter(None, sizes):
        wanted.append(_places(before, size))
        before += size
    found = await _at(conn, sorted_in_parts.where(scope.cases()), wanted)
    if before:
        found += await _at(conn, sorted_in_all.where(scope.cases()), [_places(0, before)])
    return iter(found)


def _places(before: int, size: int) -> tuple[int, int]:
    """The places of median and p90 among so many sorted rows that come behind `before` others, by nearest rank."""
    median, p90 = (before - (-size * share // 100) for share in SHARES)
    return median, p90


async def _at(
    conn: AsyncConnection, numbered: Select[tuple[int, int]], wanted: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """The values at these places."""
    if not wanted:
        return []
    rows = numbered.subquery()
    places = sorted({place for pair in wanted for place in pair})
    query = select(rows.c.place, rows.c.value).where(rows.c.place.in_(places))
    value = {row.place: row.value for row in await conn.execute(query)}
    return [(value[median], value[p90]) for median, p90 in wanted]
