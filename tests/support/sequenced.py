"""A database whose transactions are sequenced before `write` returns, as if the sequencer were infinitely fast."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from store.audit.sequencer import Sequencer
from store.db.connection import AsyncConnection
from store.db.database import Database


class Sequenced(Database):
    """The same as a Database on SQLite, where a transaction sequences itself."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._sequencer = Sequencer(url)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Open one transaction, and sequence what it committed."""
        async with super().write() as conn:
            yield conn
        while not await self._sequencer.catch_up():
            await asyncio.sleep(0.001)

    async def close(self) -> None:
        """Close all connections."""
        await self._sequencer.close()
        await super().close()
