"""Lists of open and closed tasks: filtered, paged and counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any, Literal

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Integer,
    Select,
    and_,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    union,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from domain.permissions import shares_group
from domain.task import TaskView
from store.cases.requesters import counts_as_requester
from store.cases.tasks import views
from store.cases.visibility import Viewer, within
from store.db import cursor as cursors
from store.db.connection import AsyncConnection
from store.db.text_search import words_say
from store.tables.cases import candidates, case_requesters, cases, decisions, follow_ups, tasks

Whose = Literal["mine", "claimed", "all"]
"""Which tasks a list shows.

`mine`: the viewer can decide the tasks now and has not snoozed them. `claimed`: the viewer is the assignee of the
tasks. `all`: the viewer may see the tasks.
"""
Sort = Literal["due_at", "-opened_at", "priority"]
Due = Literal["overdue", "today", "week", "none"]

_SORTS: dict[Sort, tuple[Column[Any], bool, type]] = {
    "due_at": (tasks.c.due_at, False, datetime),
    "-opened_at": (tasks.c.opened_at, True, datetime),
    "priority": (tasks.c.priority, False, int),
}
"""By sort order: the column, True if the highest value comes first, and the type of the values.

Tasks without a due date come last.
"""
_GROUPS = ("group", "snapshot")
"""Kinds of `candidates` that are groups: `group` with its current members, `snapshot` with those at the opening."""
_MOVE: frozenset[Sort] = frozenset({"due_at", "priority"})
"""Sort orders by values that may change while a person reads page by page."""
_LONGEST = timedelta(days=30)
"""How long a cursor can be used after the first page was read."""
_OVERLAP = timedelta(seconds=10)
"""How much the clocks of a worker and a gateway may differ.

Tasks that changed so shortly before the first page are shown again: a task shown twice does no harm.
"""


@dataclass(frozen=True)
class TaskFilter:
    """The filters of a list of tasks. The values None and "all" do not restrict the list."""

    whose: Whose = "all"
    status: str | None = None
    process: str | None = None
    gate: str | None = None
    group: str | None = None
    """The name of a group that is a candidate of the task."""
    due: Due | None = None
    """When the task is due, in days of the reader's time zone.

    `week` is today and the next six days. `today` and `week` include overdue tasks.
    """
    priority: int | None = None
    requester: str | None = None
    payee: str | None = None
    """The value of the first key field of the task, such as the payee. The name of the field does not matter."""
    batch_id: str | None = None
    q: str | None = None
    """Search words: each of them must be in the title, the reference or the case id."""


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
    among = await few_matching(conn, viewer, sought, now, zone)
    query = matching(select(tasks), viewer, sought, now, zone, among=among, first=True)
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
    """Return the tasks in `task_ids` that the viewer may see, in no order."""
    return await views(conn, matching(select(tasks), viewer, TaskFilter()).where(tasks.c.task_id.in_(task_ids)))


async def count(
    conn: AsyncConnection, viewer: Viewer, sought: TaskFilter, now: datetime, zone: tzinfo = UTC, *, most: int = 1000
) -> int:
    """Return the number of matching tasks.

    Counting stops at `most` + 1, because counting a row takes as long as reading it.
    """
    among = await few_matching(conn, viewer, sought, now, zone)
    some = (
        matching(select(tasks.c.task_id), viewer, sought, now, zone, among=among, first=True).limit(most + 1).subquery()
    )
    return (await conn.execute(select(func.count()).select_from(some))).scalar_one()


# --------------------------------------------------------------------------------------------------- the few there are


FEW = 2000
"""Up to this number, tasks are looked up one by one. For more tasks, the database scans all tasks."""
HISTORY = 20_000
"""How many rows of `candidates`, also of closed tasks, are read at most to find out whether tasks are few."""


async def few_matching(
    conn: AsyncConnection, viewer: Viewer, sought: TaskFilter, now: datetime, zone: tzinfo
) -> list[str] | None:
    """Return the ids of all tasks that can match, if an index finds them and they are few. Otherwise return None.

    Without these ids, the lists scan all tasks in order until a page is full. Such a scan is fast when many tasks
    match, and slow when few of very many match, which the query planners cannot predict.
    """
    query = select(tasks.c.task_id)
    status = sought.status or ("open" if sought.whose == "mine" else None)
    of_status = query.where(tasks.c.status == (_OPEN if status == "open" else status)) if status else query
    of_batch = select(cases.c.case_id).where(cases.c.batch_id == sought.batch_id)  # through the index of cases
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
    """Return the ids that the query finds; None if the query finds more than `FEW` ids."""
    found = (await conn.execute(query.limit(FEW + 1))).all()
    return [row.task_id for row in found] if len(found) <= FEW else None


async def _mine(conn: AsyncConnection, viewer: Viewer) -> Select[tuple[str]] | None:
    """Return a query of the open tasks that wait for the viewer; None if too many tasks must be read to find them.

    In these tasks the viewer, or an absent person whom the viewer substitutes, is a candidate or has claimed the task.
    """
    named = await _asking(conn, _means(viewer))
    if named is None:
        return None
    holders = [viewer.id, *(absent.id for absent in viewer.stands_in_for)]
    held = select(tasks.c.task_id).where(tasks.c.assignee.in_(holders))
    return select(tasks.c.task_id).where(tasks.c.task_id.in_(union(held, named)), _AFTERWARDS == "open")


async def _seen(conn: AsyncConnection, viewer: Viewer) -> Select[tuple[str]] | None:
    """Return a query of the tasks of cases that the viewer may see (`Viewer.sees`); None if too many tasks must be
    read.
    """
    overseen = select(tasks.c.task_id).where(within(tasks.c.process, viewer.scope.sees))
    if viewer.scope.sees and await _more(conn, overseen, FEW):  # most people who oversee a process end here
        return None
    asked = and_(candidates.c.kind == "asked", candidates.c.name.in_(viewer.answers_for))
    named = await _asking(conn, or_(_means(viewer), asked))
    asks = select(cases.c.case_id).where(cases.c.requester.in_(viewer.asks_as))
    asked_for = select(case_requesters.c.case_id).where(case_requesters.c.person.in_(viewer.asks_as))
    if named is None or await _more(conn, union_all(asks, asked_for), FEW):
        return None
    other = tasks.alias()
    held = select(other.c.case_id).where(other.c.assignee == viewer.id)
    through = select(other.c.case_id).where(other.c.task_id.in_(named))
    personal = select(tasks.c.task_id).where(tasks.c.case_id.in_(union(asks, asked_for, held, through)))
    if not viewer.scope.sees:
        return personal
    return select(tasks.c.task_id).where(tasks.c.task_id.in_(union(personal, overseen)))


def _means(viewer: Viewer) -> ColumnElement[bool]:
    return or_(viewer.is_candidate(), *(absent.is_candidate() for absent in viewer.stands_in_for))


async def _asking(conn: AsyncConnection, *means: ColumnElement[bool]) -> Select[tuple[str]] | None:
    """Return a query of the tasks with a candidate that fits the conditions; None if there are more than `HISTORY` such
    rows.
    """
    named = select(candidates.c.task_id).where(*means)
    return None if await _more(conn, named, HISTORY) else named


async def _more(conn: AsyncConnection, query: Select[tuple[str]] | CompoundSelect[tuple[str]], most: int) -> bool:
    """Return True if the query finds more than `most` rows."""
    some = query.limit(most + 1).subquery()
    return bool((await conn.execute(select(func.count()).select_from(some))).scalar_one() > most)


_OPEN: ColumnElement[str] = literal_column("'open'")
"""The status `open`, written in the same way as in the index, so that SQLite uses the index."""
_AFTERWARDS = tasks.c.status.concat("")
"""The status as an expression that no index matches, so that no database scans all open tasks first."""


# ---------------------------------------------------------------------------------------------------------- conditions


def matching(
    query: Select[Any],
    viewer: Viewer,
    sought: TaskFilter,
    now: datetime | None = None,
    zone: tzinfo = UTC,
    among: Sequence[str] | None = None,
    first: bool = False,
    every: bool = False,
) -> Select[Any]:
    """Return the query, restricted to the tasks that the filter finds and the viewer may see.

    `among`: ids from `few_matching`. `first`: the caller needs only the first tasks. `every`: the query looks at all
    tasks. These three arguments change how the database works and not what it finds.
    """
    status: ColumnElement[str] = tasks.c.status
    if among is not None:
        query, status = query.where(tasks.c.task_id.in_(among)), _AFTERWARDS
    if sought.whose == "mine":
        query = query.where(status == _OPEN, _decidable(viewer, every and among is None))
    else:
        sees = viewer.sees(
            tasks.c.case_id, tasks.c.process, tasks.c.requester, first=(first or every) and among is None
        )
        query = query.where(or_(asks_a_group_of(viewer), sees) if every and not viewer.sees_all else sees)
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
        query = query.where(tasks.c.batch_id == sought.batch_id)
    return query.where(words_say(tasks.c.words, sought.q)) if sought.q else query


def _step(sought: TaskFilter) -> list[ColumnElement[bool]]:
    wanted = ((tasks.c.process, sought.process), (tasks.c.gate, sought.gate))
    return [column == value for column, value in wanted if value is not None]


def _decidable(viewer: Viewer, every: bool) -> ColumnElement[bool]:
    """Return the condition that the viewer can decide the task, alone or in place of an absent person, and has not
    snoozed it.
    """
    free = or_(tasks.c.assignee.is_(None), tasks.c.assignee == viewer.id)
    own = and_(free, or_(_can_decide(viewer, every), tasks.c.assignee == viewer.id))
    ways = [and_(own, _not_ruled_out(viewer.id, every))]
    for absent in viewer.stands_in_for:
        held = or_(free, tasks.c.assignee == absent.id)
        fits = or_(tasks.c.substitutes == "anyone", _can_decide(viewer, every))
        if shares_group(viewer.groups, absent.groups):
            named = (candidates.c.kind == "user", candidates.c.name == absent.id)
            fits = or_(fits, _has(candidates.c.task_id, *named, every=every))
        ruled = (_not_ruled_out(absent.id, every), _not_ruled_out(viewer.id, every))
        ways.append(and_(held, _can_decide(absent, every), fits, *ruled))
    snoozed = (follow_ups.c.person == viewer.id, follow_ups.c.until > datetime.now(UTC))
    return and_(or_(*ways) if len(ways) > 1 else ways[0], ~_has(follow_ups.c.task_id, *snoozed, every=every))


def _can_decide(person: Viewer, every: bool) -> ColumnElement[bool]:
    """Return the condition that the person is a candidate of the task."""
    if not every:
        return _has(candidates.c.task_id, person.is_candidate(), every=False)
    return or_(asks_a_group_of(person), _has(candidates.c.task_id, person.is_named(), every=True))


def asks_a_group_of(person: Viewer) -> ColumnElement[bool]:
    """Return the condition that the person is a candidate of the task by one of their current groups.

    `tasks.asked` answers this without a look into `candidates`, which has a row for each task.
    """
    if not person.decides:
        return false()
    asked = literal(",").concat(tasks.c.asked).concat(",")
    return or_(false(), *(position_in(asked, f",{group},") > 0 for group in person.groups))


def _not_ruled_out(person: str, every: bool) -> ColumnElement[bool]:
    excluded = candidates.alias()
    theirs = select(case_requesters.c.case_id).where(case_requesters.c.person == person)
    asks = tasks.c.case_id.in_(theirs) if every else counts_as_requester(tasks.c.case_id, [person])
    return and_(
        or_(and_(tasks.c.requester != person, ~asks), tasks.c.kind == "changes"),
        ~_has(excluded.c.task_id, excluded.c.kind == "excluded", excluded.c.name == person, every=every),
        # By task also for `every`: decisions are never deleted, and a person may have made very many.
        ~_has(
            decisions.c.task_id,
            or_(decisions.c.person == person, decisions.c.on_behalf_of == person),
            decisions.c.status.in_(("pending", "accepted")),
            every=False,
        ),
    )


def _has(task_id: ColumnElement[str], *conditions: ColumnElement[bool], every: bool) -> ColumnElement[bool]:
    """Return the condition that a row with this `task_id` fulfils the conditions.

    With `every` the rows that fulfil the conditions are read once, by an index, for a query that looks at all tasks.
    Without `every` these rows are looked up for each task, for a query that stops after some tasks.
    """
    if every:
        return tasks.c.task_id.in_(select(task_id).where(*conditions))
    return exists().where(task_id == tasks.c.task_id, *conditions)


class position_in(GenericFunction[int]):
    """Position of the second text in the first, beginning with 1; 0 if the first does not contain the second."""

    type = Integer()
    inherit_cache = True


@compiles(position_in)
def _instr(element: Any, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(position_in, "postgresql")
def _strpos(element: Any, compiler: Any, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


def _due(due: Due, now: datetime, zone: tzinfo) -> ColumnElement[bool]:
    midnight = datetime.combine(now.astimezone(zone).date() + timedelta(days=1), time(), zone)
    before = {"overdue": now, "today": midnight, "week": midnight + timedelta(days=6)}
    return tasks.c.due_at.is_(None) if due == "none" else tasks.c.due_at < before[due]


def _after(column: Column[Any], descending: bool, key: Any, task_id: str) -> ColumnElement[bool]:
    """Return the condition for rows that come after (key, task_id) in the order of a list.

    Rows without a key come last.
    """
    if key is None:
        return and_(column.is_(None), tasks.c.task_id > task_id)
    further = column < key if descending else column > key
    return or_(further, and_(column == key, tasks.c.task_id > task_id), column.is_(None))
