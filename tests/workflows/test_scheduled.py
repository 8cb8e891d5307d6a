"""Scheduled cases: visible, cancelled without effects, started early, and started once."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from domain.messages import Actor, StartNow
from domain.status import Status
from tests.support.engine_fixture import Handle, House

TOMORROW = timedelta(days=1)


async def scheduled(house: House) -> Handle:
    """A case of tomorrow, as soon as it waits for it."""
    case = await house.start(start_at=datetime.now(UTC) + TOMORROW)
    await house.until(case, lambda state: state.status is Status.SCHEDULED)
    return case


async def start_now(case: Handle, asked: StartNow) -> Status:
    status: Status = await case.execute_update("start_now", asked, id=uuid4().hex, result_type=Status)
    return status


def by(person: str) -> StartNow:
    return StartNow(id=uuid4().hex, by=Actor(id=person), at=datetime.now(UTC))


async def refused(case: Handle, asked: StartNow) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as no:
        await start_now(case, asked)
    assert isinstance(no.value.cause, ApplicationError) and no.value.cause.type == "NotScheduled"
    return no.value.cause.message


async def test_a_scheduled_case_waits_and_runs_when_its_time_has_come(house: House) -> None:
    case = await scheduled(house)
    assert (await house.state(case)).step is not None
    assert house.effects(case) == []
    await house.forward(case, TOMORROW + timedelta(minutes=1))
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    told = [(event.kind, event.actor) for event in (await house.state(case)).timeline]
    assert told[0] == ("case_started", "holdgate")


async def test_a_scheduled_case_is_started_early_and_the_audit_log_says_by_whom(house: House) -> None:
    case = await scheduled(house)
    assert await start_now(case, by("olga")) is Status.RUNNING
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    first = (await house.state(case)).timeline[0]
    assert (first.kind, first.actor, first.data["early"]) == ("case_started", "olga", True)
    assert first.summary.startswith("Started by olga before its time, ")
    assert await house.audit_problems() == []


async def test_the_same_early_start_sent_again_starts_the_case_once(house: House) -> None:
    case, asked = await scheduled(house), by("rita")
    assert await asyncio.gather(*(start_now(case, asked) for _ in range(5))) == [Status.RUNNING] * 5
    await house.open_task(case)
    assert await start_now(case, asked) is Status.RUNNING
    kinds = [event.kind for event in (await house.state(case)).timeline]
    assert kinds.count("case_started") == 1
    assert house.effects(case) == ["fetch", "pack"]


async def test_only_one_of_two_people_starts_a_case_early(house: House) -> None:
    case = await scheduled(house)
    await start_now(case, by("rita"))
    assert "already started" in await refused(case, by("olga"))


async def test_a_case_that_was_never_scheduled_cannot_be_started_early(house: House) -> None:
    case = await house.start()
    await house.open_task(case)
    assert "cannot start this case early" in await refused(case, by("rita"))


async def test_a_time_in_the_past_starts_the_case_at_once(house: House) -> None:
    case = await house.start(start_at=datetime.now(UTC) - TOMORROW)
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    assert "case_started" not in [event.kind for event in (await house.state(case)).timeline]


async def test_a_scheduled_case_that_is_cancelled_has_done_nothing_and_starts_no_more(house: House) -> None:
    case = await scheduled(house)
    await house.cancel(case)
    result = await house.end(case)
    assert (result.status, result.undone) == (Status.CANCELLED, [])
    assert house.effects(case) == []


async def test_of_a_cancel_and_an_early_start_at_one_moment_nothing_is_done_by_halves(house: House) -> None:
    case = await scheduled(house)
    _, started = await asyncio.gather(house.cancel(case), start_now(case, by("rita")), return_exceptions=True)
    result = await house.end(case)
    assert result.status is Status.CANCELLED
    done = house.effects(case)
    assert sorted(done) in ([], sorted(["fetch", "bring_back"]), sorted(["fetch", "pack", "unpack", "bring_back"]))
    assert started is Status.RUNNING or isinstance(started, Exception)
