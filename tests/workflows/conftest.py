"""One house for all tests of the engine."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.house import House, open_house


@pytest_asyncio.fixture(scope="package")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house
