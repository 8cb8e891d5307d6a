"""The dashboard counts exactly what happened, within the period, and only what its reader may see."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from domain.case import CaseEvent, CaseResult
from domain.records import CaseRecord, DecisionRecord
from domain.rollback import RollbackAsked
from domain.scope import EVERYWHERE, OVERSEER
from domain.status import Outcome, Status, Verdict
from domain.task import TaskView
from store.cases import cases, incidents
from store.cases.durations import waiting
from store.cases.hand_over import hand_over
from store.cases.visibility import Viewer
from store.dashboard import current_status, ended_cases, task_counts
from store.dashboard.ended_cases import Spread
from store.dashboard.scope import DashboardScope, span
from store.db import heartbeats
from store.db.database import Database
from tests.store.sample_cases import decision, new_case, patch, recorded, task

pytestmark = pytest.mark.both_databases

NOW = datetime(2026, 11, 26, 10, 20, tzinfo=UTC)
"""A Thursday."""
ALL = DashboardScope.of(Viewer(id="operator-1", groups=["operators"], scope=OVERSEER))
HOUR = timedelta(hours=1)


class Story:
    """Cases told in few words, times in hours before now."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._numbers: dict[str, int] = {}

    def event(self, case_id: str, kind: str, at: datetime) -> CaseEvent:
        number = self._numbers[case_id] = self._numbers.get(case_id, 0) + 1
        said = {"event_id": f"{case_id}/{number}", "case_id": case_id, "at": at, "kind": kind}
        return CaseEvent(**said, actor="holdgate", summary=kind, data={})

    async def submitted(self, reference: str, ago: float, **changes: Any) -> str:
        new = new_case(reference, submitted_at=NOW - ago * HOUR, **changes)
        async with self.db.write() as conn:
            await cases.insert(conn, new, self.event(new.case_id, "submitted", new.submitted_at))
        return new.case_id

    async def asked(self, case_id: str, ago: float, gate: str = "manager-approval", **changes: Any) -> TaskView:
        at = NOW - ago * HOUR
        view = task(case_id, gate, opened_at=at, due_at=changes.pop("due_at", at + 24 * HOUR), **changes)
        status = Status.NEEDS_INTERVENTION if view.kind == "intervention" else Status.AWAITING_APPROVAL
        opened = [self.event(case_id, "gate_opened", at)]
        await recorded(self.db, CaseRecord(case_id=case_id, status=status, events=opened, opened=[view]))
        return view

    async def answered(self, view: TaskView, ago: float, outcome: Outcome, *by: str) -> None:
        at = NOW - ago * HOUR
        verdict = Verdict.REJECT if outcome is Outcome.REJECTED else Verdict.APPROVE
        record = CaseRecord(
            case_id=view.case_id,
            status=Status.RUNNING,
            events=[self.event(view.case_id, "decided", at)],
            patched=[patch(view, status="closed", outcome=outcome, closed_at=at)],
            decisions=[DecisionRecord(decision=decision(view, who, verdict, at=at)) for who in by],
        )
        await recorded(self.db, record)

    async def ended(self, case_id: str, ago: float, status: Status, workflow_id: str | None = None) -> None:
        record = CaseRecord(
            case_id=case_id,
            status=status,
            events=[self.event(case_id, "case_closed", NOW - ago * HOUR)],
            result=CaseResult(case_id=case_id, status=status, reason="told so"),
            workflow_id=workflow_id,
        )
        await recorded(self.db, record)

    async def rolled_back(self, case_id: str, ago: float) -> None:
        at = NOW - ago * HOUR
        asked = RollbackAsked(by="operator-1", reason="wrong", policy_hash="f" * 64, at=at)
        async with self.db.write() as conn:
            case = await cases.get(conn, case_id)
            assert case is not None
            given = await hand_over(conn, case, asked, self.event(case_id, "rollback_started", at))
        assert given is not None
        await self.ended(case_id, ago, Status.ROLLED_BACK, given.workflow_id)


@pytest.fixture
async def story(db: Database) -> AsyncIterator[Story]:
    """Five ended cases, one of them rolled back, and three open cases.

    | case | submitted | waited for people | ended |
    | A | 10 h ago | 8 h: managers, in time | 1 h ago, completed |
    | B | 10 h ago | 5 h: two tasks that overlap, 4 h and 3 h; one ran out of time | 4.5 h ago, expired |
    | C | 5 h ago | not at all | 4 h ago, completed |
    | D | 100 h ago | 30 h, directors, late, rejected | 50 h ago |
    | E | 80 h ago | 2 h, fraud-analysts | 60 h ago, completed; rolled back 2 h ago |
    """
    told = Story(db)
    a = await told.submitted("A", 10)
    await told.answered(await told.asked(a, 9.5), 1.5, Outcome.APPROVED, "manager-1", "manager-2")
    await told.ended(a, 1, Status.COMPLETED)
    b = await told.submitted("B", 10)
    first = await told.asked(b, 9.5)
    second = await told.asked(b, 7.5, "director-approval", candidate_groups=["directors"])
    await told.answered(first, 5.5, Outcome.APPROVED, "manager-1")
    await told.answered(second, 4.5, Outcome.EXPIRED)
    await told.ended(b, 4.5, Status.EXPIRED)
    await told.ended(await told.submitted("C", 5, requester="requester-2"), 4, Status.COMPLETED)
    d = await told.submitted("D", 100)
    asked = await told.asked(d, 90, "director-approval", candidate_groups=["directors"])
    await told.answered(asked, 60, Outcome.REJECTED, "director-1")
    await told.ended(d, 50, Status.REJECTED)
    e = await told.submitted("E", 80, requester="requester-2")
    asked = await told.asked(e, 70, "fraud-review", candidate_groups=["fraud-analysts"], candidate_users=["manager-1"])
    await told.answered(asked, 68, Outcome.APPROVED, "fraud-1")
    await told.ended(e, 60, Status.COMPLETED)
    await told.rolled_back(e, 2)
    for reference, ago, groups in (("F", 3, ["managers"]), ("G", 26, ["managers", "directors"])):
        await told.asked(await told.submitted(reference, ago), ago, candidate_groups=groups)
    h = await told.submitted("H", 6)
    failed = {"step": "reserve", "failure": "AccountLocked", "cause": "The account is locked"}
    await told.asked(h, 6, "intervention", kind="intervention", candidate_groups=["operators"], facts=failed)
    yield told


async def test_cases_that_ended_are_counted_by_day_with_their_times(story: Story) -> None:
    async with story.db.read() as conn:
        whole = await ended_cases.whole(conn, ALL, span("7d", NOW, UTC))
        parts = await ended_cases.parts(conn, ALL, span("7d", NOW, UTC))
    assert whole.ended == {"completed": 3, "expired": 1, "rejected": 1}
    # 9, 5.5, 1, 50 and 20 hours from start to end, of which 8, 5, 0, 30 and 2 waited for people.
    assert whole.cycle == spread(9, 50, mean=17.1)
    assert whole.waiting == spread(5, 30, mean=9)
    assert whole.working == spread(1, 20, mean=8.1)
    assert (whole.taken_back, whole.overturned) == (1, 1)
    assert len(parts) == 8
    by_day = {part.since: part for part in parts if part.ended or part.taken_back}
    assert list(by_day) == [datetime(2026, 11, day, tzinfo=UTC) for day in (23, 24, 26)]
    monday, tuesday, today = by_day.values()
    assert (monday.ended, monday.cycle) == ({"completed": 1}, spread(20, 20, mean=20))
    assert (tuesday.ended, tuesday.waiting) == ({"rejected": 1}, spread(30, 30, mean=30))
    assert today.ended == {"completed": 2, "expired": 1}
    assert (today.cycle, today.waiting) == (spread(5.5, 9, mean=15.5 / 3), spread(5, 8, mean=13 / 3))
    assert [(part.taken_back, part.overturned) for part in (monday, today)] == [(0, 1), (1, 0)]
    assert parts[0].cycle is None


async def test_an_hour_holds_what_ended_in_it_and_a_period_no_more(story: Story) -> None:
    async with story.db.read() as conn:
        whole = await ended_cases.whole(conn, ALL, span("24h", NOW, UTC))
        parts = await ended_cases.parts(conn, ALL, span("24h", NOW, UTC))
    assert whole.ended == {"completed": 2, "expired": 1}
    ended = {part.since.hour: part.ended for part in parts if part.ended}
    assert ended == {5: {"expired": 1}, 6: {"completed": 1}, 9: {"completed": 1}}
    assert (whole.taken_back, whole.overturned) == (1, 0)


def spread(median_h: float, p90_h: float, mean: float) -> Spread:
    """In hours."""
    return Spread(median_s=median_h * 3600, p90_s=p90_h * 3600, mean_s=round(mean * 3_600_000) / 1000)


async def test_steps_tell_what_waits_and_what_was_answered_in_time(story: Story) -> None:
    async with story.db.read() as conn:
        found = await task_counts.by_step_and_group(conn, ALL, span("7d", NOW, UTC))
    named = {step.gate: step.model_dump(exclude={"process", "gate"}, exclude_defaults=True) for step in found.steps}
    assert list(named) == ["manager-approval", "intervention", "director-approval", "fraud-review"]
    assert named == {
        "manager-approval": {
            "open": 2,
            "overdue": 1,
            "oldest_at": NOW - 26 * HOUR,
            "closed": 2,
            "approved": 2,
            "kept": 2,
        },
        "intervention": {"open": 1, "oldest_at": NOW - 6 * HOUR},
        "director-approval": {"closed": 2, "rejected": 1, "expired": 1, "missed": 2},
        "fraud-review": {"closed": 1, "approved": 1, "kept": 1, "overturned": 1},
    }
    total = found.total
    assert (total.open, total.closed, total.oldest_at, total.overturned) == (3, 5, NOW - 26 * HOUR, 1)


async def test_groups_and_reviewers_have_their_own_figures(story: Story) -> None:
    async with story.db.read() as conn:
        tasks = await task_counts.by_step_and_group(conn, ALL, span("7d", NOW, UTC))
        reviewers = await task_counts.reviewers(conn, span("7d", NOW, UTC))
    assert [(group.name, group.open, group.closed, group.approved, group.overturned) for group in tasks.groups] == [
        ("managers", 2, 2, 2, 0),
        ("directors", 1, 2, 0, 0),
        ("operators", 1, 0, 0, 0),
        ("fraud-analysts", 0, 1, 1, 1),
    ]
    assert [(each.person, each.answers, each.approved, each.rejected, each.overturned) for each in reviewers] == [
        ("manager-1", 2, 2, 0, 0),
        ("director-1", 1, 0, 1, 0),
        ("fraud-1", 1, 1, 0, 1),
        ("manager-2", 1, 1, 0, 0),
    ]


async def test_somebody_without_a_role_sees_their_own_requests_and_what_asks_them(story: Story) -> None:
    requester = DashboardScope.of(Viewer(id="requester-2", groups=["requesters"]))
    manager = DashboardScope.of(Viewer(id="manager-1", groups=["managers"]))
    week = span("7d", NOW, UTC)
    async with story.db.read() as conn:
        own = await ended_cases.whole(conn, requester, week)
        assert own.ended == {"completed": 2}
        assert (own.taken_back, own.overturned, own.cycle) == (1, 1, spread(1, 20, mean=10.5))
        assert [part.ended for part in await ended_cases.parts(conn, requester, week) if part.ended] == [
            {"completed": 1}
        ] * 2
        assert await current_status.statuses(conn, requester) == {"completed": 1, "rolled_back": 1}
        nothing = await task_counts.by_step_and_group(conn, requester, week)
        assert (nothing.total, nothing.steps, nothing.groups) == (task_counts.Work(), [], [])
        assert (await ended_cases.whole(conn, manager, week)).ended == {}
        assert await current_status.statuses(conn, manager) == {}
        asked = await task_counts.by_step_and_group(conn, manager, week)
        assert {step.gate: (step.open, step.closed) for step in asked.steps} == {
            "manager-approval": (2, 2),
            "fraud-review": (0, 1),  # named in person
        }
        assert [group.name for group in asked.groups] == ["managers"]


async def test_what_stands_is_counted_by_status_and_incidents_by_cause(story: Story) -> None:
    async with story.db.read() as conn:
        assert await current_status.statuses(conn, ALL) == {
            "awaiting_approval": 2,
            "needs_intervention": 1,
            "completed": 2,
            "rejected": 1,
            "expired": 1,
            "rolled_back": 1,
        }
        assert [(each.cause, each.count) for each in await incidents.groups(conn, EVERYWHERE)] == [
            ("The account is locked", 1)
        ]


async def test_workers_are_listed_for_an_hour_after_their_last_heartbeat(db: Database) -> None:
    async with db.write() as conn:
        for worker, ago in (("ended", 1.01), ("silent", 0.99), ("alive", 0)):
            await heartbeats.beat(conn, worker, NOW - 2 * HOUR)  # so that no row is deleted later
            await heartbeats.beat(conn, worker, NOW - ago * HOUR)
    async with db.read() as conn:
        found = (await current_status.signs(conn, NOW, timedelta(seconds=10))).workers
    assert [(each.name, each.alive) for each in found] == [("alive", True), ("silent", False)]


async def test_a_scheduled_case_takes_time_from_its_start(db: Database) -> None:
    told = Story(db)
    planned = await told.submitted("planned", 20, start_at=NOW - 3 * HOUR)
    early = await told.submitted("early", 20, start_at=NOW + 3 * HOUR)
    never = await told.submitted("never", 20, start_at=NOW + 3 * HOUR)
    for case_id, ago in ((planned, 3), (early, 7)):
        started = [told.event(case_id, "case_started", NOW - ago * HOUR)]
        await recorded(db, CaseRecord(case_id=case_id, status=Status.RUNNING, events=started))
    for case_id in (planned, early, never):
        await told.ended(case_id, 1, Status.CANCELLED if case_id == never else Status.COMPLETED)
    async with db.read() as conn:
        whole = await ended_cases.whole(conn, ALL, span("24h", NOW, UTC))
    assert whole.cycle == spread(2, 6, mean=8 / 3)


def test_days_are_those_of_the_readers_zone_also_when_the_clocks_change() -> None:
    found = span("7d", datetime(2026, 10, 27, 10, tzinfo=UTC), ZoneInfo("Europe/London"))
    assert found.since == datetime(2026, 10, 19, 23, tzinfo=UTC)
    assert [(until - since) / HOUR for since, until in found.parts] == [24, 24, 24, 24, 24, 25, 24, 10]
    assert len(span("30d", NOW, UTC).parts) == 31


def test_time_at_two_steps_at_once_is_waited_once() -> None:
    spans = [(NOW - 9 * HOUR, NOW - 5 * HOUR), (NOW - 7 * HOUR, NOW - 6 * HOUR), (NOW - 4 * HOUR, NOW + HOUR)]
    assert waiting(spans, NOW - 8 * HOUR, NOW) == 7 * HOUR
    assert waiting([], NOW - 8 * HOUR, NOW) == timedelta()
