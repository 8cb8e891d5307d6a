"""One engine fixture for all tests of the engine."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from activities.security_review import scanners
from tests.support.engine_fixture import House, open_house


@pytest_asyncio.fixture(scope="package")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest_asyncio.fixture
async def house(opened: House, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    """Return the engine fixture, with a new worker after a test that failed.

    It may have left none; and a time limit of pytest interrupts whatever runs, also a worker, in whose place all tests
    that follow would fail.
    """
    failed = request.session.testsfailed
    yield opened
    if request.session.testsfailed > failed:
        with suppress(Exception):
            async with asyncio.timeout(10):
                await opened.stop_worker()
        opened.running.clear()
        await opened.start_worker()


@pytest.fixture(scope="package", autouse=True)
def scanned_once() -> Iterator[None]:
    """Let a scanner read the same files once: each scan starts two programs, and many cases review the same files."""
    reports: dict[object, bytes] = {}
    run = scanners._run

    async def run_once(scanner: str, command: list[str], room: Path, good: tuple[int, ...]) -> bytes:
        read = sorted(path for path in (room / command[-1]).rglob("*") if path.is_file())
        about = scanner, *command, scanners.TIMEOUT, *((path.relative_to(room), path.read_bytes()) for path in read)
        if not read or about not in reports:
            reports[about] = await run(scanner, command, room, good)
        return reports[about]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanners, "_run", run_once)
        yield
