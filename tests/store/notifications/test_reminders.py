"""Reminders by the requester: one a day for each task, stored in the audit log and in the outbox."""

import asyncio
from datetime import datetime, timedelta

import pytest

from domain.notification import NoticeKind
from domain.status import Outcome
from domain.task import Quorum, TaskView
from store.audit import audit_log
from store.cases import tasks
from store.db.database import Database
from store.notifications import reminders
from store.notifications.reminders import NUDGED, NotWaiting, Nudge, ReminderTooSoon
from tests.store.outbox_fixture import Mailroom
from tests.store.sample_cases import MORNING

A_DAY = timedelta(hours=24)


@pytest.fixture
async def room(db: Database) -> Mailroom:
    room = Mailroom(db)
    await room.staff()
    return room


async def nudge(room: Mailroom, task: TaskView, at: datetime, event_id: str) -> Nudge:
    async with room.db.write() as conn:
        return await reminders.nudge(conn, task, "requester-1", at, event_id)


async def told(room: Mailroom, task: TaskView) -> list[str]:
    async with room.db.read() as conn:
        return [event.event_id for event in await audit_log.page(conn, task.case_id) if event.kind == NUDGED]


@pytest.mark.both_databases
async def test_those_who_may_decide_and_have_not_are_reminded(room: Mailroom) -> None:
    task = await room.open(quorum=Quorum(needed=2))
    await room.decide(task, "manager-1")
    await nudge(room, task, MORNING, "nudge/1")
    assert await room.noted(NoticeKind.TASK_NUDGED) == ["manager-2"]


@pytest.mark.both_databases
async def test_a_second_reminder_within_a_day_is_refused_and_not_recorded(room: Mailroom) -> None:
    task, other = await room.open(), await room.open("INV-2")
    first = await nudge(room, task, MORNING, "nudge/1")
    with pytest.raises(ReminderTooSoon) as refused:
        await nudge(room, task, MORNING + A_DAY - timedelta(seconds=1), "nudge/2")
    assert refused.value.last == first and first.again_at == MORNING + A_DAY
    await nudge(room, other, MORNING, "nudge/3")
    assert await told(room, task) == ["nudge/1"]
    later = await nudge(room, task, MORNING + A_DAY, "nudge/4")
    assert await told(room, task) == ["nudge/1", "nudge/4"]
    async with room.db.read() as conn:
        assert await reminders.latest(conn, [task.task_id, "none"]) == {task.task_id: later}
    assert (await audit_log.verify(room.db)).problems == []


async def test_the_same_request_again_is_the_same_nudge_at_once_and_a_day_later(room: Mailroom) -> None:
    task = await room.open()
    both = await asyncio.gather(*(nudge(room, task, MORNING, "nudge/1") for _ in range(2)))
    again = await nudge(room, task, MORNING + A_DAY, "nudge/1")
    assert both[0] == both[1] == again
    assert await told(room, task) == ["nudge/1"]


async def test_nobody_is_reminded_of_what_is_decided(room: Mailroom) -> None:
    task = await room.open()
    await room.close(task, Outcome.APPROVED)
    with pytest.raises(NotWaiting):
        await nudge(room, task, MORNING, "nudge/1")
    assert await told(room, task) == []
    async with room.db.read() as conn:
        assert (found := await tasks.get(conn, task.task_id)) and found.status == "closed"
