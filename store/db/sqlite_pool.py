"""Open connections to one SQLite file, kept for reuse."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Engine

from store.db.outages import DatabaseUnavailable
from store.db.sqlite_connection import SqliteConnection, finished

KEPT = 5
"""The maximum number of connections that stay open while nobody uses them."""


class SqlitePool:
    """Open connections to one file, of which at most `most` are in use at a time."""

    def __init__(self, engine: Engine, path: Path, most: int, patience: float, *, reading: bool) -> None:
        """Open nothing yet.

        A caller waits up to `patience` seconds for its turn. With `reading` no connection can write.
        """
        self._engine = engine
        self._path = path
        self._patience = patience
        self._reading = reading
        self._places = asyncio.Semaphore(most)
        self.waiting = 0
        """How many callers wait for their turn, without those that wait `for_ever`."""
        self._idle: list[SqliteConnection] = []
        self._lent: set[SqliteConnection] = set()
        # A thread for each connection: a commit never waits for the statement of another connection.
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="sqlite")

    @asynccontextmanager
    async def turn(self, *, for_ever: bool = False) -> AsyncIterator[None]:
        """Wait until fewer than `most` connections are in use, and count as one user inside the block.

        Raises DatabaseUnavailable after `patience` seconds, unless `for_ever`.
        """
        if self._places.locked() and not for_ever:
            await self._wait()
        else:
            await self._places.acquire()
        try:
            yield
        finally:
            self._places.release()

    async def take(self) -> SqliteConnection:
        """Return an idle or a new connection for the caller alone.

        Call this within a turn, and give the connection back.
        """
        conn = await self._free()
        self._lent.add(conn)
        return conn

    async def give_back(self, conn: SqliteConnection) -> None:
        """Keep a connection for the next caller. Close the connection if it is not reusable, or if `KEPT` others are
        idle.
        """
        self._lent.remove(conn)
        if conn.reusable and len(self._idle) < KEPT:
            self._idle.append(conn)
        else:
            await self._close(conn)

    async def close(self) -> None:
        """Close the idle connections now, and those that are lent when they come back."""
        for conn in self._lent:
            conn.reusable = False
        while self._idle:
            await self._close(self._idle.pop())

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError:
            raise DatabaseUnavailable(
                f"the database is busy: no connection was free within {self._patience:.0f} s. Try again"
            ) from None
        finally:
            self.waiting -= 1

    async def _free(self) -> SqliteConnection:
        while self._idle:
            conn = self._idle.pop()
            # The commits to a file that was moved or deleted would be lost.
            if conn.file is not None and conn.file == _identity(self._path):
                return conn
            await self._close(conn)
        opening = asyncio.get_running_loop().run_in_executor(self._threads, self._opened)
        try:
            return await finished(opening)
        except asyncio.CancelledError:
            if not opening.exception():
                await self._close(opening.result())
            raise

    async def _close(self, conn: SqliteConnection) -> None:
        await finished(asyncio.get_running_loop().run_in_executor(self._threads, conn.close))

    def _opened(self) -> SqliteConnection:
        sql = self._engine.connect()
        conn = SqliteConnection(sql, self._threads, _identity(self._path), reading=self._reading)
        conn.now("PRAGMA busy_timeout = 0")
        conn.now(f"PRAGMA query_only = {'ON' if self._reading else 'OFF'}")
        return conn


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
