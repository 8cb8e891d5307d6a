"""All tasks of a list in groups, with exact sums of their amounts."""

from datetime import UTC, datetime, tzinfo
from decimal import Context, Decimal
from typing import Any, Literal, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Numeric, String, case, cast, func, literal, null
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import select

from domain.money import exact
from store.cases.task_lists import TaskFilter, few_matching, matching
from store.cases.visibility import Viewer
from store.tables.cases import cases, tasks

By = Literal["batch", "payee", "step", "requester"]


class GroupTotals(NamedTuple):
    """Number and sums of the tasks with one common value."""

    key: str
    """The common value: a batch, a payee, `process/gate`, or a person; empty for tasks without one."""
    number: int
    overdue: int
    first_due: datetime | None
    sums: dict[str, str]
    """Exact sums by currency."""


async def groups(
    conn: AsyncConnection, viewer: Viewer, sought: TaskFilter, by: By, now: datetime, zone: tzinfo = UTC
) -> list[GroupTotals]:
    """Return all matching tasks in groups, largest first."""
    key = {
        "batch": func.coalesce(cases.c.batch_id, ""),
        "payee": tasks.c.subject,
        "step": tasks.c.process + literal("/") + tasks.c.gate,
        "requester": tasks.c.requester,
    }[by].label("key")
    amounts = _Amounts(conn)
    overdue, first_due = func.sum(case((tasks.c.due_at < now, 1), else_=0)), func.min(tasks.c.due_at)
    query = matching(
        select(key, tasks.c.currency, amounts.decimals, amounts.scaled, amounts.rest, func.count(), overdue, first_due),
        viewer,
        sought,
        now,
        zone,
        among=await few_matching(conn, viewer, sought, now, zone),
        every=True,
    )
    if by == "batch" and not sought.batch_id:
        query = query.join(cases, cases.c.case_id == tasks.c.case_id)
    found: dict[str, GroupTotals] = {}
    sums: dict[tuple[str, str], Decimal] = {}
    rows = await conn.execute(query.group_by("key", tasks.c.currency, "decimals"))
    for name, currency, decimals, scaled, rest, number, late, due in rows:
        group = found.get(name) or GroupTotals(name, 0, 0, None, {})
        dues = [each for each in (group.first_due, due) if each is not None]
        if currency is not None:
            total = sums.get((name, currency), Decimal())
            sums[name, currency] = total = _WIDE.add(total, amounts.total(decimals, scaled, rest))
            group.sums[currency] = f"{exact(total, currency):f}"
        found[name] = GroupTotals(
            name, group.number + number, group.overdue + late, min(dues, default=None), group.sums
        )
    return sorted(found.values(), key=lambda group: (-group.number, group.key))


_WIDE = Context(prec=100)
_SHORT = 12
"""Characters of the longest amount that SQLite adds as an integer: nine million such amounts fit in its 64 bits."""


class _Amounts:
    """The columns of a query that add amounts exactly. `decimals` is a column to group by.

    PostgreSQL adds decimals itself. SQLite adds them as binary fractions, which are not exact. Therefore it gets short
    amounts as integers without their point, one sum for each number of decimals. Only long amounts go through
    `exact_sum`, which calls Python for each row.
    """

    def __init__(self, conn: AsyncConnection) -> None:
        amount = tasks.c.amount
        self.decimals: ColumnElement[Any] = literal(0)
        self.scaled: ColumnElement[Any] = null()
        self.rest: ColumnElement[Any] = func.sum(cast(amount, Numeric))
        if conn.dialect.name == "sqlite":
            point, short = func.instr(amount, "."), func.length(amount) <= _SHORT
            self.decimals = case((point == 0, 0), else_=func.length(amount) - point)
            self.scaled = func.sum(cast(func.replace(amount, ".", ""), BigInteger)).filter(short)
            self.rest = func.exact_sum(amount, type_=String).filter(~short)
        self.decimals = self.decimals.label("decimals")

    @staticmethod
    def total(decimals: int, scaled: int | None, rest: str | Decimal | None) -> Decimal:
        """Return the sum from the columns of one row."""
        return _WIDE.add(Decimal(scaled or 0).scaleb(-(decimals or 0), _WIDE), Decimal(rest or 0))
