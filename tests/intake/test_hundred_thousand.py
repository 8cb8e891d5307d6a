"""The largest accepted file is imported in little memory, and the import continues after a kill."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import psutil
import pytest

from domain.batch import BatchCounts
from store.cases import batch_cases
from tests.intake.conftest import HEAD, Office
from tests.intake.test_start_rows import rows, work

MOST_MB = 150


def used(pid: int | None = None) -> float:
    """Megabytes in memory."""
    megabytes: float = psutil.Process(pid).memory_info().rss / 1024 / 1024
    return megabytes


@contextmanager
def working(office: Office, log: Path) -> Iterator[Popen[bytes]]:
    """A worker of its own, which is killed in the end."""
    worker = work(office, log)
    try:
        yield worker
    finally:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [100_000])
async def test_a_hundred_thousand_rows_in_little_memory_though_the_worker_is_killed(
    office: Office, tmp_path: Path, count: int
) -> None:
    before = used()
    taken = await office.take(HEAD + rows(count))
    assert used() - before <= MOST_MB, "receiving the file"
    batch_id = taken.batch_id or ""
    for part in (1, 2):
        with working(office, tmp_path / "worker.log"):
            while (await office.report(batch_id)).rows.started < count * part // 3:
                await asyncio.sleep(1)
    with working(office, tmp_path / "worker.log") as worker:
        while (await office.report(batch_id)).rows.started < count * 2 // 3 + 2_000:
            await asyncio.sleep(0.2)
        early, most = used(worker.pid), 0.0
        while (report := await office.report(batch_id)).closed_at is None:
            most = max(most, used(worker.pid))
            await asyncio.sleep(1)
    assert most - early <= MOST_MB, "importing its rows"
    assert report.rows == BatchCounts(total=count, valid=count, started=count)
    async with office.db.read() as conn:
        assert sum((await batch_cases.counts_by_status(conn, batch_id)).values()) == count
    query = f"HoldgateBatch = '{batch_id}' AND WorkflowType = 'payment'"
    assert (await office.client.count_workflows(query)).count == count
