"""Create notifications from audit events: decide which people must be notified of an event, and when.

Events are stored in the transaction of the change and get positions without gaps at the end of this transaction or
right after it. So the audit log is the only source of these notifications: one reader processes each event once, in
order. Cases write no notifications.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, select, update

from domain.messages import Absent, Actor
from domain.names import OPERATORS
from domain.notification import NoticeChoice, NoticeKind
from domain.permissions import places
from domain.status import Outcome
from domain.task import TaskView
from store.audit import audit_log
from store.cases.visibility import PERSONAL
from store.db.connection import AsyncConnection
from store.db.database import insert_into
from store.notifications import choices
from store.notifications.reminders import NUDGED
from store.people import successors
from store.tables.audit import chain, event_payloads, events, readers
from store.tables.cases import batches, candidates, cases, decisions, tasks
from store.tables.notifications import messages, notices
from store.tables.people import absences, memberships, people

READER = "notices"
CHUNK = 1000
"""How many events are read in one transaction. With more events, decisions would wait longer for the write lock."""
SETTLE = timedelta(seconds=2)
"""The delay of notifications that a person wants "at once", so that the approval and the end of one payment arrive in
one message.
"""
BATCH_SETTLE = timedelta(seconds=10)
"""How long the last cases may take to reach their gates after the import of a file."""

_KINDS = (
    "gate_opened",
    "intervention_opened",
    "gate_reminded",
    NUDGED,
    "gate_escalated",
    "gate_expired",
    "gate_closed",
    "case_closed",
    "changes_requested",
    "task_reassigned",
    "task_delegated",
    "task_released",
    "candidate_replaced",
    "question_asked",
    "question_answered",
    "question_withdrawn",
)
_HANDED = {"task_reassigned", "task_delegated", "task_released", "candidate_replaced", "question_withdrawn"}
"""Kinds of events after which another person must act: the person in `to` is notified of the task, and the person in
`from` that the task needs this person no longer.
"""


@dataclass(frozen=True)
class Plan:
    """The enabled channels and the timing of messages."""

    channels: Mapping[str, bool]
    """The enabled channels by name, each with True if the channel needs an address.

    For such a channel, people without an address are skipped.
    """
    window: timedelta
    """The shortest time between two messages to one person through one channel, except messages about accounts."""
    digest_at: time
    """The time of the daily digest, in UTC."""

    def digest_after(self, now: datetime) -> datetime:
        """Return the time of the next digest."""
        today = datetime.combine(now.date(), self.digest_at, now.tzinfo)
        return today if today > now else today + timedelta(days=1)


class _Event(NamedTuple):
    position: int
    kind: str
    case_id: str
    data: dict[str, Any]

    @property
    def task_id(self) -> str | None:
        found: str | None = self.data.get("task_id")
        return found

    @property
    def named(self) -> list[str]:
        """Return the ids of the people that the event names."""
        found = [self.data.get(name) for name in ("to", "from", "asked_by", "asked")]
        return [name for name in (*found, *self.data.get("askers", ())) if isinstance(name, str)]


class _Due(NamedTuple):
    at: datetime
    held_by: str | None


async def fan_out(conn: AsyncConnection, plan: Plan, now: datetime) -> bool:
    """Read the next events of the audit log and store the notifications about them.

    Return True if there are more events to read.
    """
    came = (await conn.execute(select(readers.c.position).where(readers.c.name == READER))).scalar_one()
    head = (await conn.execute(select(chain.c.position))).scalar_one()
    upto = min(head, came + CHUNK)
    if upto == came:
        return False
    if news := await _news(conn, came, upto):
        crowd = await _Recipients.load(conn, news, plan)
        if rows := crowd.notices(news, now):
            await conn.execute(insert_into(conn, notices).on_conflict_do_nothing(), rows)
    await conn.execute(update(readers).where(readers.c.name == READER).values(position=upto))
    return bool(upto < head)


async def release(conn: AsyncConnection, batch_ids: Mapping[str, datetime]) -> None:
    """Allow the notifications that waited for the end of these imports to be sent.

    `batch_ids` are the imports with the times of their ends.
    """
    for batch_id, closed_at in batch_ids.items():
        freed = {"held_by": None, "due_at": closed_at + BATCH_SETTLE}
        await conn.execute(update(notices).where(notices.c.held_by == batch_id).values(freed))


async def _news(conn: AsyncConnection, came: int, upto: int) -> list[_Event]:
    query = audit_log.in_order(came, upto).where(events.c.kind.in_(_KINDS), event_payloads.c.payload.is_not(None))
    return [
        _Event(row.position, row.kind, row.case_id, json.loads(row.payload)["data"])
        for row in await conn.execute(query)
    ]


@dataclass
class _Recipients:
    """All people who may have to be notified of a set of events, loaded with one query for each table."""

    plan: Plan
    cases: Mapping[str, Row[Any]]
    tasks: Mapping[str, Row[Any]]
    candidates: Mapping[str, set[tuple[str, str]]]
    """By task id: the candidates and the excluded people of the task, as (kind, name)."""
    members: Mapping[str, set[str]]
    decided: Mapping[str, set[tuple[str, str | None]]]
    """By task id: the people who decided the task, each with the person in whose place they decided, or None."""
    told: Mapping[str, set[tuple[str, str]]]
    """By id of a closed task: the people who were notified of the task, each with the channel."""
    instead: Mapping[str, set[str]]
    """By id of a person who is out of office: the substitutes of this person."""
    apart: Mapping[str, set[str]]
    """By id of a person who is out of office or is a substitute: all groups of this person."""
    heirs: Mapping[str, str | None]
    """By id of a person who has left: the successor, or None."""
    channels: Mapping[str, Sequence[str]]
    """By id of an active person: the channels that reach this person."""
    choices: Mapping[str, Mapping[NoticeKind, NoticeChoice]]
    known: dict[Any, dict[str, set[str]]] = field(default_factory=dict)
    """Cached results of `_may_decide` for tasks with the same candidates, such as those of one batch."""

    @classmethod
    async def load(cls, conn: AsyncConnection, news: Sequence[_Event], plan: Plan) -> "_Recipients":
        task_ids = {task_id for event in news if (task_id := event.task_id)}
        closed = {event.task_id for event in news if event.kind == "gate_closed"}
        found_cases = await _by_key(conn, _CASES.where(cases.c.case_id.in_({event.case_id for event in news})))
        found_tasks = await _by_key(conn, _TASKS.where(tasks.c.task_id.in_(task_ids)))
        named = await _sets(conn, _CANDIDATES.where(candidates.c.task_id.in_(task_ids)))
        groups = {name for names in named.values() for kind, name in names if kind == "group"}
        groups |= {group for event in news if event.data.get("askers") for group in _operators(found_tasks, event)}
        members = await _sets(conn, _MEMBERS.where(memberships.c.group_name.in_(groups)))
        decided = await _sets(conn, _DECIDED.where(decisions.c.task_id.in_(task_ids)))
        told = await _sets(conn, _TOLD.where(notices.c.task_id.in_(closed)))
        everybody = {name for row in found_cases.values() for name in _asking(row)}
        everybody |= {name for names in named.values() for kind, name in names if kind in PERSONAL}
        everybody |= {name for row in found_tasks.values() for name in (row.assignee, row.owner) if name}
        everybody |= {person for persons in members.values() for person in persons}
        everybody |= {name for event in news for name in event.named}
        now = datetime.now(UTC)
        away = _AWAY.where(absences.c.person.in_(everybody), absences.c.starts_at <= now, absences.c.ends_at > now)
        instead = await _sets(conn, away)
        two = {*instead, *(person for persons in instead.values() for person in persons)}
        apart = await _sets(conn, _GROUPS.where(memberships.c.person.in_(two))) if two else {}
        askers = {name for row in found_cases.values() for name in _asking(row)}
        heirs = await successors.successors_of(conn, askers)
        everybody |= {heir for heir in heirs.values() if heir}
        everybody |= {person for persons in instead.values() for person in persons}
        everybody |= {person for pairs in told.values() for person, _ in pairs}
        channels = {
            row.id: [name for name, needs_address in plan.channels.items() if row.email or not needs_address]
            for row in await conn.execute(_ACTIVE.where(people.c.id.in_(everybody)))
        }
        chosen = await choices.of_all(conn, channels)
        return cls(
            plan, found_cases, found_tasks, named, members, decided, told, instead, apart, heirs, channels, chosen
        )

    def notices(self, news: Iterable[_Event], now: datetime) -> list[dict[str, Any]]:
        """Return the rows of `notices` to insert."""
        rows = []
        for event in news:
            case = self.cases.get(event.case_id)
            if case is None:
                continue
            at_once, digest = self._at_once(case, now), _Due(self.plan.digest_after(now), None)
            for kind, person, channel in self._recipients_of(event, self._requesters_of(case)):
                choice = self.choices[person][kind]
                if choice is NoticeChoice.OFF:
                    continue
                due = at_once if choice is NoticeChoice.AT_ONCE else digest
                rows.append(
                    {
                        "position": event.position,
                        "person": person,
                        "channel": channel,
                        "kind": kind,
                        "case_id": event.case_id,
                        "task_id": event.task_id,
                        "due_at": due.at,
                        "held_by": due.held_by,
                    }
                )
        return rows

    def _at_once(self, case: Row[Any], now: datetime) -> _Due:
        """Return when to send a notification that its person wants at once.

        A notification about a case of a batch waits for the end of the batch, but not longer than one `Plan.window`.
        """
        soon = now + SETTLE
        if case.batch_id is None:
            return _Due(soon, None)
        if case.closed_at is not None:
            return _Due(max(soon, case.closed_at + BATCH_SETTLE), None)
        latest: datetime = case.created_at + self.plan.window
        return _Due(latest, case.batch_id) if latest > soon else _Due(soon, None)

    def _requesters_of(self, case: Row[Any]) -> set[str]:
        """Return the people to notify as requester, with the successor in place of a person who has left."""
        heirs = [self.heirs.get(name, name) for name in _asking(case)]
        return {heir for heir in heirs if heir}

    def _recipients_of(self, event: _Event, asker: set[str]) -> Iterable[tuple[NoticeKind, str, str]]:
        """Yield the kind, the person and the channel of each notification that an event causes.

        `asker` is the requester of the case.
        """
        if event.kind == "case_closed":
            yield from self._reached(NoticeKind.CASE_ENDED, asker)
            return
        task = self.tasks.get(event.task_id or "")
        if task is None:  # a gate that was decided by rule
            return
        added, outcome = event.data.get("added"), event.data.get("outcome")
        if event.kind in ("question_asked", "question_answered"):
            asked = event.data.get("to" if event.kind == "question_asked" else "asked_by")
            yield from self._reached(NoticeKind.TASK_ASKED, {asked, *self.instead.get(asked, ())} if asked else set())
            return
        if event.kind in _HANDED:
            new, old = event.data.get("to"), event.data.get("from")
            # Questions to a person who left: notify the successor, or else the askers and operators.
            told = {name for name in (event.data.get("asked"), *event.data.get("askers", ())) if name}
            if event.data.get("askers"):
                told |= {person for group in _operators(self.tasks, event) for person in self.members[group]}
            if task.status == "open":
                yield from self._reached(NoticeKind.TASK_ASKED, told)
            if task.status == "open" and new and new not in told:
                yield from self._reached(NoticeKind.TASK_OPENED, {new})
            if old and old != new:
                yield from self._reached(NoticeKind.TASK_LOST, {old})
            return
        if event.kind == "gate_closed":
            if task.kind == "gate" and outcome in (Outcome.APPROVED, Outcome.REJECTED):
                yield from self._reached(NoticeKind.TASK_DECIDED, asker)
            if outcome not in (Outcome.EXPIRED, Outcome.APPROVED_BY_RULE):  # an expiry has its own notification
                for person, channel in sorted(self.told[task.task_id]):
                    deciders = {by for by, _ in self.decided[task.task_id]}
                    if person not in deciders and channel in self.channels.get(person, ()):
                        yield NoticeKind.TASK_LOST, person, channel
            return
        may_decide = self._may_decide(task)
        if event.kind == "gate_expired" and added is None:
            yield from self._reached(NoticeKind.TASK_EXPIRED, {*asker, *may_decide})
        elif task.status == "open":
            if added is not None:
                old = event.data.get("from")
                if old and old not in may_decide:
                    yield from self._reached(NoticeKind.TASK_LOST, {old})
                new = {person for person, names in may_decide.items() if names <= set(added)}
                yield from self._reached(NoticeKind.TASK_ESCALATED, new)
            elif event.kind == "gate_reminded":
                yield from self._reached(NoticeKind.TASK_REMINDED, may_decide)
            elif event.kind == NUDGED:
                yield from self._reached(NoticeKind.TASK_NUDGED, may_decide)
            else:
                yield from self._reached(NoticeKind.TASK_OPENED, may_decide)

    def _may_decide(self, task: Row[Any]) -> dict[str, set[str]]:
        """Return the people who can decide a task and have not decided it yet.

        The result has, for each person, the names of candidates (groups or people) that apply to the person.

        The rules are the same as for the check of a decision, so a substitute of an absent person is included.
        """
        names = frozenset(self.candidates[task.task_id])
        done = frozenset(self.decided[task.task_id])
        asking = (task.requester, *task.asked_for)
        alike = task.kind, asking, task.assignee, task.owner, task.substitutes, names, done
        if alike not in self.known:
            self.known[alike] = self._found(task, names, done)
        return self.known[alike]

    def _found(
        self, task: Row[Any], names: Iterable[tuple[str, str]], done: Iterable[tuple[str, str | None]]
    ) -> dict[str, set[str]]:
        of_kind: defaultdict[str, list[str]] = defaultdict(list)
        for kind, name in names:
            of_kind[kind].append(name)
        live = {group: self.members[group] for group in of_kind["group"]}
        then = dict.fromkeys(of_kind["snapshot"], of_kind["member"])
        rules: dict[str, Any] = {  # the fields that the rules read
            "kind": task.kind,
            "requester": task.requester,
            "asked_for": task.asked_for,
            "candidate_groups": [*live, *then],
            "candidate_users": of_kind["user"],
            "members": then,
            "excluded_users": of_kind["excluded"],
            "assignee": task.assignee,
            "owner": task.owner,
            "substitutes": task.substitutes,
        }
        view = TaskView.model_construct(**rules)
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for group, people_in_it in live.items():
            for person in people_in_it:
                groups[person].append(group)
        asked = {*groups, *of_kind["user"], *of_kind["member"], *(name for name in (task.assignee,) if name)}
        absent: defaultdict[str, list[Absent]] = defaultdict(list)
        for person in asked:
            for substitute in self.instead.get(person, ()):
                absent[substitute].append(Absent.model_construct(id=person, groups=self.groups_of(person, groups)))
        if task.owner and task.assignee and task.owner in self.channels:
            absent[task.assignee].append(Absent.model_construct(id=task.owner, groups=groups[task.owner]))
        decided = [name for pair in done for name in pair if name]
        found = {}
        for person in {*asked, *absent}:
            own = self.groups_of(person, groups) if absent[person] else groups[person]
            by = Actor.model_construct(id=person, groups=own, stands_in_for=absent[person])
            if taken := [place.behalf or person for place in places(view, by, decided)]:
                found[person] = {name for each in taken for name in (*groups[each], *self._named(of_kind, each))}
        return found

    def groups_of(self, person: str, asked: Mapping[str, list[str]]) -> list[str]:
        """Return the groups of a person.

        For a person who is neither absent nor a substitute, return only the groups in `asked`.
        """
        return [*asked[person], *(self.apart.get(person, set()) - set(asked[person]))]

    @staticmethod
    def _named(of_kind: Mapping[str, list[str]], person: str) -> list[str]:
        """Return the names of candidates that apply to a person, other than the current groups of the person."""
        own = [person] if person in of_kind["user"] else []
        return own + (of_kind["snapshot"] if person in of_kind["member"] else [])

    def _reached(self, kind: NoticeKind, persons: Iterable[str]) -> Iterable[tuple[NoticeKind, str, str]]:
        return ((kind, person, channel) for person in sorted(persons) for channel in self.channels.get(person, ()))


def _asking(case: Row[Any]) -> list[str]:
    """Return the people who get the notifications of the requester.

    If a service account requested the case, these are the person for whom it asks, or without one its owners.
    """
    if not case.asked_for:
        return [case.requester]
    return [case.on_behalf_of] if case.on_behalf_of else case.asked_for


_CASES = select(
    *(cases.c.case_id, cases.c.requester, cases.c.on_behalf_of, cases.c.asked_for),
    *(batches.c.batch_id, batches.c.created_at, batches.c.closed_at),
).outerjoin(batches, batches.c.batch_id == cases.c.batch_id)
_TASKS = select(
    *(tasks.c.task_id, tasks.c.kind, tasks.c.requester, tasks.c.status, tasks.c.assignee, tasks.c.substitutes),
    tasks.c.state["owner"].as_string().label("owner"),
    tasks.c.view["operators"].label("operators"),
    cases.c.asked_for,
).join(cases, cases.c.case_id == tasks.c.case_id)
_CANDIDATES = select(candidates.c.task_id, candidates.c.kind, candidates.c.name)
_MEMBERS = select(memberships.c.group_name, memberships.c.person)
_GROUPS = select(memberships.c.person, memberships.c.group_name)
_DECIDED = select(decisions.c.task_id, decisions.c.person, decisions.c.on_behalf_of).where(
    decisions.c.status.in_(("pending", "accepted"))
)
_AWAY = select(absences.c.person, absences.c.substitute).where(absences.c.substitute.is_not(None))
_TOLD = (
    select(notices.c.task_id, notices.c.person, notices.c.channel)
    .join(messages, messages.c.message_id == notices.c.message_id)
    .where(messages.c.state != "refused")
)
_ACTIVE = select(people.c.id, people.c.email).where(people.c.active, people.c.kind == "person")


def _operators(found: Mapping[str, Row[Any]], event: _Event) -> Sequence[str]:
    """Return the groups that operate the process of the event's task, by the policy of its case."""
    task = found.get(event.task_id or "")
    return () if task is None else task.operators or (OPERATORS,)


async def _by_key(conn: AsyncConnection, query: Select[Any]) -> dict[str, Row[Any]]:
    """Return the rows that a query finds, by the value of their first column."""
    return {row[0]: row for row in await conn.execute(query)}


async def _sets(conn: AsyncConnection, query: Select[Any]) -> defaultdict[str, set[Any]]:
    """Return for each value of the first column the set of values in the other columns."""
    found: defaultdict[str, set[Any]] = defaultdict(set)
    for key, *values in await conn.execute(query):
        found[key].add(values[0] if len(values) == 1 else tuple(values))
    return found
