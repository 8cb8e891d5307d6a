"""The loop of background jobs: what it logs, that it goes on after a failure, and how it ends."""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

import pytest

from cases.reconcile.loop import Job, keep_going

SOON = timedelta(milliseconds=1)


async def test_a_job_logs_what_it_found_and_goes_on_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    rounds, done = iter((0, ValueError("a defect"), 3)), asyncio.Event()

    async def look() -> int:
        match next(rounds, None):
            case None:
                done.set()
                return 0
            case Exception() as error:
                raise error
            case int(count):
                return count

    with caplog.at_level(logging.INFO, "holdgate.worker"):
        running = asyncio.create_task(Job(look, "found %d things", "could not look", SOON).run())
        await asyncio.wait_for(done.wait(), 5)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    assert [record.message for record in caplog.records] == ["could not look", "found 3 things"]


async def test_a_loop_ends_when_it_is_over_and_does_not_pause_while_there_is_more() -> None:
    over, left = asyncio.Event(), [False, True, True]

    async def step() -> bool:
        if len(left) == 1:
            over.set()
        return left.pop()

    await asyncio.wait_for(keep_going(step, lambda _: 60.0, "could not look", over=over), 5)
    assert left == []


async def test_the_pause_depends_on_how_long_the_step_took() -> None:
    over, took = asyncio.Event(), list[float]()

    async def step() -> bool:
        await asyncio.sleep(0.05)
        return False

    def pause(seconds: float) -> float:
        took.append(seconds)
        over.set()
        return 60.0

    await asyncio.wait_for(keep_going(step, pause, "could not look", over=over), 5)
    assert len(took) == 1 and took[0] >= 0.05
