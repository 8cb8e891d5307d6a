"""Count the open and the closed tasks of people: by approval step, by group and by reviewer."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Select, and_, func, literal_column, or_, select

from domain.status import Outcome, Verdict
from store.cases.visibility import PERSONAL
from store.dashboard.scope import DashboardScope, Span
from store.db.connection import AsyncConnection
from store.tables.cases import candidates, cases, decisions, tasks


class Work(BaseModel):
    """Numbers of tasks that are open, and of tasks that were closed in the period."""

    open: int = 0
    overdue: int = Field(0, description="Open tasks after their due time")
    oldest_at: datetime | None = Field(None, description="When the oldest open task was opened")
    closed: int = 0
    approved: int = Field(0, description="Approval steps that people approved")
    rejected: int = 0
    changes_requested: int = 0
    expired: int = Field(0, description="Tasks that expired before they were decided")
    kept: int = Field(0, description="Tasks answered by their due time")
    missed: int = Field(0, description="Tasks answered after their due time, and tasks that expired")
    overturned: int = Field(0, description="Approved steps whose case has been rolled back since")

    def add(self, figures: dict[str, Any]) -> None:
        """Add the numbers in `figures` to the numbers of this object."""
        for name, value in figures.items():
            mine = getattr(self, name)
            if name == "oldest_at":
                setattr(self, name, min(mine or value, value))
            else:
                setattr(self, name, mine + value)


class StepWork(Work):
    """The tasks of one step of a process: approvals, requested changes or incidents."""

    process: str
    gate: str


class GroupWork(Work):
    """The tasks that a group can decide. A task that two groups can decide counts for both groups."""

    name: str


class Tasks(BaseModel):
    """All tasks, by step and by group."""

    total: Work
    steps: list[StepWork]
    """The tasks of each step. The step with the task that has waited the longest comes first."""
    groups: list[GroupWork]
    """The tasks of each group. The group with the most open tasks comes first."""


class Reviewer(BaseModel):
    """The accepted decisions of one person in the period."""

    person: str
    answers: int = 0
    approved: int = 0
    rejected: int = 0
    changes_requested: int = 0
    overturned: int = Field(0, description="Approvals whose case has been rolled back since")


async def by_step_and_group(conn: AsyncConnection, scope: DashboardScope, span: Span) -> Tasks:
    """Return the numbers of open tasks, and of tasks closed in the period, by step and by group."""
    total, steps, groups = Work(), dict[tuple[str, str], StepWork](), dict[str, GroupWork]()
    named = [] if scope.everything else await _named(conn, scope.person)
    for query in (_open(span), _closed(span), _rolled_back(span)):
        async for process, gate, asked, figures in _counted(conn, scope, named, query):
            step = steps.setdefault((process, gate), StepWork(process=process, gate=gate))
            for each in (total, step):
                each.add(figures)
            for asks in filter(None, asked.split(",")):
                if process in scope.sees or asks in scope.groups:
                    name = asks.removeprefix("=")
                    groups.setdefault(name, GroupWork(name=name)).add(figures)
    return Tasks(
        total=total,
        steps=sorted(steps.values(), key=lambda step: (step.oldest_at or span.until, step.process, step.gate)),
        groups=sorted(groups.values(), key=lambda group: (-group.open, -group.closed, group.name)),
    )


async def reviewers(conn: AsyncConnection, span: Span) -> list[Reviewer]:
    """Return the accepted decisions of each person, the person with the most decisions first.

    Only admins may see the result.
    """
    counts, number = decisions.c.status == "accepted", func.count().label("number")
    in_time = (decisions.c.at >= span.since, decisions.c.at < span.until)
    answers = select(decisions.c.person, decisions.c.verdict, number).where(counts, *in_time)
    found: dict[str, Reviewer] = {}
    for person, verdict, given in await conn.execute(answers.group_by(decisions.c.person, decisions.c.verdict)):
        reviewer = found.setdefault(person, Reviewer(person=person))
        reviewer.answers += given
        if verdict in _ANSWERS:
            setattr(reviewer, _ANSWERS[verdict], given)
    # Start from the few rolled back cases, then join their tasks and the people who decided them.
    approved = select(decisions.c.person, number).where(
        *_UNDONE, decisions.c.task_id == tasks.c.task_id, decisions.c.verdict == Verdict.APPROVE, counts
    )
    at = _looked_at_last(decisions.c.at, span)
    approved = approved.where(at >= span.since, at < span.until)
    for person, undone in await conn.execute(approved.group_by(decisions.c.person)):
        found[person].overturned = undone
    return sorted(found.values(), key=lambda reviewer: (-reviewer.answers, reviewer.person))


_ANSWERS: dict[str, str] = {
    Verdict.APPROVE: "approved",
    Verdict.REJECT: "rejected",
    Verdict.REQUEST_CHANGES: "changes_requested",
}


# ---------------------------------------------------------------------------------------------------------- the queries

_BY = (tasks.c.process, tasks.c.gate, tasks.c.asked)
_CHUNK = 500
# Same literals as in the indexes, so that SQLite uses the indexes.
_STILL_OPEN = tasks.c.status == literal_column("'open'")
_UNDONE = (
    cases.c.status == literal_column("'rolled_back'"),
    tasks.c.case_id == cases.c.case_id,
    tasks.c.kind == "gate",
)


def _open(span: Span) -> Select[Any]:
    """Return the query that counts open tasks."""
    overdue = func.count().filter(tasks.c.due_at < span.until)
    oldest = func.min(tasks.c.opened_at)
    return select(*_BY, func.count().label("open"), overdue.label("overdue"), oldest.label("oldest_at")).where(
        _STILL_OPEN
    )


def _closed(span: Span) -> Select[Any]:
    """Return the query that counts tasks closed in the period.

    A task that was cancelled with its case does not count as closed in time, nor as closed late.
    """
    gate, outcome = tasks.c.kind == "gate", tasks.c.outcome
    answered = outcome.not_in((Outcome.CANCELLED, Outcome.EXPIRED))
    counted = {
        "approved": and_(gate, outcome == Outcome.APPROVED),
        "rejected": and_(gate, outcome == Outcome.REJECTED),
        "changes_requested": outcome == Outcome.CHANGES_REQUESTED,
        "expired": outcome == Outcome.EXPIRED,
        "kept": and_(answered, tasks.c.closed_at <= tasks.c.due_at),
        "missed": or_(outcome == Outcome.EXPIRED, and_(answered, tasks.c.closed_at > tasks.c.due_at)),
    }
    numbers = [func.count().filter(holds).label(name) for name, holds in counted.items()]
    query: Select[Any] = select(*_BY, func.count().label("closed"), *numbers)
    return query.where(tasks.c.closed_at >= span.since, tasks.c.closed_at < span.until)


def _rolled_back(span: Span) -> Select[Any]:
    """Return the query that counts approvals in the period whose case was rolled back."""
    closed_at = _looked_at_last(tasks.c.closed_at, span)
    approved = (tasks.c.outcome == Outcome.APPROVED, closed_at >= span.since, closed_at < span.until)
    return select(*_BY, func.count().label("overturned")).where(*_UNDONE, *approved)


def _looked_at_last(at: ColumnElement[datetime], span: Span) -> ColumnElement[datetime]:
    """Return the moment `at` as an SQL expression that no index matches, so that the database checks it last.

    With an index SQLite would first read all tasks that were closed in the period.
    """
    return func.coalesce(at, span.since)


async def _counted(
    conn: AsyncConnection, scope: DashboardScope, named: Sequence[str], query: Select[Any]
) -> AsyncIterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield process, step, groups and figures of the tasks that are in the scope of the reader.

    A reader who does not see everything gets the tasks of processes that the reader oversees, the tasks that ask their
    groups, and the other tasks that ask them by name. The groups are compared in Python: there are few groups and many
    tasks.
    """
    for row in (await conn.execute(query.group_by(*_BY))).mappings():
        if scope.asks(row["process"], row["asked"]):
            yield _parted(row)
    for start in range(0, len(named), _CHUNK):
        mine = query.where(tasks.c.task_id.in_(named[start : start + _CHUNK]))
        for row in (await conn.execute(mine.group_by(*_BY))).mappings():
            if not scope.asks(row["process"], row["asked"]):
                yield _parted(row)


async def _named(conn: AsyncConnection, person: str) -> Sequence[str]:
    """Return the ids of all tasks of which this person is a candidate by name.

    The ids are read first, because in one query SQLite would read all tasks.
    """
    mine = (candidates.c.kind.in_(PERSONAL), candidates.c.name == person)
    return (await conn.execute(select(candidates.c.task_id).where(*mine))).scalars().all()


def _parted(row: Any) -> tuple[str, str, str, dict[str, Any]]:
    figures = {name: value for name, value in row.items() if name in Work.model_fields}
    return row["process"], row["gate"], row["asked"], figures
