"""All tasks of a list in groups, with exact sums of their amounts."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import Context, Decimal
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Numeric, String, case, cast, func, literal, select, text

from domain.money import exact
from store.cases.task_lists import TaskFilter, few_matching, matching
from store.cases.visibility import Viewer
from store.db.connection import AsyncConnection
from store.tables.cases import tasks

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
        "batch": func.coalesce(tasks.c.batch_id, ""),
        "payee": tasks.c.subject,
        "requester": tasks.c.requester,
        "step": literal(""),
    }[by].label("key")
    # In this order the index has the steps and the payees of each step, so that SQLite need not sort the tasks.
    parts = [tasks.c.process, tasks.c.gate, tasks.c.currency]
    overdue, first_due = func.sum(case((tasks.c.due_at < now, 1), else_=0)), func.min(tasks.c.due_at)
    query = matching(
        select(*parts, key, func.sum(tasks.c.thousandths), _long_amounts(conn), func.count(), overdue, first_due),
        viewer,
        sought,
        now,
        zone,
        among=await few_matching(conn, viewer, sought, now, zone),
        every=True,
    )
    if conn.dialect.name == "postgresql":
        # PostgreSQL overestimates the query and would compile it, which takes longer than the query.
        await conn.execute(text("SET LOCAL jit = off"))
    found: dict[str, _Group] = {}
    for process, gate, currency, value, short, long, number, late, due in await conn.execute(
        query.group_by(*parts, *(["key"] if by != "step" else []))
    ):
        group = found.setdefault(f"{process}/{gate}" if by == "step" else value, _Group())
        group.number += number
        group.overdue += late
        group.dues += [due] if due is not None else []
        if currency is not None:
            total = _WIDE.add(_WIDE.divide(Decimal(short or 0), 1000), Decimal(long or 0))
            group.sums[currency] = _WIDE.add(group.sums.get(currency, Decimal()), total)
    return sorted((group.totals(name) for name, group in found.items()), key=lambda group: (-group.number, group.key))


_WIDE = Context(prec=100)


def _long_amounts(conn: AsyncConnection) -> ColumnElement[Any]:
    """Return the exact sum of the amounts that are not stored in thousandths."""
    long = tasks.c.thousandths.is_(None)
    if conn.dialect.name == "postgresql":
        return func.sum(cast(tasks.c.amount, Numeric)).filter(long)
    return func.exact_sum(tasks.c.amount, type_=String).filter(long)


@dataclass
class _Group:
    number: int = 0
    overdue: int = 0
    dues: list[datetime] = field(default_factory=list)
    sums: dict[str, Decimal] = field(default_factory=dict)

    def totals(self, key: str) -> GroupTotals:
        sums = {currency: f"{exact(total, currency):f}" for currency, total in self.sums.items()}
        return GroupTotals(key, self.number, self.overdue, min(self.dues, default=None), sums)
