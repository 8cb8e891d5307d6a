"""Messages at the worst moment: between a record and Temporal's history, in floods, and malformed."""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from cases.sql_records import SqlRecords
from domain.names import MAX_IDLE_MESSAGES
from domain.records import CaseRecord, Written
from domain.status import Status, Verdict
from store.cases import tasks
from store.db.database import DatabaseUnavailable
from tests.support.engine_fixture import ONE_GATE, Handle, House, open_house
from tests.support.installed_app import ROOT
from workflows.engine import human_tasks

SOON = timedelta(seconds=2)
"""After which the server misses a worker that died with a workflow task."""
REMINDED = ONE_GATE.replace('groups = ["managers"]', 'groups = ["managers"]\nremind = ["4h"]', 1)


@pytest.fixture
def closing(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when the first last record of a case is in SQL and, for half a second, not yet in history."""
    event = asyncio.Event()
    original = SqlRecords.record

    async def lingering(self: SqlRecords, record: CaseRecord) -> Written:
        written = await original(self, record)
        if record.result and not event.is_set():
            event.set()
            await asyncio.sleep(0.5)
        return written

    monkeypatch.setattr(SqlRecords, "record", lingering)
    return event


async def cancel_by_message(house: House, case: Handle) -> None:
    await house.cancel(case)


async def cancel_in_temporal(_: House, case: Handle) -> None:
    await case.cancel()


@pytest.mark.parametrize("cancel", [cancel_by_message, cancel_in_temporal])
async def test_a_cancel_while_the_end_is_recorded_comes_too_late_for_all(
    house: House, closing: asyncio.Event, cancel: Callable[[House, Handle], Any]
) -> None:
    case = await house.start()
    await house.decide(case)
    await closing.wait()
    await cancel(house, case)
    result = await house.end(case)
    row = await house.row(case)
    assert result.status is Status.COMPLETED and row.status == "completed"
    assert house.effects(case) == ["fetch", "pack", "send"], "what people were told is done stays done"
    assert (await house.recorded(case)).count("case_closed") == 1
    assert await house.audit_problems() == []


async def test_a_late_decision_while_the_end_is_recorded_is_refused_and_the_end_recorded_once(
    house: House, closing: asyncio.Event
) -> None:
    case = await house.start()
    task = await house.open_task(case)
    await house.decide(case)
    await closing.wait()
    await case.signal("submit_decision", house.decision(task, "max", Verdict.REJECT))
    assert (await house.end(case)).status is Status.COMPLETED
    kinds = await house.recorded(case)
    assert kinds.count("case_closed") == 1 and kinds.count("decision_refused") == 1


async def dying_worker(house: House, kind: str) -> asyncio.subprocess.Process:
    """Return a worker that is killed when it records such an event."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.worker_killed_in_rollback",
        house.env.client.service_client.config.target_host,
        house.url,
        kind,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def test_a_decision_after_a_worker_died_during_a_reminder_is_recorded(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        case = await house.start(policy=REMINDED, task_timeout=SOON)
        task = await house.open_task(case)
        await house.stop_worker()
        dying = await dying_worker(house, "gate_reminded")
        winding = asyncio.create_task(house.forward(case, timedelta(hours=5)))
        await dying.wait()
        await case.signal("submit_decision", house.decision(task))
        await house.start_worker()
        await winding
        assert (await house.end(case)).status is Status.COMPLETED
        kinds = await house.recorded(case)
        assert kinds.count("decided") == 1 and kinds.count("gate_reminded") == 1
        assert await house.audit_problems() == []


async def test_a_task_stored_by_a_worker_that_died_does_not_outlive_its_cancelled_case(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.stop_worker()
        case = await house.start(task_timeout=SOON)
        dying = await dying_worker(house, "gate_opened")
        await dying.wait()
        await house.cancel(case)
        await house.start_worker()
        assert (await house.end(case)).status is Status.CANCELLED
        async with house.database.read() as connection:
            assert {task.status for task in await tasks.of_case(connection, case.id)} == {"closed"}
        assert await house.audit_problems() == []


async def test_a_gate_without_a_ruling_waits_for_operators_who_cannot_skip_it(house: House) -> None:
    case = await house.start(policy='[errand.gates.second]\ngroups = ["directors"]\n')
    task = await house.open_task(case, "intervention")
    assert task.verdicts == [Verdict.RETRY, Verdict.ROLL_BACK] and "approval" in task.summary
    await house.decide(case, "olga", Verdict.ROLL_BACK)
    assert (await house.end(case)).status is Status.FAILED
    assert house.effects(case) == ["fetch", "pack", "unpack", "bring_back"]


async def test_a_task_that_an_outage_kept_from_people_expires_only_after_they_could_see_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(human_tasks, "LATE", timedelta(seconds=1))
    original, began = SqlRecords.record, list[float]()

    async def away(self: SqlRecords, record: CaseRecord) -> Written:
        if record.opened:
            began.append(time.monotonic())
        if began and time.monotonic() < began[0] + 3:
            raise DatabaseUnavailable("away")
        return await original(self, record)

    monkeypatch.setattr(SqlRecords, "record", away)
    expiring = 'groups = ["managers"]\nexpires = "2s"\non_expiry = "approve"'
    case = await house.start(policy=ONE_GATE.replace('groups = ["managers"]', expiring, 1))
    task = await house.open_task(case)
    assert task.expires_at is not None and task.expires_at - task.opened_at > timedelta(seconds=4)
    await house.decide(case, verdict=Verdict.REJECT)
    assert (await house.end(case)).status is Status.REJECTED


async def test_a_decision_whose_time_has_no_zone_changes_nothing(house: House) -> None:
    case = await house.start()
    task = await house.open_task(case)
    naive = house.decision(task).model_copy(update={"at": datetime(2026, 1, 1)})
    await case.signal("submit_decision", naive)
    await house.decide(case, "max")
    assert (await house.end(case)).status is Status.COMPLETED
    assert (await house.recorded(case)).count("decided") == 1


async def test_a_flood_of_refused_signals_blocks_nobody_and_does_not_fill_the_log(house: House) -> None:
    case = await house.start()
    task = await house.open_task(case)
    flood = [house.decision(task, "rita", id=f"flood-{n}") for n in range(MAX_IDLE_MESSAGES + 100)]
    await asyncio.gather(*(case.signal("submit_decision", decision) for decision in flood))
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    assert (await house.recorded(case)).count("decision_refused") <= MAX_IDLE_MESSAGES


async def test_a_worker_may_cancel_a_case_before_it_has_begun(house: House) -> None:
    await house.stop_worker()
    case = await house.start()
    await case.cancel()
    await house.start_worker()
    assert (await house.end(case)).status is Status.CANCELLED
    assert (await case.describe()).status is WorkflowExecutionStatus.COMPLETED
    assert house.effects(case) == []


SHORT = ONE_GATE.replace('groups = ["managers"]', 'groups = ["managers"]\nexpires = "3s"', 1)


@pytest.mark.parametrize("races", [10, pytest.param(50, marks=pytest.mark.soak)])
async def test_a_no_a_yes_that_fails_two_cancels_and_the_expiry_of_one_moment_make_one_end_and_all_is_undone(
    house: House, races: int
) -> None:
    slots = asyncio.Semaphore(10)

    async def raced(number: int) -> tuple[Handle, Status]:
        async with slots:
            return await race(number)

    async def race(number: int) -> tuple[Handle, Status]:
        case = await house.start(policy=SHORT, before=lambda case_id: house.receiver.refusing.add((case_id, "send")))
        task = await house.open_task(case)
        assert task.expires_at is not None
        await asyncio.sleep((task.expires_at - datetime.now(UTC)).total_seconds() - 0.05)
        said: list[Coroutine[Any, Any, object]] = [
            house.send(case, house.decision(task, "mia", Verdict.REJECT)),
            house.send(case, house.decision(task, "max", Verdict.APPROVE)),
            case.signal("submit_decision", house.decision(task, "moe", Verdict.REJECT)),
            house.cancel(case),
            case.cancel(),
        ]
        # A refusal by signal would win nearly always, so each in turn is two hundredths of a second ahead.
        ahead = asyncio.create_task(said.pop(number % len(said)))
        await asyncio.sleep(0.02)
        await asyncio.gather(ahead, *said, return_exceptions=True)  # all but one come too late
        return case, (await house.end(case)).status

    ended = [await each for each in asyncio.as_completed([raced(number) for number in range(races)])]
    for case, status in ended:
        assert status in (Status.REJECTED, Status.FAILED, Status.CANCELLED, Status.EXPIRED)
        assert house.effects(case) == ["fetch", "pack", "unpack", "bring_back"], status
        kinds = await house.recorded(case)
        assert kinds.count("case_closed") == kinds.count("rollback_started") == 1
        assert (await house.row(case)).status == status
        async with house.database.read() as connection:
            assert {task.status for task in await tasks.of_case(connection, case.id)} == {"closed"}
    assert len({status for _, status in ended}) > 1, "no race if the same always wins"
    assert await house.audit_problems() == []
