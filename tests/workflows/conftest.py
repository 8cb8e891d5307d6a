"""One engine fixture for all tests of the engine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio

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
