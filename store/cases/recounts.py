"""Find open tasks whose candidates must be computed again because people or groups changed.

No task is missed.

Every change of people, and every begin or end of an absence, becomes rows of `recounts` in the transaction that
advances the reader position, without a limit. A row stays at least until the Workflow of its task has received the
message.

A gate that opens at the moment of a change may have read the people before the change and be stored after the change.
So each change is processed twice: at once, and a minute later for the tasks that began to open before the change and
were not stored yet.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, exists, func, literal, or_, select, update

from store.audit import audit_log
from store.cases.visibility import PERSONAL
from store.db.connection import AsyncConnection
from store.db.database import insert_into
from store.tables.audit import chain, event_payloads, event_positions, events, readers
from store.tables.base import Instant
from store.tables.cases import candidates, case_requesters, recounts, tasks
from store.tables.people import absences, memberships, people

READER, LATER_READER = "people", "people-again"
AGAIN = timedelta(minutes=1)
"""The time between the two times that a change is processed.

This time is longer than a gate can take from reading people to its commit: a local activity has 10 s.
"""
CLOCKS = timedelta(seconds=15)
"""The most by which the clocks of Temporal and of the gateways may differ.

The clock of Temporal says when a gate began to open; the clock of a gateway says when people changed.
"""
LEASE = timedelta(seconds=30)
"""How long a worker that took rows has to notify their Workflows."""
LONGEST_PAUSE = timedelta(minutes=5)
_NAMES = 500
"""The maximum number of names in one IN list."""
_KINDS = (
    "person_added",
    "person_replaced",
    "person_deactivated",
    "person_reactivated",
    "group_joined",
    "group_left",
    "absence_set",
    "absence_ended",
    "service_account_owners_set",
)


@dataclass(frozen=True)
class Wanted:
    """One task whose Workflow must be notified, because people or groups changed."""

    task_id: str
    workflow_id: str
    position: int
    attempts: int


@dataclass
class _Changed:
    """The people and the groups that changes of people concern."""

    persons: set[str]
    groups: set[str]

    def __bool__(self) -> bool:
        return bool(self.persons or self.groups)


async def is_news(conn: AsyncConnection, now: datetime) -> bool:
    """Return True if `gather` or `take` may have something to do.

    The query is fast, so the worker can run it every few seconds.
    """
    behind = exists().where(readers.c.name.in_((READER, LATER_READER)), readers.c.position < chain.c.position)
    if (await conn.execute(select(chain.c.id).where(behind))).first():
        return True
    moments = or_(_moment("begin", now, 0), _moment("end", now, 0), *(_moment(m, now - AGAIN, 1) for m in _MOMENTS))
    if (await conn.execute(select(absences.c.person).where(moments).limit(1))).first():
        return True
    waiting = select(recounts.c.task_id).where(~recounts.c.told, recounts.c.next_at <= now).limit(1)
    return (await conn.execute(waiting)).first() is not None


async def gather(conn: AsyncConnection, now: datetime) -> None:
    """Add a row for every open task that may be affected by changes of people since the last run.

    Call this in a write transaction.
    """
    reading = select(readers.c.name, readers.c.position).where(readers.c.name.in_((READER, LATER_READER)))
    came = {row.name: row.position for row in await conn.execute(reading.order_by(readers.c.name).with_for_update())}
    head = (await conn.execute(select(chain.c.position))).scalar_one()
    first = await _changes(conn, came[READER], head)
    first.persons |= await _moments_passed(conn, now, step=0)
    await _want(conn, first, head, now)
    ripe = await _ripe(conn, came[LATER_READER], head, now - AGAIN)
    second = await _changes(conn, came[LATER_READER], ripe)
    second.persons |= await _moments_passed(conn, now - AGAIN, step=1)
    await _want(conn, second, head, now, opened_by=now - AGAIN + CLOCKS)
    for name, position in ((READER, head), (LATER_READER, ripe)):
        if position != came[name]:
            await conn.execute(update(readers).where(readers.c.name == name).values(position=position))
    await conn.execute(delete(recounts).where(recounts.c.told, recounts.c.position <= ripe))


async def take(conn: AsyncConnection, now: datetime, limit: int) -> list[Wanted]:
    """Return the next tasks whose Workflows must be notified, longest waiting first. Lease the tasks to this worker."""
    workflow = func.coalesce(tasks.c.view["workflow_id"].as_string(), tasks.c.case_id).label("workflow_id")
    query = (
        select(recounts.c.task_id, recounts.c.position, recounts.c.attempts, workflow)
        .join(tasks, tasks.c.task_id == recounts.c.task_id)
        .where(~recounts.c.told, recounts.c.next_at <= now)
        .order_by(recounts.c.next_at, recounts.c.task_id)
        .limit(limit)
        .with_for_update(of=recounts, skip_locked=True)
    )
    found = [Wanted(row.task_id, row.workflow_id, row.position, row.attempts) for row in await conn.execute(query)]
    if found:
        leased = update(recounts).where(recounts.c.task_id.in_([each.task_id for each in found]))
        await conn.execute(leased.values(next_at=now + LEASE))
    return found


async def settle(conn: AsyncConnection, told: Iterable[Wanted], failed: Iterable[Wanted], now: datetime) -> None:
    """Store which Workflows were notified (`told`) and which could not be (`failed`).

    A task that was added again after `take` stays, so its Workflow is notified again.
    """
    heard = [{"its": each.task_id, "at": each.position} for each in told]
    if heard:
        await conn.execute(_HEARD, heard)
    again = [
        {
            "its": each.task_id,
            "tried": each.attempts + 1,
            "next": now + min(timedelta(seconds=5) * 2 ** min(each.attempts, 10), LONGEST_PAUSE),
        }
        for each in failed
    ]
    if again:
        await conn.execute(_AGAIN, again)


_HEARD = (
    update(recounts)
    .where(recounts.c.task_id == bindparam("its"), recounts.c.position == bindparam("at"))
    .values(told=True)
)
_AGAIN = (
    update(recounts)
    .where(recounts.c.task_id == bindparam("its"))
    .values(attempts=bindparam("tried"), next_at=bindparam("next", type_=Instant))
)


async def waiting(conn: AsyncConnection) -> int:
    """Return the number of tasks whose Workflows still have to be notified."""
    return (await conn.execute(select(func.count()).select_from(recounts).where(~recounts.c.told))).scalar_one()


# --------------------------------------------------------------------------------------------------------- small parts

_MOMENTS = ("begin", "end")


def _moment(which: str, until: datetime, step: int) -> ColumnElement[bool]:
    """Return the SQL condition for absences that began or ended by `until` and for which exactly `step` of the two
    passes are done.
    """
    at, told = _column(which)
    return and_(at <= until, told == step)


def _column(which: str) -> tuple[Any, Any]:
    return (
        (absences.c.starts_at, absences.c.begin_told) if which == "begin" else (absences.c.ends_at, absences.c.end_told)
    )


async def _moments_passed(conn: AsyncConnection, until: datetime, step: int) -> set[str]:
    """Return the people whose absence began or ended by `until` and was processed in `step` passes.

    Store that one more pass is done.
    """
    found: set[str] = set()
    for which in _MOMENTS:
        _, told = _column(which)
        passed = update(absences).where(_moment(which, until, step)).values({told: step + 1})
        found |= set((await conn.execute(passed.returning(absences.c.person))).scalars())
    return found


async def _ripe(conn: AsyncConnection, came: int, head: int, until: datetime) -> int:
    """Return the audit log position up to which the second pass may read.

    This is the position before the first change that is newer than `until`.
    """
    young = select(func.min(event_positions.c.position)).select_from(audit_log.SEQUENCED)
    young = young.where(
        event_positions.c.position > came, events.c.case_id.is_(None), events.c.kind.in_(_KINDS), events.c.at > until
    )
    first = (await conn.execute(young)).scalar()
    return head if first is None else first - 1


async def _changes(conn: AsyncConnection, came: int, upto: int) -> _Changed:
    query = audit_log.in_order(came, upto).where(
        events.c.case_id.is_(None), events.c.kind.in_(_KINDS), event_payloads.c.payload.is_not(None)
    )
    changed = _Changed(set(), set())
    for event in await conn.execute(query):
        data = json.loads(event.payload)["data"]
        changed.persons |= {data[name] for name in ("person", "by") if data.get(name)}
        changed.groups |= {*data.get("groups", ()), *([data["group"]] if data.get("group") else ())}
    return changed


async def _want(
    conn: AsyncConnection, changed: _Changed, position: int, now: datetime, *, opened_by: datetime | None = None
) -> None:
    """Add a row for each open task that may be affected by the changes of these people.

    `opened_by` is given in the second pass: a task that opened later has read the people after the changes.
    """
    if not changed:
        return
    persons = set(changed.persons)
    for some in _in_parts(changed.persons):
        # A substitute decides in place of the absent person, also when the two share no group.
        absent = select(absences.c.person).where(absences.c.substitute.in_(some), absences.c.ends_at > now)
        persons |= set((await conn.execute(absent)).scalars())
    groups = set(changed.groups)
    for some in _in_parts(persons):
        of_them = select(memberships.c.group_name).where(memberships.c.person.in_(some)).distinct()
        groups |= set((await conn.execute(of_them)).scalars())
    for some in _in_parts(persons):
        await _put(conn, _names(some), position, now, opened_by)
    for some in _in_parts(groups):
        named = and_(candidates.c.kind == "group", candidates.c.name.in_(some))
        await _put(conn, tasks.c.task_id.in_(select(candidates.c.task_id).where(named)), position, now, opened_by)


def _names(persons: Collection[str]) -> ColumnElement[bool]:
    """Return the condition for tasks that refer to these people by name, in any role.

    The roles are candidate, asked person, assignee, delegator, requester and group member at the opening. Requests
    taken over from people who left are included: the successor must not decide them. Requests of a service account in
    `persons` are included, too: people who became owners must not decide them.
    """
    theirs = select(people.c.id).where(people.c.successor.in_(persons))
    for_them = select(case_requesters.c.case_id).where(case_requesters.c.person.in_(theirs))
    services = select(people.c.id).where(people.c.id.in_(persons), people.c.kind == "service")
    named = and_(candidates.c.kind.in_((*PERSONAL, "asked")), candidates.c.name.in_(persons))
    return or_(
        tasks.c.task_id.in_(select(candidates.c.task_id).where(named)),
        tasks.c.assignee.in_(persons),
        and_(tasks.c.assignee.is_not(None), tasks.c.state["owner"].as_string().in_(persons)),
        and_(tasks.c.kind == "changes", tasks.c.requester.in_(persons)),
        and_(tasks.c.kind == "gate", or_(tasks.c.requester.in_(theirs), tasks.c.case_id.in_(for_them))),
        and_(tasks.c.kind != "changes", tasks.c.requester.in_(services)),
    )


async def _put(
    conn: AsyncConnection, concerns: ColumnElement[bool], at: int, now: datetime, opened_by: datetime | None
) -> None:
    columns = ("task_id", "position", "told", "attempts", "next_at")
    found = select(tasks.c.task_id, literal(at), literal(False), literal(0), literal(now, Instant))
    found = found.where(tasks.c.status == "open", concerns)
    if opened_by is not None:
        new = insert_into(conn, recounts).from_select(columns, found.where(tasks.c.opened_at <= opened_by))
        # A row that exists covers this change already: it existed in the first pass.
        await conn.execute(new.on_conflict_do_nothing())
        return
    new = insert_into(conn, recounts).from_select(columns, found)
    replacement = {name: new.excluded[name] for name in columns[1:]}
    await conn.execute(new.on_conflict_do_update(index_elements=[recounts.c.task_id], set_=replacement))


def _in_parts(names: Collection[str]) -> list[Sequence[str]]:
    inside = sorted(names)
    return [inside[first : first + _NAMES] for first in range(0, len(inside), _NAMES)]
