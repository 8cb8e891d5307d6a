"""Cases that open, close and end tasks, and an outbox with a clock that tests set. Only `deliver` sends messages."""

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from itertools import count
from typing import Any

from sqlalchemy import insert, select, update

from domain.case import CaseEvent, CaseResult
from domain.messages import Actor, Decision
from domain.notification import Letter, NoticeKind
from domain.records import CaseRecord, DecisionRecord, TaskPatch
from domain.status import Outcome, Status, Verdict
from domain.task import Quorum, TaskView
from store.cases import cases
from store.db.database import Database
from store.notifications.fan_out import Plan
from store.notifications.outbox import Outbox
from store.people import people
from store.tables.cases import batches, tasks
from store.tables.notifications import notices
from tests.store.sample_cases import MORNING, event, new_case, patch, task

STAFF: Mapping[str, Sequence[str]] = {
    "requester-1": ["requesters", "managers"],
    "manager-1": ["managers"],
    "manager-2": ["managers"],
    "director-1": ["directors"],
    "operator-1": ["operators"],
    "operator-2": ["operators"],
}
WINDOW = timedelta(minutes=5)
CHANNELS = {"console": False, "smtp": True}
MONEY = {"payment": ("amount", "currency")}


class Mailroom:
    """One worker's outbox. `now` is the time it believes in."""

    def __init__(self, db: Database, holder: str = "worker-1", channels: Mapping[str, bool] = CHANNELS) -> None:
        self.db = db
        self.now = MORNING
        self.plan = Plan(channels=channels, window=WINDOW, digest_at=time(8))
        self.outbox = Outbox(db, self.plan, MONEY, holder)
        self._numbers = count(1)

    async def staff(self) -> None:
        """Everybody at work. The requester is a manager too, and so has reason to be left out."""
        async with self.db.write() as conn:
            for person, groups in STAFF.items():
                name = person.replace("-", " ").capitalize()
                await people.add(conn, person, name, groups, by="holdgate", email=f"{person}@example.org")
        await self.outbox.hold(self.now)
        while await self.outbox.advance(self.now):
            pass

    # ------------------------------------------------------------------------------------------------ what happens

    async def open(self, reference: str = "INV-1", **changes: Any) -> TaskView:
        """A payment whose task waits for the managers. `batch_id` and `amount` are the case's, the rest the task's."""
        batch_id, amount = changes.pop("batch_id", None), changes.pop("amount", "10.00")
        asked = {"amount": amount, "currency": "GBP", "payee_account": "GB82WEST12345698765432"}
        new = new_case(reference, batch_id=batch_id, input=asked)
        async with self.db.write() as conn:
            await cases.insert(conn, new, self._event(new.case_id, "case_submitted"))
        return await self.ask(new.case_id, **changes)

    async def ask(self, case_id: str, **changes: Any) -> TaskView:
        """One more task of a case."""
        asked: dict[str, Any] = {"requester": "requester-1", "excluded_users": [], "quorum": Quorum(needed=1)}
        view = task(case_id, **(asked | changes))
        kind = "intervention_opened" if view.kind == "intervention" else "gate_opened"
        happened = self._event(case_id, kind, task_id=view.task_id, gate=view.gate)
        await self._record(view, [happened], Status.AWAITING_APPROVAL, opened=[view])
        return view

    async def remind(self, view: TaskView) -> None:
        happened = self._event(view.case_id, "gate_reminded", task_id=view.task_id, to=["managers"])
        await self._record(view, [happened], Status.AWAITING_APPROVAL)

    async def escalate(self, view: TaskView, *groups: str, kind: str = "gate_escalated") -> None:
        happened = self._event(view.case_id, kind, task_id=view.task_id, added=list(groups))
        more = patch(view, candidate_groups=[*view.candidate_groups, *groups])
        await self._record(view, [happened], Status.AWAITING_APPROVAL, patched=[more])

    async def decide(self, view: TaskView, person: str, verdict: Verdict = Verdict.APPROVE, comment: str = "") -> None:
        """One answer, after which the task is still open."""
        by = Actor(id=person)
        given = Decision(
            id=f"d-{view.task_id}-{person}", task_id=view.task_id, verdict=verdict, by=by, comment=comment, at=self.now
        )
        happened = self._event(view.case_id, "decided", task_id=view.task_id)
        await self._record(view, [happened], Status.AWAITING_APPROVAL, decisions=[DecisionRecord(decision=given)])

    async def close(self, view: TaskView, outcome: Outcome, *first: CaseEvent) -> None:
        closed = self._event(view.case_id, "gate_closed", task_id=view.task_id, gate=view.gate, outcome=outcome.value)
        done = patch(view, status="closed", outcome=outcome, given=1, closed_at=self.now)
        await self._record(view, [*first, closed], Status.RUNNING, patched=[done])

    async def expire(self, view: TaskView, outcome: Outcome = Outcome.EXPIRED) -> None:
        expired = self._event(view.case_id, "gate_expired", task_id=view.task_id, on_expiry="reject")
        await self.close(view, outcome, expired)

    async def end(self, view: TaskView, status: Status, reason: str = "", undone: Sequence[str] = ()) -> None:
        ended = self._event(view.case_id, "case_closed", status=status.value, reason=reason)
        result = CaseResult(case_id=view.case_id, status=status, reason=reason, undone=list(undone))
        await self._record(view, [ended], status, result=result)

    async def upload(self, batch_id: str = "b1") -> str:
        """A file whose import runs from now on."""
        row: dict[str, Any] = {
            "batch_id": batch_id,
            "process": "payment",
            "filename": "p.csv",
            "sha256": "0" * 64,
            "path": "p",
            "same_file_as": None,
            "requester": "requester-1",
            "policy_hash": "f" * 64,
            "status": "running",
            "total": 3,
            "ignored_columns": [],
            "created_at": self.now,
        }
        async with self.db.write() as conn:
            await conn.execute(insert(batches).values(row))
        return batch_id

    async def uploaded(self, batch_id: str) -> None:
        async with self.db.write() as conn:
            await conn.execute(update(batches).where(batches.c.batch_id == batch_id).values(closed_at=self.now))

    def _event(self, case_id: str, kind: str, **data: Any) -> CaseEvent:
        return event(case_id, next(self._numbers), kind, **data)

    async def _record(self, view: TaskView, happened: list[CaseEvent], status: Status, **more: Any) -> None:
        record = CaseRecord(case_id=view.case_id, status=status, events=happened, **more)
        async with self.db.write() as conn:
            await cases.record(conn, record)

    # ------------------------------------------------------------------------------------------- what people are told

    async def noted(self, kind: NoticeKind) -> list[str]:
        """Return the people for whom the audit log causes a notice of this kind. Everybody has an address."""
        while await self.outbox.advance(self.now):
            pass
        query = select(notices.c.person).where(notices.c.kind == kind, notices.c.channel == "smtp")
        async with self.db.read() as conn:
            return sorted((await conn.execute(query)).scalars())

    async def deliver(self, after: timedelta = timedelta(0), channel: str = "smtp") -> list[Letter]:
        """Let time pass, and send what comes due through the channel."""
        return await self._pass(after, channel)

    async def wait(self, after: timedelta) -> None:
        """Let time pass and send nothing: no server answers."""
        await self._pass(after, None)

    async def _pass(self, after: timedelta, channel: str | None) -> list[Letter]:
        """Second by second at first, then in larger steps."""
        start, letters = self.now, []
        step = max(10.0, after.total_seconds() / 40)
        moments = {0.0, 1.0, 2.0, 3.0, 5.0, *(number * step for number in range(41))}
        for moment in [*sorted(m for m in moments if m < after.total_seconds()), after.total_seconds()]:
            self.now = start + seconds(moment)
            await self.outbox.hold(self.now)
            while await self.outbox.advance(self.now):
                pass
            for message_id, _ in await self.outbox.due(channel, self.now, 100) if channel else []:
                letter = await self.outbox.letter(message_id)
                assert letter is not None
                letters.append(letter)
                await self.outbox.sent(message_id, self.now)
        return letters

    async def stored_task(self, task_id: str) -> Any:
        async with self.db.read() as conn:
            return (await conn.execute(select(tasks).where(tasks.c.task_id == task_id))).one()


def told(letters: Sequence[Letter]) -> dict[str, list[str]]:
    """By person, what their letters say, as `kind reference`."""
    found: dict[str, list[str]] = {}
    for letter in letters:
        said = [f"{notice.kind} {notice.case_id.partition(':')[2]}" for notice in letter.notices]
        found[letter.person] = found.get(letter.person, []) + said
    return found


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def at(hour: int, minute: int = 0, day: int = 0) -> datetime:
    """A time of the day the tests begin, or of a later one."""
    return MORNING.replace(hour=hour, minute=minute) + timedelta(days=day)


__all__ = ["MORNING", "Mailroom", "TaskPatch", "at", "seconds", "told"]
