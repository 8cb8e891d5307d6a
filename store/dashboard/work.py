"""What people have to do, and what they did: by approval step, by group and by reviewer."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Select, and_, func, literal_column, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.dashboard.scope import Scope, Span
from store.tables import candidates, cases, decisions, tasks
from workflows.models import Outcome, Verdict


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

    def plus(self, other: "Work") -> "Work":
        """Both together."""
        oldest = min(filter(None, (self.oldest_at, other.oldest_at)), default=None)
        mine, theirs = self.model_dump(exclude={"oldest_at"}), other.model_dump(exclude={"oldest_at"})
        sums = {name: mine[name] + theirs[name] for name in Work.model_fields if name != "oldest_at"}
        return Work(oldest_at=oldest, **sums)


class Step(Work):
    """The tasks of one step of a process: where people decide, mend their request, or put right what failed."""

    process: str
    gate: str


class Group(Work):
    """The tasks that ask a group. One that asks two groups counts for both."""

    name: str
    overturned: int = Field(0, description="Of the approved ones: the case has been taken back since")


class Reviewer(BaseModel):
    """The answers of one person that counted, in the period."""

    person: str
    answers: int = 0
    approved: int = 0
    rejected: int = 0
    changes_requested: int = 0
    overturned: int = Field(0, description="Of the approvals: the case has been taken back since")


async def steps(conn: AsyncConnection, scope: Scope, span: Span) -> list[Step]:
    """By process and step, what waits longest first."""
    by = (tasks.c.process, tasks.c.gate)
    seen = scope.tasks(tasks.c.task_id)
    found = {key: Step(process=key[0], gate=key[1], **new) for key, new in await _rows(conn, _open(span, by, seen))}
    for key, new in await _rows(conn, _closed(span, by, seen)):
        step = found.get(key) or Step(process=key[0], gate=key[1])
        found[key] = step.model_copy(update=new)
    return sorted(found.values(), key=lambda step: (step.oldest_at or span.until, step.process, step.gate))


async def groups(conn: AsyncConnection, scope: Scope, span: Span) -> list[Group]:
    """By group, those with most to do first."""
    asked = and_(
        candidates.c.task_id == tasks.c.task_id, candidates.c.kind == "group", scope.groups_of(candidates.c.name)
    )
    by = (candidates.c.name,)
    found = {key: Group(name=key[0], **new) for key, new in await _rows(conn, _open(span, by, asked))}
    for key, new in await _rows(conn, _closed(span, by, asked)):
        group = found.get(key) or Group(name=key[0])
        found[key] = group.model_copy(update=new)
    approved = _taken_back(select(*by, func.count().label("overturned"))).where(
        asked, tasks.c.outcome == Outcome.APPROVED, tasks.c.closed_at >= span.since, tasks.c.closed_at < span.until
    )
    for key, new in await _rows(conn, approved.group_by(*by)):
        found[key] = found[key].model_copy(update=new)
    return sorted(found.values(), key=lambda group: (-group.open, -group.closed, group.name))


async def reviewers(conn: AsyncConnection, span: Span) -> list[Reviewer]:
    """By person, the most busy first; only for admins to see."""
    counts = (decisions.c.status == "accepted", decisions.c.at >= span.since, decisions.c.at < span.until)
    number = func.count().label("number")
    answers = select(decisions.c.person, decisions.c.verdict, number).where(*counts)
    found: dict[str, Reviewer] = {}
    for person, verdict, given in await conn.execute(answers.group_by(decisions.c.person, decisions.c.verdict)):
        reviewer = found.setdefault(person, Reviewer(person=person))
        reviewer.answers += given
        if verdict in _ANSWERS:
            setattr(reviewer, _ANSWERS[verdict], given)
    approved = _taken_back(select(decisions.c.person, number)).where(
        *counts, decisions.c.task_id == tasks.c.task_id, decisions.c.verdict == Verdict.APPROVE
    )
    for person, undone in await conn.execute(approved.group_by(decisions.c.person)):
        found[person].overturned = undone
    return sorted(found.values(), key=lambda reviewer: (-reviewer.answers, reviewer.person))


_ANSWERS: dict[str, str] = {
    Verdict.APPROVE: "approved",
    Verdict.REJECT: "rejected",
    Verdict.REQUEST_CHANGES: "changes_requested",
}


# ---------------------------------------------------------------------------------------------------------- the queries


def _open(span: Span, by: tuple[ColumnElement[str], ...], which: ColumnElement[bool]) -> Select[Any]:
    """Open tasks."""
    still = tasks.c.status == literal_column("'open'")  # as the index says it, so that SQLite uses it
    overdue = func.count().filter(tasks.c.due_at < span.until)
    oldest = func.min(tasks.c.opened_at)
    query = select(*by, func.count().label("open"), overdue.label("overdue"), oldest.label("oldest_at"))
    return query.where(still, which).group_by(*by)


def _closed(span: Span, by: tuple[ColumnElement[str], ...], which: ColumnElement[bool]) -> Select[Any]:
    """Tasks closed in the period. One that was cancelled with its case kept no deadline, nor missed it."""
    gate, outcome = tasks.c.kind == "gate", tasks.c.outcome
    answered = outcome.not_in((Outcome.CANCELLED, Outcome.EXPIRED))
    late = and_(answered, tasks.c.closed_at > tasks.c.due_at)
    counted = {
        "approved": and_(gate, outcome == Outcome.APPROVED),
        "rejected": and_(gate, outcome == Outcome.REJECTED),
        "changes_requested": outcome == Outcome.CHANGES_REQUESTED,
        "expired": outcome == Outcome.EXPIRED,
        "kept": and_(answered, tasks.c.closed_at <= tasks.c.due_at),
        "missed": or_(outcome == Outcome.EXPIRED, late),
    }
    numbers = [func.count().filter(holds).label(name) for name, holds in counted.items()]
    query = select(*by, func.count().label("closed"), *numbers)
    return query.where(tasks.c.closed_at >= span.since, tasks.c.closed_at < span.until, which).group_by(*by)


def _taken_back(query: Select[Any]) -> Select[Any]:
    """The query over tasks of cases that were taken back: few, so it starts from them."""
    undone = cases.c.status == literal_column("'rolled_back'")
    return query.where(undone, tasks.c.case_id == cases.c.case_id, tasks.c.kind == "gate")


async def _rows(conn: AsyncConnection, query: Select[Any]) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    """Each row as the names it is grouped by, and its figures."""
    found = []
    for row in (await conn.execute(query)).mappings():
        figures = {name: value for name, value in row.items() if name in Group.model_fields and name not in _KEYS}
        found.append((tuple(row[name] for name in row if name in _KEYS), figures))
    return found


_KEYS = ("process", "gate", "name")
