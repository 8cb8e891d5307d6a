"""Transactions on SQLite: one that writes at a time, beside several that read a snapshot."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Engine

from store.audit.seals import SealingConnection
from store.db import sqlite
from store.db.outages import DatabaseUnavailable
from store.db.sqlite_connection import SqliteConnection, ended

READERS = 15
"""Reading transactions at a time; a later one waits."""
KEPT = 5
"""Connections that stay open while nobody uses them."""


class SqliteTransactions:
    """The transactions of one event loop on one file."""

    def __init__(self, path: Path, patience: float) -> None:
        """Open nothing yet; `patience` is how many seconds a transaction waits for its turn and for a lock."""
        self._patience = patience
        engine = sqlite.engine(path, patience)
        self._writers = _Pool(engine, path, 1, patience)
        self._readers = _Pool(engine, path, READERS, patience, "PRAGMA query_only = ON")

    @asynccontextmanager
    async def write(self) -> AsyncIterator[SealingConnection]:
        """Open one transaction that holds the write lock from the beginning; taking the lock later may fail."""
        # SQLite allows one writer at a time. A queue here is fair and cheap; SQLite itself only polls.
        async with self._writers.connection() as conn:
            await conn.begin("BEGIN IMMEDIATE", patience=self._patience)
            try:
                sealing = SealingConnection(conn)
                yield sealing
                await sealing.seal()
                await conn.commit()
            except BaseException:
                conn.rollback()
                raise

    @asynccontextmanager
    async def read(self) -> AsyncIterator[SqliteConnection]:
        """Open one snapshot of the moment at which the block begins."""
        async with self._readers.connection() as conn:
            # The snapshot begins with the first statement that reads. No later statement meets a lock.
            await conn.begin("BEGIN", "SELECT 1 FROM sqlite_schema LIMIT 1", patience=self._patience)
            try:
                yield conn
            finally:
                conn.rollback()

    async def close(self) -> None:
        """Close all connections. A connection in use is closed when its transaction ends."""
        await self._readers.close()
        await self._writers.close()


class _Pool:
    """Open connections to one file, of which at most `most` are in use at a time."""

    def __init__(self, engine: Engine, path: Path, most: int, patience: float, *pragmas: str) -> None:
        self._engine = engine
        self._path = path
        self._patience = patience
        self._pragmas = ("PRAGMA busy_timeout = 0", *pragmas)
        self._places = asyncio.Semaphore(most)
        self._idle: list[SqliteConnection] = []
        self._lent: set[SqliteConnection] = set()
        # A thread for each connection: a commit never waits for the statement of another connection.
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="sqlite")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[SqliteConnection]:
        """Lend a connection. Raises DatabaseUnavailable if none is free in time."""
        await self._place()
        try:
            conn = await self._take()
            self._lent.add(conn)
            try:
                yield conn
            finally:
                self._lent.remove(conn)
                if conn.reusable and len(self._idle) < KEPT:
                    self._idle.append(conn)
                else:
                    await self._finish(conn.close)
        finally:
            self._places.release()

    async def close(self) -> None:
        """Close the idle connections now, and those that are lent when they come back."""
        for conn in self._lent:
            conn.reusable = False
        while self._idle:
            await self._finish(self._idle.pop().close)

    async def _place(self) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError:
            raise DatabaseUnavailable(
                f"the database is busy: no connection was free within {self._patience:.0f} s"
            ) from None

    async def _take(self) -> SqliteConnection:
        while self._idle:
            conn = self._idle.pop()
            # The commits to a file that was moved or deleted would be lost.
            if conn.file is not None and conn.file == _identity(self._path):
                return conn
            await self._finish(conn.close)
        return await self._open()

    async def _open(self) -> SqliteConnection:
        opening = asyncio.get_running_loop().run_in_executor(self._threads, self._opened)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            await ended(opening)
            if not opening.exception():
                await self._finish(opening.result().close)
            raise

    def _opened(self) -> SqliteConnection:
        conn = SqliteConnection(self._engine.connect(), self._threads, _identity(self._path))
        for pragma in self._pragmas:
            conn.now(pragma)
        return conn

    async def _finish(self, call: Callable[[], None]) -> None:
        """Run a call in a thread and wait for its end, also when the caller is cancelled."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, call)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            await ended(running)
            raise


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
