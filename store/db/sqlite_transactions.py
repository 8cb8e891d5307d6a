"""Transactions on SQLite: one that writes at a time, beside several that read a snapshot.

Writers of this process that wait for each other share one commit, because each commit waits for the disk. These writers
run one after the other in one transaction of SQLite. A writer that fails is rolled back alone, to its savepoint. Each
caller gets its answer only after the commit. A writer that fails also gets its answer only after the commit, because
this writer may have read what another of these writers wrote.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import exc

from store.audit.seals import SealingConnection
from store.db import sqlite
from store.db.sqlite_connection import LOOK_EVERY, SqliteConnection, finished
from store.db.sqlite_pool import SqlitePool

READERS = 15
"""The maximum number of reading transactions at a time; a later one waits."""
MOST_WRITERS = 8
"""The maximum number of writers that share one commit; with 1 each of them commits alone.

More writers would keep another process waiting for the lock.
"""
LONGEST_S = 0.1
"""The time in seconds after which no further writer joins a transaction.

The first writer, and other processes, wait for the slow writers after the first one.
"""


class SqliteTransactions:
    """The transactions of one event loop on one file."""

    def __init__(self, path: Path, patience: float) -> None:
        """Open nothing yet; `patience` is how many seconds a transaction waits for its turn, and then for a lock."""
        self._patience = patience
        engine = sqlite.engine(path, patience)
        self._writers = SqlitePool(engine, path, 1, patience, reading=False)
        self._readers = SqlitePool(engine, path, READERS, patience, reading=True)
        self._group: _Group | None = None
        self._commits: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[SealingConnection]:
        """Open one transaction that holds the write lock from the beginning; taking the lock later may fail."""
        # SQLite allows one writer at a time. A queue here is fair and cheap; SQLite itself only polls.
        async with self._writers.turn():
            group = self._group or await self._begin()
            failure: Exception | None = None
            try:
                group.enter()
                sealing = SealingConnection(group.conn)
                yield sealing
                await sealing.seal()
                group.leave()
            except BaseException as error:
                if not group.roll_back():
                    await self._end(group)
                    raise
                if not isinstance(error, Exception):  # cancelled: nobody waits for an answer
                    raise
                failure = error
            if not self._writers.waiting or group.is_full():
                await self._commit(group)
            elif group.writers == 1 and failure is None:
                # The writers that wait now come first. They may be cancelled, so this one sees to the commit.
                task = asyncio.create_task(self._commit_later(group))
                self._commits.add(task)
                task.add_done_callback(self._commits.discard)
        await asyncio.shield(group.committed)
        if failure is not None:
            raise failure

    @asynccontextmanager
    async def read(self) -> AsyncIterator[SqliteConnection]:
        """Open one snapshot of the moment at which the block begins, in which nothing can be written."""
        async with self._readers.turn():
            conn = await self._readers.take()
            try:
                # The snapshot begins with the first statement that reads. No later statement meets a lock.
                await conn.begin("BEGIN", "SELECT 1 FROM sqlite_schema LIMIT 1", patience=self._patience)
                yield conn
            finally:
                conn.rollback()
                await self._readers.give_back(conn)

    async def empty_log(self) -> bool:
        """Checkpoint the write-ahead log and truncate it, unless readers or another process use it."""
        async with self._writers.turn(for_ever=True):
            if self._group is not None:
                return False  # its writers have not committed yet
            conn = await self._writers.take()
            try:
                return await conn.empty_log()
            finally:
                await self._writers.give_back(conn)

    async def close(self) -> None:
        """Close all connections. A connection in use is closed when its transaction ends."""
        await self._readers.close()
        await self._writers.close()

    async def _begin(self) -> "_Group":
        conn = await self._writers.take()
        try:
            await conn.begin("BEGIN IMMEDIATE", patience=self._patience)
        except BaseException:
            await self._writers.give_back(conn)
            raise
        self._group = _Group(conn)
        return self._group

    async def _commit_later(self, group: "_Group") -> None:
        async with self._writers.turn(for_ever=True):
            if self._group is group:
                await self._commit(group)

    async def _commit(self, group: "_Group") -> None:
        """Commit what the writers of the group wrote. A cancelled caller waits until this is done."""
        await finished(asyncio.ensure_future(self._committed(group)))

    async def _committed(self, group: "_Group") -> None:
        full = group.is_full()
        try:
            await group.conn.commit()
            group.committed.set_result(None)
        except exc.DBAPIError as error:
            group.fail(error)
        finally:
            group.committed.cancel()  # only if the event loop ends and cancels this
            await self._end(group)
        if full and group.writers > 1:
            # More writers wait. Another process looks for the lock each ms, and must not wait for all of them.
            await asyncio.sleep(2 * LOOK_EVERY)

    async def _end(self, group: "_Group") -> None:
        self._group = None
        group.conn.rollback()
        await self._writers.give_back(group.conn)


class _Group:
    """Writers that share one transaction of SQLite, and so one commit."""

    def __init__(self, conn: SqliteConnection) -> None:
        self.conn = conn
        self.writers = 0
        """How many writers have written all their rows."""
        self.committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._began = time.monotonic()

    def is_full(self) -> bool:
        """Return True if no other writer may join."""
        return self.writers == MOST_WRITERS or time.monotonic() - self._began > LONGEST_S

    def enter(self) -> None:
        """Begin the statements of one writer."""
        if self.writers:
            self.conn.now("SAVEPOINT writer")

    def leave(self) -> None:
        """End the statements of a writer that succeeded."""
        if self.writers:
            self.conn.now("RELEASE writer")
        self.writers += 1

    def roll_back(self) -> bool:
        """Undo the statements of a writer that failed. Return False if nothing is left to commit."""
        if not self.writers:
            return False
        try:
            self.conn.now("ROLLBACK TO writer")
            self.conn.now("RELEASE writer")  # another writer must not be rolled back to it
        except exc.DBAPIError as error:
            # An error such as a full disk has rolled back the whole transaction.
            self.fail(error)
            return False
        return True

    def fail(self, error: exc.DBAPIError) -> None:
        """Tell all writers that nothing was stored."""
        self.committed.set_exception(error)
        self.committed.exception()  # asyncio must not report it when all writers were cancelled
