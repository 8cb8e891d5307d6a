"""Inboxes: each person finds their own tasks in the requested order, and no other tasks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.records import CaseRecord, DecisionRecord
from domain.scope import OVERSEER
from domain.status import Status, Verdict
from domain.task import Quorum, TaskView
from store.cases import task_lists, tasks
from store.cases.cases import Viewer
from store.cases.task_lists import Sort, TaskFilter
from store.db.connection import AsyncConnection
from store.db.database import Database
from tests.store.sample_cases import MORNING, decision, ending, event, opening, patch, recorded, submitted, task

pytestmark = pytest.mark.both_databases

MANAGER = Viewer(id="manager-1", groups=["managers"])
AUDITOR = Viewer(id="auditor-1", groups=["auditors"], scope=OVERSEER)


async def waiting(db: Database, reference: str, **changes: Any) -> TaskView:
    """A case whose task is open."""
    row = await submitted(db, reference, requester=changes.get("requester", "requester-1"))
    view = task(row.case_id, **changes)
    await recorded(db, opening(view))
    return view


async def listed(
    conn: AsyncConnection,
    viewer: Viewer,
    *,
    mine: bool = False,
    sort: Sort = "due_at",
    cursor: str | None = None,
    limit: int,
    **filters: Any,
) -> tuple[list[TaskView], str | None]:
    sought = TaskFilter(whose="mine" if mine else "all", **filters)
    return await task_lists.page(conn, viewer, sought, datetime.now(UTC), sort=sort, cursor=cursor, limit=limit)


async def inbox(db: Database, viewer: Viewer, **filters: Any) -> list[str]:
    """The case ids of all pages of two."""
    found: list[str] = []
    cursor = None
    while True:
        async with db.read() as conn:
            views, cursor = await listed(conn, viewer, cursor=cursor, limit=2, **filters)
        found += [view.case_id.partition(":")[2] for view in views]
        if cursor is None:
            return found


async def test_a_task_is_read_as_it_was_opened(db: Database) -> None:
    view = await waiting(db, "A", candidate_users=["z", "a"], facts={"score": 7}, key_fields={"Payee": "Acme"})
    async with db.read() as conn:
        assert await tasks.get(conn, view.task_id) == view
        assert await tasks.of_case(conn, view.case_id) == [view]
        assert await tasks.get(conn, "t-none") is None
        assert await tasks.of_case(conn, "payment:none") == []


async def test_a_task_shows_the_decisions_that_were_accepted(db: Database) -> None:
    view = await waiting(db, "A")
    yes, no = decision(view, comment="Fine"), decision(view, "manager-2", Verdict.REJECT)
    async with db.write() as conn:
        await tasks.add_pending(conn, decision(view, "manager-3"), view.case_id)
    record = CaseRecord(
        case_id=view.case_id,
        status=Status.AWAITING_APPROVAL,
        events=[event(view.case_id, 2)],
        patched=[patch(view, given=1)],
        decisions=[DecisionRecord(decision=yes), DecisionRecord(decision=no, refusal="Not you.", code="NotAllowed")],
    )
    await recorded(db, record)
    async with db.read() as conn:
        found = await tasks.get(conn, view.task_id)
    assert found is not None
    assert found.quorum == Quorum(needed=2, given=1)
    assert [(given.by, given.verdict, given.comment, given.at) for given in found.decisions] == [
        ("manager-1", Verdict.APPROVE, "Fine", yes.at)
    ]


async def test_mine_are_the_tasks_that_i_may_decide_now(db: Database) -> None:
    await waiting(db, "group")
    await waiting(db, "user", candidate_groups=["directors"], candidate_users=["manager-1"])
    await waiting(db, "of-others", candidate_groups=["directors"])
    await waiting(db, "requested-by-me", requester="manager-1")
    await waiting(db, "excluded", excluded_users=["requester-1", "manager-1"])
    closed = await waiting(db, "closed")
    await recorded(db, ending(closed))
    accepted = await waiting(db, "decided")
    record = CaseRecord(
        case_id=accepted.case_id,
        status=Status.AWAITING_APPROVAL,
        events=[event(accepted.case_id, 2)],
        decisions=[DecisionRecord(decision=decision(accepted))],
    )
    await recorded(db, record)
    pending, refused = await waiting(db, "pending"), await waiting(db, "refused")
    async with db.write() as conn:
        await tasks.add_pending(conn, decision(pending), pending.case_id)
        await tasks.record_decisions(
            conn, [DecisionRecord(decision=decision(refused), refusal="Stale.", code="Stale")], refused.case_id
        )
    assert sorted(await inbox(db, MANAGER, mine=True)) == ["group", "refused", "user"]
    assert sorted(await inbox(db, MANAGER)) == [
        "closed", "decided", "excluded", "group", "pending", "refused", "requested-by-me", "user"
    ]  # fmt: skip
    assert await inbox(db, AUDITOR, mine=True) == []
    assert len(await inbox(db, AUDITOR)) == 9
    assert len(await inbox(db, Viewer(id="requester-1"))) == 8
    assert await inbox(db, Viewer(id="nobody")) == []


async def test_each_sort_goes_through_all_pages_once(db: Database) -> None:
    hours = {"A": 5, "B": None, "C": 2, "D": None, "E": 2, "F": 9, "G": None}
    for number, (reference, due) in enumerate(hours.items()):
        await waiting(
            db,
            reference,
            due_at=None if due is None else MORNING + timedelta(hours=due),
            opened_at=MORNING + timedelta(minutes=number // 2),
            priority=1 + number % 3,
        )
    by_due = await inbox(db, MANAGER, mine=True, sort="due_at")
    assert (sorted(by_due[:2]), by_due[2:4], sorted(by_due[4:])) == (["c", "e"], ["a", "f"], ["b", "d", "g"])
    newest = await inbox(db, MANAGER, sort="-opened_at")
    assert [sorted(pair) for pair in (newest[:1], newest[1:3], newest[3:5], newest[5:])] == [
        ["g"], ["e", "f"], ["c", "d"], ["a", "b"]
    ]  # fmt: skip
    urgent = await inbox(db, MANAGER, sort="priority")
    assert [sorted(part) for part in (urgent[:3], urgent[3:5], urgent[5:])] == [["a", "d", "g"], ["b", "e"], ["c", "f"]]


async def test_a_cursor_of_another_sort_is_refused(db: Database) -> None:
    for reference in "ABC":
        await waiting(db, reference)
    async with db.read() as conn:
        _, cursor = await listed(conn, MANAGER, sort="priority", limit=2)
        for wrong in (cursor, "!", "e30", "WzEsMl0"):
            with pytest.raises(ValueError, match="cursor"):
                await listed(conn, MANAGER, sort="due_at", cursor=wrong, limit=2)


async def test_an_inbox_is_filtered(db: Database) -> None:
    await waiting(db, "INV-1", title="Pay Müller")
    await waiting(db, "Ä-2", gate="fraud-review")
    await waiting(db, "INV-3", process="deployment", requester="requester-2")
    for filters, expected in (
        ({"process": "deployment"}, ["inv-3"]),
        ({"gate": "fraud-review"}, ["%C3%A4-2"]),
        ({"status": "closed"}, []),
        ({"status": "open", "gate": "manager-approval", "process": "payment"}, ["inv-1"]),
        ({"q": "mÜLLER"}, ["inv-1"]),
        ({"q": "ä-2"}, ["%C3%A4-2"]),
        ({"q": "requester"}, []),
    ):
        assert await inbox(db, AUDITOR, **filters) == expected, filters
