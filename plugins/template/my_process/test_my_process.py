"""Tests of my process: approved by rule, approved, rejected, expired; and the effect of each undo at the receiver."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from plugins import Refused, Status, Verdict
from plugins.testing import Handle, ProcessHarness, trial

from .activities import Book

A_TRAIN = {"purpose": "Train to Leeds", "amount": "184.50", "needed_by": "2031-03-17"}


@pytest_asyncio.fixture(scope="module")
async def harness(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ProcessHarness]:
    """Yield a real Temporal server whose clock the tests move, a database, and a worker for this process."""
    async with trial("my_process", tmp_path_factory.mktemp("harness")) as harness:
        yield harness


def entries(harness: ProcessHarness, case: Handle) -> dict[str, str]:
    """Return the state of each step of a case at the receiver."""
    found = Book(harness.folder).entries().items()
    return {key.removeprefix(f"{case.id}/"): state for key, state in found if key.startswith(f"{case.id}/")}


async def test_a_small_amount_is_booked_by_rule(harness: ProcessHarness) -> None:
    case = await harness.start({**A_TRAIN, "amount": "42.00"})
    assert (await harness.end(case)).status is Status.COMPLETED
    assert entries(harness, case) == {"reserve_my_process": "done", "confirm_my_process": "done"}


async def test_a_larger_amount_waits_for_a_manager(harness: ProcessHarness) -> None:
    case = await harness.start(A_TRAIN)
    task = await harness.open_task(case, "approval")
    assert task.candidate_groups == ["managers"]
    await harness.decide(case, "manager-1")
    assert (await harness.end(case)).status is Status.COMPLETED


@pytest.mark.undoes("free_my_process")
async def test_a_rejection_frees_the_amount_that_was_set_aside(harness: ProcessHarness) -> None:
    case = await harness.start(A_TRAIN)
    await harness.decide(case, "manager-1", Verdict.REJECT)
    ended = await harness.end(case)
    assert ended.status is Status.REJECTED
    assert ended.undone == ["Free the 184.50 set aside for Train to Leeds"]
    assert entries(harness, case) == {"reserve_my_process": "undone"}


async def test_without_a_decision_within_a_week_the_case_expires(harness: ProcessHarness) -> None:
    case = await harness.start(A_TRAIN)
    await harness.open_task(case)
    await harness.forward(case, timedelta(days=7, minutes=1))
    assert (await harness.end(case)).status is Status.EXPIRED
    assert entries(harness, case) == {"reserve_my_process": "undone"}


@pytest.mark.undoes("withdraw_my_process")
async def test_a_completed_case_is_rolled_back(harness: ProcessHarness) -> None:
    case = await harness.start({**A_TRAIN, "amount": "42.00"})
    await harness.end(case)
    await harness.end(await harness.roll_back(case))
    assert entries(harness, case) == {"reserve_my_process": "undone", "confirm_my_process": "undone"}


def test_a_step_after_its_undo_is_refused(tmp_path: Path) -> None:
    book = Book(tmp_path)
    assert book.undo("key") is False
    with pytest.raises(Refused):
        book.do("key", "too late")
    assert book.undo("key") is False


def test_a_step_and_its_undo_take_effect_once_when_repeated(tmp_path: Path) -> None:
    book = Book(tmp_path)
    for _ in range(2):
        book.do("key", "reserved")
    assert book.entries() == {"key": "done"}
    assert [book.undo("key"), book.undo("key")] == [True, True]
    assert book.entries() == {"key": "undone"}
