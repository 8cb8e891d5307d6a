"""A background job logs what it found, and continues after a failure."""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

import pytest

from cases.reconcile.jobs import Job

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
