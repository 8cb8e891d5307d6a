"""Lists of open and closed tasks: filtered, paged, counted, and grouped with sums."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Numeric,
    Select,
    String,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    union,
)

from domain.money import exact
from domain.permissions import shares_group
from domain.task import TaskView
from store.cases.tasks import views
from store.cases.visibility import Viewer
from store.db import cursor as cursors
from store.db.connection import AsyncConnection
from store.db.text_search import words_say
from store.tables.cases import candidates, cases, decisions, follow_ups, tasks

Whose = Literal["mine", "claimed", "all"]
"""Tasks that the viewer can decide now, has claimed, or may see."""
Sort = Literal["due_at", "-opened_at", "priority"]
Due = Literal["overdue", "today", "week", "none"]
By = Literal["batch", "payee", "step", "requester"]

_SORTS: dict[Sort, tuple[Column[Any], bool, type]] = {
    "due_at": (tasks.c.due_at, False, datetime),
    "-opened_at": (tasks.c.opened_at, True, datetime),
    "priority": (tasks.c.priority, False, int),
}
"""Column, whether the highest value comes first, and the type of its values. Tasks without a due date come last."""
_GROUPS = ("group", "snapshot")
"""Kinds of candidates that are groups, with current members or with the members at the opening."""
_MOVE: frozenset[Sort] = frozenset({"due_at", "priority"})
"""Sort orders by values that may change while a person reads page by page."""
_LONGEST = timedelta(days=30)
"""How long a cursor can be used."""
_OVERLAP = timedelta(seconds=10)
"""Largest difference between the clocks of a worker and a gateway; a task shown twice does no harm."""


@dataclass(frozen=True)
class TaskFilter:
    """The filters of a list of tasks. The values None and "all" do not restrict the list."""

    whose: Whose = "all"
    status: str | None = None
    process: str | None = None
    gate: str | None = None
    group: str | None = None
    """A candidate group of the task."""
    due: Due | None = None
    """By days in the reader's time zone; `week` is today and the next six days. Each includes overdue tasks."""
    priority: int | None = None
    requester: str | None = None
    payee: str | None = None
    """The value of the first key field, with any name."""
    batch_id: str | None = None
    q: str | None = None
    """Words to find in title, reference and case id."""


class GroupTotals(NamedTuple):
    """Number and sums of the tasks with one common value."""

    key: str
    """The common value: a batch, a payee, `process/gate`, or a person; empty for tasks without one."""
    number: int
    overdue: int
    first_due: datetime | None
    sums: dict[str, str]
    """Exact sums by currency."""


async def page(
    conn: AsyncConnection,
    viewer: Viewer,
    sought: TaskFilter,
    now: datetime,
    zone: tzinfo = UTC,
    *,
    sort: Sort = "due_at",
    cursor: str | None = None,
    limit: int = 50,
) -> tuple[list[TaskView], str | None]:
    """Return one page of the tasks, without their decisions, and the cursor of the next page.

    No task is missed: tasks whose due time or priority changed since the first page are repeated at the end, because
    they may have moved from a later page to an earlier one. Raises ValueError for a cursor of another list or sort
    order.
    """
    column, descending, kind = _SORTS[sort]
    among = await _among(conn, viewer, sought, now, zone)
    query = _found(select(tasks), viewer, sought, now, zone, among=among, first=True)
    key, task_id, since, over = None, "", now, False
    if cursor:
        key, task_id, since, over = cursors.decode(cursor, kind, str, datetime, bool, optional=1)
        if not now - _LONGEST < since <= now + _OVERLAP:
            raise ValueError("the cursor is too old, or belongs to another list")
    found: list[TaskView] = []
    if not over:
        ordered = query.where(_after(column, descending, key, task_id)) if cursor else query
        order = column.desc() if descending else column.asc()
        if column.nullable:  # otherwise it does not help, and prevents PostgreSQL from using an index
            order = order.nulls_last()
        # One more than requested shows whether there is a next page.
        found = await views(conn, ordered.order_by(order, tasks.c.task_id).limit(limit + 1))
        if len(found) > limit:
            last = found[limit - 1]
            return found[:limit], cursors.encode(getattr(last, column.name), last.task_id, since, False)
        if not cursor or sort not in _MOVE:
            return found, None  # read in one page, or sorted by a value that never changes
        task_id = ""
    moved = query.where(tasks.c.moved_at > since - _OVERLAP, tasks.c.task_id > task_id)
    again = await views(conn, moved.order_by(tasks.c.task_id).limit(limit - len(found) + 1))
    if len(found) + len(again) <= limit:
        return _once([*found, *again]), None
    kept = again[: limit - len(found)]
    return _once([*found, *kept]), cursors.encode(None, kept[-1].task_id if kept else "", since, True)


def _once(found: Sequence[TaskView]) -> list[TaskView]:
    return list({each.task_id: each for each in found}.values())


async def some(conn: AsyncConnection, viewer: Viewer, task_ids: Sequence[str]) -> list[TaskView]:
    """Return those of these tasks that the viewer may see, in no order."""
    return await views(conn, _found(select(tasks), viewer, TaskFilter()).where(tasks.c.task_id.in_(task_ids)))


async def count(
    conn: AsyncConnection, viewer: Viewer, sought: TaskFilter, now: datetime, zone: tzinfo = UTC, *, most: int = 1000
) -> int:
    """Return the number of matching tasks.

    Counting stops at `most` + 1, because counting a row takes as long as reading it.
    """
    among = await _among(conn, viewer, sought, now, zone)
    some = (
        _found(select(tasks.c.task_id), viewer, sought, now, zone, among=among, first=True).limit(most + 1).subquery()
    )
    return (await conn.execute(select(func.count()).select_from(some))).scalar_one()


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
    late = func.sum(case((tasks.c.due_at < now, 1), else_=0))
    query = _found(
        select(key, tasks.c.currency, _sum(conn), func.count(), late, func.min(tasks.c.due_at)),
        viewer,
        sought,
        now,
        zone,
        among=await _among(conn, viewer, sought, now, zone),
    )
    if by == "batch" and not sought.batch_id:
        query = query.join(cases, cases.c.case_id == tasks.c.case_id)
    found: dict[str, GroupTotals] = {}
    for name, currency, total, number, overdue, first in await conn.execute(query.group_by("key", tasks.c.currency)):
        group = found.get(name) or GroupTotals(name, 0, 0, None, {})
        dues = [each for each in (group.first_due, first) if each is not None]
        if currency is not None:
            group.sums[currency] = f"{exact(Decimal(total), currency):f}"
        found[name] = GroupTotals(
            name, group.number + number, group.overdue + overdue, min(dues, default=None), group.sums
        )
    return sorted(found.values(), key=lambda group: (-group.number, group.key))


# --------------------------------------------------------------------------------------------------- the few there are


FEW = 2000
"""Up to this number tasks are looked up one by one, instead of by a scan of all tasks."""
HISTORY = 20_000
"""Candidate rows, including those of closed tasks, that are read to find these few."""


async def _among(
    conn: AsyncConnection, viewer: Viewer, sought: TaskFilter, now: datetime, zone: tzinfo
) -> list[str] | None:
    """Return the ids of all tasks that can match, if an index finds them and they are few. Otherwise return None.

    Without this the lists scan all tasks in order until a page is full. That is fast when many tasks match, and slow
    when few of very many match, which the query planners cannot predict.
    """
    query = select(tasks.c.task_id)
    status = sought.status or ("open" if sought.whose == "mine" else None)
    of_status = query.where(tasks.c.status == (_OPEN if status == "open" else status)) if status else query
    of_batch = select(cases.c.case_id).where(cases.c.batch_id == sought.batch_id)
    narrow = [
        of_status.where(tasks.c.subject == sought.payee) if sought.payee is not None else None,
        of_status.where(tasks.c.requester == sought.requester) if sought.requester is not None else None,
        of_status.where(words_say(tasks.c.words, sought.q)) if sought.q else None,
        of_status.where(_due(sought.due, now, zone)) if sought.due else None,
        of_status.where(*_step(sought)) if sought.process and sought.gate else None,
        query.where(tasks.c.case_id.in_(of_batch)) if sought.batch_id else None,
        query.where(tasks.c.assignee == viewer.id) if sought.whose == "claimed" else None,
    ]
    for each in narrow:
        if each is not None and (few := await _few(conn, each)) is not None:
            return few
    if sought.group:
        of_group = await _asking(conn, candidates.c.kind.in_(_GROUPS), candidates.c.name == sought.group)
        if of_group is not None and (few := await _few(conn, of_group)) is not None:
            return few
    if sought.whose == "mine":
        of_viewer = await _mine(conn, viewer)
    elif sought.whose == "all" and not viewer.sees_all:
        of_viewer = await _seen(conn, viewer)
    else:
        return None
    return None if of_viewer is None else await _few(conn, of_viewer)


async def _few(conn: AsyncConnection, query: Select[tuple[str]]) -> list[str] | None:
    """Return the ids that the query finds; None if the query finds too many ids."""
    found = (await conn.execute(query.limit(FEW + 1))).all()
    return [row.task_id for row in found] if len(found) <= FEW else None


async def _mine(conn: AsyncConnection, viewer: Viewer) -> Select[tuple[str]] | None:
    """Return a query of the open tasks that wait for the viewer.

    In these tasks the viewer, or an absent person whom the viewer substitutes, is a candidate or has claimed the task.
    Return None if too many tasks must be read.

    Return None if there are too many such tasks.
    """
    named = await _asking(conn, _means(viewer))
    if named is None:
        return None
    holders = [viewer.id, *(absent.id for absent in viewer.stands_in_for)]
    held = select(tasks.c.task_id).where(tasks.c.assignee.in_(holders))
    return select(tasks.c.task_id).where(tasks.c.task_id.in_(union(held, named)), _AFTERWARDS == "open")


async def _seen(conn: AsyncConnection, viewer: Viewer) -> Select[tuple[str]] | None:
    """Return a query of the tasks of cases that `Viewer.sees` allows."""
    asked = and_(candidates.c.kind == "asked", candidates.c.name.in_(viewer.answers_for))
    named = await _asking(conn, or_(_means(viewer), asked))
    own = select(cases.c.case_id).where(cases.c.requester.in_(viewer.asks_as))
    if named is None or await _more(conn, own, FEW):
        return None
    other = tasks.alias()
    held = select(other.c.case_id).where(other.c.assignee == viewer.id)
    through = select(other.c.case_id).where(other.c.task_id.in_(named))
    return select(tasks.c.task_id).where(tasks.c.case_id.in_(union(own, held, through)))


def _means(viewer: Viewer) -> ColumnElement[bool]:
    return or_(viewer.is_candidate(), *(absent.is_candidate() for absent in viewer.stands_in_for))


async def _asking(conn: AsyncConnection, *means: ColumnElement[bool]) -> Select[tuple[str]] | None:
    """Return a query of the tasks with a candidate that the filter names; None if there are too many such tasks."""
    named = select(candidates.c.task_id).where(*means)
    return None if await _more(conn, named, HISTORY) else named


async def _more(conn: AsyncConnection, query: Select[tuple[str]], most: int) -> bool:
    """Return True if the query finds more than `most` rows."""
    some = query.limit(most + 1).subquery()
    return bool((await conn.execute(select(func.count()).select_from(some))).scalar_one() > most)


_OPEN: ColumnElement[str] = literal_column("'open'")
"""Same text as in the index, so that SQLite uses the index."""
_AFTERWARDS = tasks.c.status.concat("")
"""The status as an expression that no index matches, so that no database scans all open tasks first."""


# ---------------------------------------------------------------------------------------------------------- conditions


def _found(
    query: Select[Any],
    viewer: Viewer,
    sought: TaskFilter,
    now: datetime | None = None,
    zone: tzinfo = UTC,
    among: Sequence[str] | None = None,
    first: bool = False,
) -> Select[Any]:
    status: ColumnElement[str] = tasks.c.status
    if among is not None:
        query, status = query.where(tasks.c.task_id.in_(among)), _AFTERWARDS
    if sought.whose == "mine":
        query = query.where(status == _OPEN, _decidable(viewer))
    else:
        query = query.where(viewer.sees(tasks.c.case_id, tasks.c.requester, first=first and among is None))
    if sought.whose == "claimed":
        query = query.where(tasks.c.assignee == viewer.id)
    if sought.status:
        query = query.where(status == (_OPEN if sought.status == "open" else sought.status))
    query = query.where(*_step(sought))
    for wanted, column in ((sought.priority, tasks.c.priority), (sought.requester, tasks.c.requester)):
        if wanted is not None:
            query = query.where(column == wanted)
    if sought.group:
        asked = candidates.alias()
        named = and_(asked.c.kind.in_(_GROUPS), asked.c.name == sought.group)
        of_group = and_(asked.c.task_id == tasks.c.task_id, named)
        query = query.where(exists().where(of_group))
    if sought.due and now:
        query = query.where(_due(sought.due, now, zone))
    if sought.payee is not None:
        query = query.where(tasks.c.subject == sought.payee)
    if sought.batch_id:
        query = query.join(cases, cases.c.case_id == tasks.c.case_id).where(cases.c.batch_id == sought.batch_id)
    return query.where(words_say(tasks.c.words, sought.q)) if sought.q else query


def _step(sought: TaskFilter) -> list[ColumnElement[bool]]:
    wanted = ((tasks.c.process, sought.process), (tasks.c.gate, sought.gate))
    return [column == value for column, value in wanted if value is not None]


def _sum(conn: AsyncConnection) -> ColumnElement[Any]:
    """Return the expression for the exact sum of amounts."""
    if conn.dialect.name == "postgresql":
        return func.sum(cast(tasks.c.amount, Numeric))
    return func.exact_sum(tasks.c.amount, type_=String)


def _decidable(viewer: Viewer) -> ColumnElement[bool]:
    """Return the condition that the viewer is a candidate and not excluded as requester, by rule or by a decision."""
    of_task = candidates.c.task_id == tasks.c.task_id
    free = or_(tasks.c.assignee.is_(None), tasks.c.assignee == viewer.id)
    own = and_(free, or_(exists().where(of_task, viewer.is_candidate()), tasks.c.assignee == viewer.id))
    ways = [and_(own, _not_ruled_out(viewer.id))]
    for absent in viewer.stands_in_for:
        held = or_(free, tasks.c.assignee == absent.id)
        theirs = exists().where(of_task, absent.is_candidate())
        fits = or_(tasks.c.substitutes == "anyone", exists().where(of_task, viewer.is_candidate()))
        if shares_group(viewer.groups, absent.groups):
            fits = or_(fits, exists().where(of_task, candidates.c.kind == "user", candidates.c.name == absent.id))
        ways.append(and_(held, theirs, fits, _not_ruled_out(absent.id), _not_ruled_out(viewer.id)))
    later = exists().where(
        follow_ups.c.task_id == tasks.c.task_id,
        follow_ups.c.person == viewer.id,
        follow_ups.c.until > datetime.now(UTC),
    )
    return and_(or_(*ways) if len(ways) > 1 else ways[0], ~later)


def _not_ruled_out(person: str) -> ColumnElement[bool]:
    excluded = candidates.alias()
    return and_(
        or_(tasks.c.requester != person, tasks.c.kind == "changes"),
        ~exists().where(
            excluded.c.task_id == tasks.c.task_id, excluded.c.kind == "excluded", excluded.c.name == person
        ),
        ~exists().where(
            decisions.c.task_id == tasks.c.task_id,
            or_(decisions.c.person == person, decisions.c.on_behalf_of == person),
            decisions.c.status.in_(("pending", "accepted")),
        ),
    )


def _due(due: Due, now: datetime, zone: tzinfo) -> ColumnElement[bool]:
    midnight = datetime.combine(now.astimezone(zone).date() + timedelta(days=1), time(), zone)
    before = {"overdue": now, "today": midnight, "week": midnight + timedelta(days=6)}
    return tasks.c.due_at.is_(None) if due == "none" else tasks.c.due_at < before[due]


def _after(column: Column[Any], descending: bool, key: Any, task_id: str) -> ColumnElement[bool]:
    """Return the condition for rows after (key, task_id), with rows without a key last."""
    if key is None:
        return and_(column.is_(None), tasks.c.task_id > task_id)
    further = column < key if descending else column > key
    return or_(further, and_(column == key, tasks.c.task_id > task_id), column.is_(None))
