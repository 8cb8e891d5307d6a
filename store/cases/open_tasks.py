"""Read open tasks that match a filter, that name a person, or that have a question to a person."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, literal, or_, select, tuple_

from domain.scope import EVERYWHERE, Reach
from domain.task import TaskView
from store.cases.tasks import views
from store.cases.visibility import Viewer, within
from store.db import cursor as cursors
from store.db.connection import AsyncConnection
from store.tables.base import Instant
from store.tables.cases import candidates, tasks


async def fitting(
    conn: AsyncConnection,
    viewer: Viewer,
    *,
    reach: Reach = EVERYWHERE,
    task_ids: Sequence[str] | None = None,
    process: str | None = None,
    gate: str | None = None,
    assignee: str | None = None,
    after: str | None = None,
    limit: int,
) -> tuple[list[TaskView], str | None]:
    """Return the open tasks of gates that the viewer may see and that match all filters, oldest first, and the cursor
    of the next page. `reach` are the processes of which tasks are sought.

    `after` is the cursor of the previous page; raises ValueError for a cursor of another list.
    """
    query = select(tasks).where(tasks.c.status == "open", tasks.c.kind == "gate")
    query = query.where(viewer.sees(tasks.c.case_id, tasks.c.process, tasks.c.requester))
    query = query.where(within(tasks.c.process, reach))
    if task_ids is not None:
        query = query.where(tasks.c.task_id.in_(task_ids))
    for wanted, column in ((process, tasks.c.process), (gate, tasks.c.gate), (assignee, tasks.c.assignee)):
        if wanted:
            query = query.where(column == wanted)
    if after is not None:
        query = query.where(_behind(*cursors.decode(after, datetime, str)))
    found = await views(conn, query.order_by(tasks.c.opened_at, tasks.c.task_id).limit(limit + 1), decided=True)
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], cursors.encode(last.opened_at, last.task_id)


async def named_for(conn: AsyncConnection, person: str) -> list[TaskView]:
    """Return open tasks that name the person as a candidate, as a person who was asked a question, as assignee, or as
    the person who delegated the task.
    """
    kinds = ("user", "asked")
    named = select(candidates.c.task_id).where(candidates.c.kind.in_(kinds), candidates.c.name == person)
    held = or_(tasks.c.task_id.in_(named), tasks.c.assignee == person, tasks.c.state["owner"].as_string() == person)
    query = select(tasks).where(tasks.c.status == "open", held).order_by(tasks.c.opened_at)
    return await views(conn, query, decided=True)


async def with_questions_for(conn: AsyncConnection, persons: Sequence[str], *, limit: int) -> list[TaskView]:
    """Return open tasks with an unanswered question to one of `persons`, oldest first.

    `persons` are the ids of the reader, and of the absent people whom the reader substitutes.
    """
    asked = select(candidates.c.task_id).where(candidates.c.kind == "asked", candidates.c.name.in_(persons))
    oldest = select(tasks).where(tasks.c.status == "open", tasks.c.task_id.in_(asked))
    oldest = oldest.order_by(tasks.c.opened_at, tasks.c.task_id).limit(limit)
    found: list[TaskView] = []
    after: tuple[datetime, str] | None = None
    while len(found) < limit:  # most questions have an answer: open ones can follow after any number of answered ones
        part = await views(conn, oldest if after is None else oldest.where(_behind(*after)))
        found += [view for view in part if any(each.pending and each.to in persons for each in view.questions)]
        if len(part) < limit:
            break
        after = part[-1].opened_at, part[-1].task_id
    return found[:limit]


def _behind(opened_at: datetime, task_id: str) -> ColumnElement[bool]:
    """Return the SQL condition for tasks that were opened after this task.

    For equal times, the order of task ids decides.
    """
    return tuple_(tasks.c.opened_at, tasks.c.task_id) > tuple_(literal(opened_at, Instant), literal(task_id))
