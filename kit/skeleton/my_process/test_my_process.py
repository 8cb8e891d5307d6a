"""My process: granted by rule, granted by a manager, refused, expired; and its undos at the receiver."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from domain.errors import Refused
from domain.status import Status, Verdict
from kit.trial import Handle, Trial, trial

from .activities import Book

A_TRAIN = {"purpose": "Train to Leeds", "amount": "184.50", "needed_by": "2031-03-17"}


@pytest_asyncio.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Trial]:
    """A real Temporal server on a clock that can be wound, a database, and a worker for this process."""
    async with trial("my_process", tmp_path_factory.mktemp("house")) as house:
        yield house


def entries(house: Trial, case: Handle) -> dict[str, str]:
    """What the receiver holds of a case: the state of each step."""
    found = Book(house.folder).entries().items()
    return {key.removeprefix(f"{case.id}/"): state for key, state in found if key.startswith(f"{case.id}/")}


async def test_a_small_amount_is_booked_by_rule(house: Trial) -> None:
    case = await house.start({**A_TRAIN, "amount": "42.00"})
    assert (await house.end(case)).status is Status.COMPLETED
    assert entries(house, case) == {"reserve_my_process": "done", "confirm_my_process": "done"}


async def test_a_larger_amount_waits_for_a_manager(house: Trial) -> None:
    case = await house.start(A_TRAIN)
    task = await house.open_task(case, "approval")
    assert task.candidate_groups == ["managers"]
    await house.decide(case, "manager-1")
    assert (await house.end(case)).status is Status.COMPLETED


@pytest.mark.undoes("free_my_process")
async def test_what_was_set_aside_is_freed_when_the_manager_says_no(house: Trial) -> None:
    case = await house.start(A_TRAIN)
    await house.decide(case, "manager-1", Verdict.REJECT)
    ended = await house.end(case)
    assert ended.status is Status.REJECTED
    assert ended.undone == ["Free the 184.50 set aside for Train to Leeds"]
    assert entries(house, case) == {"reserve_my_process": "undone"}


async def test_whoever_has_not_decided_within_a_week_has_said_no(house: Trial) -> None:
    case = await house.start(A_TRAIN)
    await house.open_task(case)
    await house.forward(case, timedelta(days=7, minutes=1))
    assert (await house.end(case)).status is Status.EXPIRED
    assert entries(house, case) == {"reserve_my_process": "undone"}


@pytest.mark.undoes("withdraw_my_process")
async def test_a_completed_case_is_taken_back(house: Trial) -> None:
    case = await house.start({**A_TRAIN, "amount": "42.00"})
    await house.end(case)
    await house.end(await house.roll_back(case))
    assert entries(house, case) == {"reserve_my_process": "undone", "confirm_my_process": "undone"}


def test_a_step_that_comes_after_its_undo_is_refused(tmp_path: Path) -> None:
    book = Book(tmp_path)
    assert book.undo("key") is False
    with pytest.raises(Refused):
        book.do("key", "too late")
    assert book.undo("key") is False


def test_a_step_and_its_undo_take_effect_once_however_often_they_come(tmp_path: Path) -> None:
    book = Book(tmp_path)
    for _ in range(2):
        book.do("key", "reserved")
    assert book.entries() == {"key": "done"}
    assert [book.undo("key"), book.undo("key")] == [True, True]
    assert book.entries() == {"key": "undone"}
