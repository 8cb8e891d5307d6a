"""Store and read tasks, as inboxes show them, and the decisions on tasks.

`cases.record` calls the functions that write what a Workflow reports about tasks and decisions.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import JSON, BigInteger, Integer, String, and_, bindparam, case, delete, func, or_, select, update

from domain.messages import Decision
from domain.normalization import search_words
from domain.records import DecisionRecord, TaskPatch
from domain.status import Outcome, Verdict
from domain.task import DecisionView, TaskView
from store.cases.visibility import Name, names_of
from store.db.connection import AsyncConnection
from store.db.database import fit, insert_into, insert_once
from store.db.prepared import prepared, prepared_insert
from store.tables.cases import candidates, decisions, follow_ups, tasks


class DecisionRow(BaseModel):
    """A decision of a person on a task, and its result: pending, accepted, refused or withdrawn."""

    model_config = ConfigDict(from_attributes=True)

    decision_id: str
    task_id: str
    case_id: str
    person: str
    verdict: Verdict
    comment: str
    content: str
    """The digest of the content of the decision. If a person repeats the decision, the digest is the same."""
    status: Literal["pending", "accepted", "refused", "withdrawn"]
    refusal: str
    code: str
    via: str
    at: datetime


# ------------------------------------------------------------------------------------------------------------- reading


async def get(conn: AsyncConnection, task_id: str) -> TaskView | None:
    """Return one task with its accepted decisions; None if there is no such task."""
    found = await views(conn, _OF_ID, {"of_task": task_id}, decided=True)
    return found[0] if found else None


async def of_case(conn: AsyncConnection, case_id: str) -> list[TaskView]:
    """Return all tasks of a case with their accepted decisions, oldest first."""
    return await views(conn, _OF_CASE, {"of_case": case_id}, decided=True)


async def decision(conn: AsyncConnection, decision_id: str) -> DecisionRow | None:
    """Return one decision, also if it is pending or was refused; None if the id is unknown."""
    row = (await conn.execute(_DECISION, {"of_decision": decision_id})).one_or_none()
    return DecisionRow.model_validate(row) if row else None


async def open_of(conn: AsyncConnection, case_ids: Sequence[str]) -> dict[str, list[TaskView]]:
    """Return the open tasks of each case, oldest first and without their decisions."""
    query = select(tasks).where(tasks.c.case_id.in_(case_ids), tasks.c.status == "open")
    found: dict[str, list[TaskView]] = {}
    for view in await views(conn, query.order_by(tasks.c.opened_at, tasks.c.task_id)):
        found.setdefault(view.case_id, []).append(view)
    return found


async def snooze(conn: AsyncConnection, person: str, task_id: str, until: datetime | None) -> None:
    """Snooze a task in a person's own list until a moment; None shows the task again at once."""
    await conn.execute(delete(follow_ups).where(follow_ups.c.person == person, follow_ups.c.task_id == task_id))
    if until is not None:
        await conn.execute(insert_into(conn, follow_ups), [{"person": person, "task_id": task_id, "until": until}])


async def snoozed_until(conn: AsyncConnection, person: str, task_id: str) -> datetime | None:
    """Return the moment until which the person has snoozed the task; None if the person has not snoozed it."""
    query = select(follow_ups.c.until).where(follow_ups.c.person == person, follow_ups.c.task_id == task_id)
    return (await conn.execute(query)).scalar_one_or_none()


async def views(conn: AsyncConnection, query: Any, parameters: Any = None, *, decided: bool = False) -> list[TaskView]:
    """Return the tasks that a `select(tasks)` finds, in its order; `decided` adds their accepted decisions."""
    rows = (await conn.execute(query, parameters)).all()
    if not rows:
        return []
    ids = [row.task_id for row in rows]
    named = await _named(conn, ids)
    given: dict[str, list[DecisionView]] = {}
    if decided:
        for row in await conn.execute(_ACCEPTED, {"task_ids": ids}):
            view = DecisionView(
                decision_id=row.decision_id,
                verdict=row.verdict,
                by=row.person,
                at=row.at,
                comment=row.comment,
                on_behalf_of=row.on_behalf_of,
                edits=row.edits or [],
                confirmed=row.confirmed,
                name=row.name,
            )
            given.setdefault(row.task_id, []).append(view)
    return [_view(row, named, given.get(row.task_id, [])) for row in rows]


async def _named(conn: AsyncConnection, task_ids: Sequence[str]) -> set[tuple[str, str, str]]:
    """Return all candidates and excluded people of these tasks as (task id, kind, name)."""
    return {(row.task_id, row.kind, row.name) for row in await conn.execute(_NAMED, {"task_ids": task_ids})}


_task_ids: Any = bindparam("task_ids", expanding=True)
_OF_ID = prepared(select(tasks).where(tasks.c.task_id == bindparam("of_task")))
_OF_CASE = prepared(
    select(tasks).where(tasks.c.case_id == bindparam("of_case")).order_by(tasks.c.opened_at, tasks.c.task_id)
)
_DECISION = prepared(select(decisions).where(decisions.c.decision_id == bindparam("of_decision")))
_ACCEPTED = prepared(
    select(decisions)
    .where(decisions.c.task_id.in_(_task_ids), decisions.c.status == "accepted")
    .order_by(decisions.c.at, decisions.c.decision_id)
)
_NAMED = prepared(
    select(candidates.c.task_id, candidates.c.kind, candidates.c.name).where(candidates.c.task_id.in_(_task_ids))
)


def _view(row: Any, named: set[tuple[str, str, str]], given: list[DecisionView]) -> TaskView:
    opened = row.view | (row.state or {})

    def names(first: list[str], *kinds: str) -> list[str]:
        """Return `first`, the names at the opening in their order, then the names that were added later."""
        now = {name for task_id, kind, name in named if task_id == row.task_id and kind in kinds}
        return [name for name in first if name in now] + sorted(now.difference(first))

    return TaskView.model_validate(
        opened
        | {
            "candidate_groups": names(opened["candidate_groups"], "group", "snapshot"),
            "candidate_users": names(opened["candidate_users"], "user"),
            "excluded_users": names(opened["excluded_users"], "excluded"),
            "quorum": opened["quorum"] | {"given": row.given},
            "status": row.status,
            "outcome": row.outcome,
            "opened_at": row.opened_at,
            "closed_at": row.closed_at,
            "due_at": row.due_at,
            "expires_at": row.expires_at,
            "priority": row.priority,
            "revision": row.revision,
            "decisions": given,
        }
    )


# ------------------------------------------------------------------------------------------------------------- writing


async def add_pending(conn: AsyncConnection, decision: Decision, case_id: str) -> None:
    """Store a decision sent by Signal, until the Workflow writes its result with `cases.record`."""
    row = _decision_row(decision, case_id) | {"status": "pending", "refusal": "", "code": ""}
    await insert_once(conn, decisions, row)


async def open_all(conn: AsyncConnection, views: Sequence[TaskView]) -> None:
    """Store new tasks; an existing task does not change."""
    if not views:
        return
    await conn.execute(_INSERT_TASKS, [_task_row(view) for view in views])
    named = [
        {"task_id": view.task_id, "kind": kind, "name": name}
        for view in views
        for kind, name in _names(view, view.excluded_users)
    ]
    if named:
        await conn.execute(_INSERT_NAMES, named)


_INSERT_TASKS = prepared_insert(tasks, lambda new: new.on_conflict_do_nothing())
_INSERT_NAMES = prepared_insert(candidates, lambda new: new.on_conflict_do_nothing())


async def patch_all(conn: AsyncConnection, patches: Sequence[TaskPatch], case_id: str) -> None:
    """Apply the changes that a Workflow reported to tasks of its case."""
    if not patches:
        return
    await conn.execute(_PATCH, [_patch_row(patch, case_id) for patch in patches])
    for patch in patches:
        if patch.counting is not None:
            gone = update(decisions).where(
                decisions.c.task_id == patch.task_id,
                decisions.c.status == "accepted",
                decisions.c.decision_id.not_in(patch.counting),
            )
            await conn.execute(gone.values(status="withdrawn"))
    stored = await _named(conn, [patch.task_id for patch in patches])
    wanted = {
        (patch.task_id, kind, name)
        for patch in patches
        for kind, name in _names(patch, patch.state.get("excluded_users", []), patch.state.get("questions", []))
    }
    kept = {patch.task_id for patch in patches if "excluded_users" not in patch.state}
    await _name(conn, wanted - stored)
    await _unname(conn, {entry for entry in stored - wanted if not (entry[1] == "excluded" and entry[0] in kept)})


async def withdraw(conn: AsyncConnection, decision_ids: Sequence[str]) -> None:
    """Mark accepted decisions as withdrawn."""
    if decision_ids:
        gone = update(decisions).where(decisions.c.decision_id.in_(decision_ids))
        await conn.execute(gone.values(status="withdrawn"))


async def record_decisions(conn: AsyncConnection, records: Iterable[DecisionRecord], case_id: str) -> None:
    """Store the results of decisions as the Workflow decided them.

    An accepted decision does not change any more, except that it can be withdrawn.
    """
    rows = [
        _decision_row(record.decision, case_id)
        | {
            "status": "refused" if record.refusal else "accepted",
            "refusal": fit(record.refusal, decisions.c.refusal),
            "code": fit(record.code, decisions.c.code),
            "on_behalf_of": record.on_behalf_of,
            "edits": [change.model_dump(mode="json") for change in record.changes] or None,
        }
        for record in records
    ]
    if rows:
        await conn.execute(_RECORD_DECISION, rows)


_RECORD_DECISION = prepared_insert(
    decisions,
    lambda new: new.on_conflict_do_update(
        index_elements=[decisions.c.decision_id],
        set_={column.name: new.excluded[column.name] for column in decisions.c if column.name != "decision_id"},
        where=and_(decisions.c.status != "accepted", decisions.c.status != "withdrawn"),
    ),
)


_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,18})?")
"""Match an amount that both databases can add exactly."""
_LINES = ("subject", "amount", "currency", "words")
_MOST_THOUSANDTHS = 10**12
"""Nine million such amounts can be added in 64 bits, which SQLite has for an integer."""

_PATCH = prepared(
    update(tasks)
    .where(tasks.c.task_id == bindparam("of_task"))
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in (
                "status",
                "outcome",
                "given",
                "due_at",
                "expires_at",
                "revision",
                "closed_at",
                "assignee",
                "asked",
            )
        }
        | {
            "priority": bindparam("new_priority", type_=Integer),
            # A list sorted by these values must not lose the task between two pages.
            "moved_at": case(
                (
                    or_(
                        tasks.c.due_at.is_distinct_from(bindparam("new_due_at", type_=tasks.c.due_at.type)),
                        tasks.c.priority != bindparam("new_priority", type_=Integer),
                    ),
                    bindparam("new_moved_at", type_=tasks.c.moved_at.type),
                ),
                else_=tasks.c.moved_at,
            ),
            "substitutes": func.coalesce(bindparam("new_substitutes", type_=String), tasks.c.substitutes),
            "state": func.coalesce(bindparam("new_state", type_=JSON(none_as_null=True)), tasks.c.state),
            # A changed input also changes title, key fields and sum.
            **{name: func.coalesce(bindparam(f"new_{name}", type_=String), tasks.c[name]) for name in _LINES},
            # Belongs to the amount: a new amount may be too long for it.
            "thousandths": case(
                (bindparam("new_amount", type_=String).is_(None), tasks.c.thousandths),
                else_=bindparam("new_thousandths", type_=BigInteger),
            ),
        }
    )
)


def _patch_row(patch: TaskPatch, case_id: str) -> dict[str, Any]:
    changed: dict[str, str | None] = dict.fromkeys(_LINES)
    if {"title", "key_fields"} <= patch.state.keys():
        shown = patch.state
        changed = _lines_of(case_id, shown["title"], shown["key_fields"], shown.get("money", {}))
    return {
        "of_task": patch.task_id,
        "new_status": patch.status,
        "new_outcome": patch.outcome,
        "new_given": patch.given,
        "new_due_at": patch.due_at,
        "new_expires_at": patch.expires_at,
        "new_revision": patch.revision,
        "new_closed_at": patch.closed_at,
        "new_assignee": patch.state.get("assignee"),
        "new_asked": _asked(patch),
        "new_priority": patch.priority,
        "new_moved_at": datetime.now(UTC),
        "new_substitutes": patch.state.get("substitutes"),
        "new_state": patch.state or None,
        **{f"new_{name}": value for name, value in changed.items()},
        "new_thousandths": thousandths(changed["amount"]),
    }


def _task_row(view: TaskView) -> dict[str, Any]:
    lines = _lines_of(view.case_id, view.title, view.key_fields, view.money)
    return {
        "task_id": view.task_id,
        "case_id": view.case_id,
        "batch_id": view.batch_id,
        "process": view.process,
        "gate": view.gate,
        "kind": view.kind,
        "title": view.title,
        "requester": view.requester,
        "status": view.status,
        "outcome": view.outcome,
        "opened_at": view.opened_at,
        "closed_at": view.closed_at,
        "due_at": view.due_at,
        "expires_at": view.expires_at,
        "priority": view.priority,
        "revision": view.revision,
        "given": view.quorum.given,
        "asked": _asked(view),
        "substitutes": view.substitutes,
        "view": view.model_dump(mode="json"),
        **lines,
        "thousandths": thousandths(lines["amount"]),
    }


def _lines_of(
    case_id: str, title: str, key_fields: Mapping[str, str], money: Mapping[str, str]
) -> dict[str, str | None]:
    """Return, by name of the column, the values by which lists sort and filter tasks, computed from the data of a task.

    The first key field names the subject, such as the payee.
    """
    amount, currency = money.get("amount", ""), money.get("currency", "")
    summable = bool(_NUMBER.fullmatch(amount)) and 0 < len(currency) <= 20
    return {
        "subject": fit(next(iter(key_fields.values()), ""), tasks.c.subject),
        "amount": amount if summable else None,
        "currency": currency if summable else None,
        "words": fit(search_words(case_id, title), tasks.c.words),
    }


def thousandths(amount: str | None) -> int | None:
    """Return the amount in thousandths, which databases add fast and exactly.

    Return None for an amount of more than three decimals, or of a thousand million and more: the database then adds the
    text of the amount.
    """
    if amount is None:
        return None
    whole, _, fraction = amount.partition(".")
    number = int(f"{whole}{fraction:0<3}") if len(fraction) <= 3 else _MOST_THOUSANDTHS
    return number if abs(number) < _MOST_THOUSANDTHS else None


def _asked(task: TaskView | TaskPatch) -> str:
    return ",".join(sorted(f"={group}" if group in task.members else group for group in {*task.candidate_groups}))


def _names(task: TaskView | TaskPatch, excluded: Iterable[str], asked: Iterable[Mapping[str, Any]] = ()) -> set[Name]:
    """Return all people and groups of a task as (kind, name), the form in which `candidates` stores them.

    A withdrawn question does not give access to the task.
    """
    return {
        *names_of(task.candidate_groups, task.candidate_users, task.members),
        *(("excluded", name) for name in excluded),
        *(("asked", each["to"]) for each in asked if not each.get("withdrawn_at")),
    }


def _decision_row(decision: Decision, case_id: str) -> dict[str, Any]:
    return {
        "decision_id": fit(decision.id, decisions.c.decision_id),
        "task_id": fit(decision.task_id, decisions.c.task_id),
        "case_id": case_id,
        "person": fit(decision.by.id, decisions.c.person),
        "verdict": decision.verdict,
        "comment": fit(decision.comment, decisions.c.comment),
        "content": decision.content,
        "via": fit(decision.via, decisions.c.via),
        "at": decision.at,
        "confirmed": decision.confirmed,
        "name": fit(decision.confirmation.name if decision.confirmation else "", decisions.c.name),
    }


async def _name(conn: AsyncConnection, added: set[tuple[str, str, str]]) -> None:
    if added:
        rows = [{"task_id": task_id, "kind": kind, "name": name} for task_id, kind, name in sorted(added)]
        await conn.execute(_INSERT_NAMES, rows)


async def _unname(conn: AsyncConnection, removed: set[tuple[str, str, str]]) -> None:
    for task_id, kind, name in sorted(removed):
        await conn.execute(
            delete(candidates).where(
                candidates.c.task_id == task_id, candidates.c.kind == kind, candidates.c.name == name
            )
        )


async def close(conn: AsyncConnection, task_id: str, outcome: Outcome, at: datetime) -> bool:
    """Close one task that does not belong to a running Workflow. Return False if the task is closed already."""
    left = update(tasks).where(tasks.c.task_id == task_id, tasks.c.status == "open")
    return bool((await conn.execute(left.values(status="closed", outcome=outcome, closed_at=at))).rowcount)


async def remove_unknown(conn: AsyncConnection, case_id: str, known: Iterable[str]) -> None:
    """Remove the tasks of a case that its Workflow does not know after a reset to an earlier point.

    The Workflow will open these tasks again. Decisions on the removed tasks no longer count; the audit log keeps all
    events.
    """
    query = select(tasks.c.task_id).where(tasks.c.case_id == case_id, tasks.c.task_id.not_in(list(known)))
    ids = list((await conn.execute(query)).scalars())
    gone = update(decisions).where(decisions.c.task_id.in_(ids), decisions.c.status == "accepted")
    await conn.execute(gone.values(status="withdrawn"))
    for table in (candidates, follow_ups, tasks):
        await conn.execute(delete(table).where(table.c.task_id.in_(ids)))


async def close_remaining(conn: AsyncConnection, case_id: str, at: datetime) -> None:
    """Close all open tasks of an ended case, including tasks that its Workflow does not know any more."""
    closed = {"status": "closed", "outcome": Outcome.CANCELLED, "closed_at": at}
    await conn.execute(_CLOSE_REMAINING, {"of_case": case_id, **closed})


_CLOSE_REMAINING = prepared(update(tasks).where(tasks.c.case_id == bindparam("of_case"), tasks.c.status == "open"))
