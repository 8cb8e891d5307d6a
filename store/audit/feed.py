"""Live updates for open pages: find the tasks and cases that new audit events changed.

Also find the people who may receive each update.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field
from sqlalchemy import select

from domain.status import Outcome, Status
from store.audit import audit_log
from store.cases.visibility import Name, Viewer, names_of
from store.db.connection import AsyncConnection
from store.tables.audit import event_payloads, events
from store.tables.cases import candidates, cases, decisions, tasks

_OPENING = {"gate_opened", "intervention_opened", "changes_requested"}


class TaskNews(BaseModel):
    """A task that changed, in its current state."""

    task_id: str
    case_id: str | None = None
    process: str | None = None
    gate: str | None = None
    kind: Literal["opened", "changed", "closed", "gone"] = Field(
        description="`gone`: the caller may no longer see the task; only its id is sent then"
    )
    status: Literal["open", "closed"] | None = None
    outcome: Outcome | None = None
    assignee: str | None = None
    revision: int | None = None
    decided_by: list[str] | None = Field(None, description="People whose decisions on the task count")


class CaseNews(BaseModel):
    """A case with a new event, and its current status."""

    case_id: str
    status: Status


class News(NamedTuple):
    """The update for one task or case: its JSON, built once for all receivers."""

    position: int
    """Position of the last event that changed the task or case."""
    name: Literal["task", "case"]
    data: str
    process: str
    """The process of the case. People who oversee the process see the case, too."""
    audience: frozenset[Name]
    """Who else may see the case now."""
    gone: str = ""
    """The update for people in `former` who no longer see the task; empty for a case."""
    former: frozenset[Name] = frozenset()
    """Who could decide the task when it opened, or was its assignee before; empty for a case."""

    def told_to(self, viewer: Viewer) -> str | None:
        """Return the JSON of the update for this viewer; None if the viewer receives no update.

        A viewer in `former` who no longer sees the task receives only the id of the task.
        """
        if self.process in viewer.scope.sees or not self.audience.isdisjoint(viewer.known_as):
            return self.data
        return None if self.former.isdisjoint(viewer.known_as) else self.gone


class _Touch(NamedTuple):
    """The changes of one task by the new events."""

    position: int
    opened: bool
    given_up_by: frozenset[Name]


async def news(conn: AsyncConnection, since: int, upto: int) -> list[News]:
    """Return one update for each task and case changed at positions above `since` up to `upto`.

    The updates are in the order of their positions, and at the same position tasks come before their case.
    """
    query = audit_log.in_order(since, upto).where(events.c.case_id.is_not(None))
    happened = (await conn.execute(query)).all()
    if not happened:
        return []
    last = {event.case_id: event.position for event in happened}
    of_case = await _tasks(conn, list(last))
    audiences = await _audiences(conn, of_case, list(last))
    touched: dict[str, _Touch] = {}
    for event in happened:
        data = json.loads(event.payload)["data"] if event.payload else {}
        for task in of_case[event.case_id]:
            # An event without a task id may concern every task that was open then.
            concerns = data["task_id"] == task.task_id if data.get("task_id") else _is_open(task, event.at)
            if concerns:
                before = touched.get(task.task_id, _Touch(0, False, frozenset()))
                old = data.get("from")
                given_up = {("person", old)} if isinstance(old, str) else set()
                opened = before.opened or event.kind in _OPENING
                touched[task.task_id] = _Touch(event.position, opened, before.given_up_by | given_up)
    decided = await _deciders(conn, list(touched))
    found = [
        _task_news(task, touched[task.task_id], audiences[case_id].names, decided[task.task_id])
        for case_id, rows in of_case.items()
        for task in rows
        if task.task_id in touched
    ]
    for case_id, audience in audiences.items():
        told = CaseNews(case_id=case_id, status=audience.status)
        found.append(News(last[case_id], "case", told.model_dump_json(), audience.process, audience.names))
    return sorted(found, key=lambda each: (each.position, each.name == "case"))


ENDING = (
    *("token_revoked", "tokens_revoked", "password_set", "passkey_removed", "signed_out", "signed_out_everywhere"),
    *("person_deactivated", "person_replaced", "group_left", "group_joined"),
    *("service_account_deactivated", "service_account_suspended"),
)
"""Kinds of events after which a person may have lost their sign-in or may see other cases."""


async def changed_people(conn: AsyncConnection, since: int, upto: int) -> dict[str, int]:
    """Return the people whose sign-in or groups may have changed at positions above `since` up to `upto`.

    Each person comes with the position of the last such event.
    """
    query = audit_log.in_order(since, upto).where(
        events.c.case_id.is_(None), events.c.kind.in_(ENDING), event_payloads.c.payload.is_not(None)
    )
    return {json.loads(row.payload)["data"].get("person"): row.position for row in await conn.execute(query)}


class _Audience(NamedTuple):
    status: Status
    process: str
    names: frozenset[Name]


async def _tasks(conn: AsyncConnection, case_ids: Sequence[str]) -> defaultdict[str, list[Any]]:
    """Return the tasks by case, with the candidates each task had when it opened."""
    columns = (
        *(tasks.c.task_id, tasks.c.case_id, tasks.c.process, tasks.c.gate, tasks.c.status, tasks.c.outcome),
        *(tasks.c.assignee, tasks.c.revision, tasks.c.closed_at),
        *(tasks.c.view[name].label(name) for name in ("candidate_groups", "candidate_users", "members")),
    )
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for row in await conn.execute(select(*columns).where(tasks.c.case_id.in_(case_ids))):
        found[row.case_id].append(row)
    return found


async def _audiences(
    conn: AsyncConnection, of_case: dict[str, list[Any]], case_ids: Sequence[str]
) -> dict[str, _Audience]:
    """Return status, process and audience of each case.

    An audience is the set of names that `Viewer.sees` would match. Overseers of the process see the case, too.
    """
    names: defaultdict[str, set[Name]] = defaultdict(set)
    asked = (
        select(tasks.c.case_id, candidates.c.kind, candidates.c.name)
        .join(candidates, candidates.c.task_id == tasks.c.task_id)
        .where(tasks.c.case_id.in_(case_ids), candidates.c.kind != "excluded")
    )
    for case_id, kind, name in await conn.execute(asked):
        names[case_id].add((kind, name))
    for case_id, rows in of_case.items():
        names[case_id] |= {("person", task.assignee) for task in rows if task.assignee}
    found = {}
    query = select(cases.c.case_id, cases.c.process, cases.c.requester, cases.c.asked_for, cases.c.status)
    for row in await conn.execute(query.where(cases.c.case_id.in_(case_ids))):
        asking = {("person", name) for name in (row.requester, *row.asked_for)}
        found[row.case_id] = _Audience(row.status, row.process, frozenset(names[row.case_id] | asking))
    return found


async def _deciders(conn: AsyncConnection, task_ids: Sequence[str]) -> defaultdict[str, list[str]]:
    """Return by task the people whose decisions count, so that no update shows the reader's own decision as that of
    another person.
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    query = select(decisions.c.task_id, decisions.c.person)
    query = query.where(decisions.c.task_id.in_(task_ids), decisions.c.status == "accepted").order_by(decisions.c.at)
    for row in await conn.execute(query):
        found[row.task_id].append(row.person)
    return found


def _is_open(task: Any, at: Any) -> bool:
    return task.closed_at is None or bool(task.closed_at >= at)


def _task_news(task: Any, touch: _Touch, audience: frozenset[Name], deciders: list[str]) -> News:
    told = TaskNews(
        task_id=task.task_id,
        case_id=task.case_id,
        process=task.process,
        gate=task.gate,
        kind="closed" if task.status == "closed" else "opened" if touch.opened else "changed",
        status=task.status,
        outcome=task.outcome,
        assignee=task.assignee,
        revision=task.revision,
        decided_by=deciders or None,
    )
    asked_then = names_of(task.candidate_groups, task.candidate_users, task.members or {})
    gone = TaskNews(task_id=task.task_id, kind="gone")
    return News(
        touch.position,
        "task",
        told.model_dump_json(exclude=None if told.decided_by else {"decided_by"}),
        task.process,
        audience,
        gone.model_dump_json(exclude_none=True),
        frozenset(asked_then) | touch.given_up_by,
    )
