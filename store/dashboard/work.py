"""What people have to do, and what they did: by approval step, by group and by reviewer."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Select, and_, func, literal_column, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.status import Outcome, Verdict
from store.cases.visibility import PERSONAL
from store.dashboard.scope import DashboardScope, Span
from store.tables.cases import candidates, cases, decisions, tasks


class Work(BaseModel):
    """Tasks that are open, and those that were closed in the period."""

    open: int = 0
    overdue: int = Field(0, description="Of the open ones: past the time they are due")
    oldest_at: datetime | None = Field(None, description="When the oldest open one was opened")
    closed: int = 0
    approved: int = Field(0, description="Approval steps that people approved")
    rejected: int = 0
    changes_requested: int = 0
    expired: int = Field(0, description="Tasks that ran out of time before they were decided")
    kept: int = Field(0, description="Tasks answered by the time they were due")
    missed: int = Field(0, description="Tasks answered later than that, or never: those that ran out of time")
    overturned: int = Field(0, description="Of the approved ones: the case has been rolled back since")

    def add(self, figures: dict[str, Any]) -> None:
        """Count these as well."""
        for name, value in figures.items():
            mine = getattr(self, name)
            if name == "oldest_at":
                setattr(self, name, min(mine or value, value))
            else:
                setattr(self, name, mine + value)


class StepWork(Work):
    """The tasks of one step of a process: where people decide, mend their request, or put right what failed."""

    process: str
    gate: str


class GroupWork(Work):
    """The tasks that ask a group. One that asks two groups counts for both."""

    name: str


class Tasks(BaseModel):
    """All tasks, in two ways."""

    total: Work
    steps: list[StepWork]
    """What waits longest first."""
    groups: list[GroupWork]
    """Those with most to do first."""


class Reviewer(BaseModel):
    """The answers of one person that counted, in the period."""

    person: str
    answers: int = 0
    approved: int = 0
    rejected: int = 0
    changes_requested: int = 0
    overturned: int = Field(0, description="Of the approvals: the case has been rolled back since")


async def by_step_and_group(conn: AsyncConnection, scope: DashboardScope, span: Span) -> Tasks:
    """The tasks that wait, and those that were closed in this time."""
    total, steps, groups = Work(), dict[tuple[str, str], StepWork](), dict[str, GroupWork]()
    named = [] if scope.everything else await _named(conn, scope.person)
    for query in (_open(span), _closed(span), _taken_back(span)):
        async for process, gate, asked, figures in _counted(conn, scope, named, query):
            step = steps.setdefault((process, gate), StepWork(process=process, gate=gate))
            for each in (total, step):
                each.add(figures)
            for asks in filter(None, asked.split(",")):
                if scope.everything or asks in scope.groups:
                    name = asks.removeprefix("=")
                    groups.setdefault(name, GroupWork(name=name)).add(figures)
    return Tasks(
        total=total,
        steps=sorted(steps.values(), key=lambda step: (step.oldest_at or span.until, step.process, step.gate)),
        groups=sorted(groups.values(), key=lambda group: (-group.open, -group.closed, group.name)),
    )


async def reviewers(conn: AsyncConnection, span: Span) -> list[Reviewer]:
    """By person, the most busy first; only for admins to see."""
    counts, number = decisions.c.status == "accepted", func.count().label("number")
    in_time = (decisions.c.at >= span.since, decisions.c.at < span.until)
    answers = select(decisions.c.person, decisions.c.verdict, number).where(counts, *in_time)
    found: dict[str, Reviewer] = {}
    for person, verdict, given in await conn.execute(answers.group_by(decisions.c.person, decisions.c.verdict)):
        reviewer = found.setdefault(person, Reviewer(person=person))
        reviewer.answers += given
        if verdict in _ANSWERS:
            setattr(reviewer, _ANSWERS[verdict], given)
    # From the few cases that were taken back to their tasks, and on to who decided them.
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
# Literals as indexes say them, so that SQLite uses those.
_STILL_OPEN = tasks.c.status == literal_column("'open'")
_UNDONE = (
    cases.c.status == literal_column("'rolled_back'"),
    tasks.c.case_id == cases.c.case_id,
    tasks.c.kind == "gate",
)


def _open(span: Span) -> Select[Any]:
    """Open tasks."""
    overdue = func.count().filter(tasks.c.due_at < span.until)
    oldest = func.min(tasks.c.opened_at)
    return select(*_BY, func.count().label("open"), overdue.label("overdue"), oldest.label("oldest_at")).where(
        _STILL_OPEN
    )


def _closed(span: Span) -> Select[Any]:
    """Tasks closed in the period. One that was cancelled with its case kept no deadline, nor missed it."""
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


def _taken_back(span: Span) -> Select[Any]:
    """Approvals of the period whose case was taken back."""
    closed_at = _looked_at_last(tasks.c.closed_at, span)
    approved = (tasks.c.outcome == Outcome.APPROVED, closed_at >= span.since, closed_at < span.until)
    return select(*_BY, func.count().label("overturned")).where(*_UNDONE, *approved)


def _looked_at_last(at: ColumnElement[datetime], span: Span) -> ColumnElement[datetime]:
    """The moment, in words that no index knows: with one SQLite would begin with all that was closed in the period."""
    return func.coalesce(at, span.since)


async def _counted(
    conn: AsyncConnection, scope: DashboardScope, named: Sequence[str], query: Select[Any]
) -> AsyncIterator[tuple[str, str, str, dict[str, Any]]]:
    """Process, step, groups and figures of the tasks that count for this reader.

    Whoever does not see everything gets those that ask a group of theirs, and of the others those that ask them by
    name. Which groups are asked is looked at here: they are few, and the tasks many.
    """
    for row in (await conn.execute(query.group_by(*_BY))).mappings():
        if scope.asks(row["asked"]):
            yield _parted(row)
    for start in range(0, len(named), _CHUNK):
        mine = query.where(tasks.c.task_id.in_(named[start : start + _CHUNK]))
        for row in (await conn.execute(mine.group_by(*_BY))).mappings():
            if not scope.asks(row["asked"]):
                yield _parted(row)


async def _named(conn: AsyncConnection, person: str) -> Sequence[str]:
    """The tasks that ask this person by name, ever: first their ids, else SQLite looks at all tasks for them."""
    mine = (candidates.c.kind.in_(PERSONAL), candidates.c.name == person)
    return (await conn.execute(select(candidates.c.task_id).where(*mine))).scalars().all()


def _parted(row: Any) -> tuple[str, str, str, dict[str, Any]]:
    figures = {name: value for name, value in row.items() if name in Work.model_fields}
    return row["process"], row["gate"], row["asked"], figures
