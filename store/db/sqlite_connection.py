"""One connection to SQLite, on which a caller runs the statements of a transaction.

Prepared statements are short and run in the event loop: a switch to a thread costs more than the statement. Everything
that may take longer runs in a thread: all other statements, writes of many rows, commits, opening and closing.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, ScalarResult

from store.db.connection import Found
from store.db.prepared import Prepared, driver_error

LOOK_EVERY = 0.001
"""Seconds between two attempts to begin a transaction while another process holds the lock."""
MANY = 100
"""Above this number of rows a write runs in a thread, because it takes several ms."""

T = TypeVar("T")


class SqliteConnection:
    """A connection to SQLite for one transaction after the other. Run one statement at a time."""

    def __init__(self, sql: Connection, threads: Executor, file: tuple[int, int] | None, *, reading: bool) -> None:
        """Use an open connection of SQLAlchemy to `file` (device and inode), and `threads` for what may take long.

        A statement is interrupted when its caller is cancelled, if the connection is only `reading`. A write is not
        interrupted: SQLite would roll back the whole transaction, which several writers may share.
        """
        driver = sql.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        self.driver = driver
        self.file = file
        self.reusable = True
        """False if the pool must close the connection: after a commit or a rollback failed, or the pool was closed."""
        self._sql = sql
        self._threads = threads
        self._stop = driver.interrupt if reading else None
        # A plain cursor: SQLAlchemy's own ones fetch all rows for it.
        self._cursor = sqlite3.Cursor(driver)

    @property
    def dialect(self) -> Dialect:
        """The dialect, whose `name` is `sqlite`."""
        return self._sql.dialect

    async def execute(self, statement: Any, parameters: Any = None) -> Found:
        """Run a `Prepared` statement in the event loop, and any other statement in a thread.

        In a thread also run a `Prepared` statement that is `long`, writes more than `MANY` rows, or has a long IN list.
        """
        if isinstance(statement, Prepared):
            many = [parameters or {}] if parameters is None or isinstance(parameters, Mapping) else parameters
            plan = statement.plan(many[0]) if many and len(many) <= MANY else None
            if plan is not None:
                running = partial(plan.run, self._cursor, many)
                return await self._in_thread(running) if statement.long else running()
            statement = statement.sqlite
        return await self._in_thread(partial(self._sql.execute, statement, parameters))

    async def scalar(self, statement: Any, parameters: Any = None) -> Any:
        """Run a statement and return the first column of its first row; None if there is no row."""
        return (await self.execute(statement, parameters)).scalar()

    async def scalars(self, statement: Any, parameters: Any = None) -> ScalarResult[Any]:
        """Run a statement and return the first column of its rows."""
        return (await self.execute(statement, parameters)).scalars()

    def now(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run an SQL text in this thread and return its rows.

        If `values` is a list of rows, run the SQL text for each of them.
        """
        try:
            if isinstance(values, list):
                return self._cursor.executemany(sql, values).fetchall()
            return self._cursor.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise driver_error(sql, None, error) from error

    async def begin(self, *statements: str, patience: float) -> None:
        """Begin a transaction with these statements; wait up to `patience` seconds for a lock.

        SQLite itself would retry ever more rarely, at last every 100 ms, and block the event loop. Worker and gateway
        hold the lock for a few ms each and alternate, so a process that sleeps that long misses its turns.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                for statement in statements:
                    self._cursor.execute(statement).fetchall()
                return
            except sqlite3.Error as error:
                self.rollback()
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise driver_error(statements[0], None, error) from error
            await asyncio.sleep(LOOK_EVERY)

    async def commit(self) -> None:
        """Commit the transaction, in a thread: it waits for the disk."""
        try:
            await self._in_thread(self._commit)
        except sqlite3.Error as error:
            raise driver_error("COMMIT", None, error) from error
        finally:
            self._forget()

    def _commit(self) -> None:
        try:
            # `driver.commit` would report success when an error has ended the transaction.
            self.driver.execute("COMMIT")
        except sqlite3.Error:
            self.reusable = False
            raise

    def rollback(self) -> None:
        """Roll the transaction back, if there is one. After an error the pool closes the connection."""
        try:
            self.driver.rollback()
        except sqlite3.Error:
            self.reusable = False
        self._forget()

    async def empty_log(self) -> bool:
        """Checkpoint the write-ahead log and truncate it. Return False if another connection uses it."""
        (busy, *_), *_ = await self._in_thread(partial(self.now, "PRAGMA wal_checkpoint(TRUNCATE)"))
        return not busy

    def close(self) -> None:
        """Close the connection. The last connection to a file also moves the WAL into the file, so call `close` in a
        thread.
        """
        self._sql.close()
        self.driver.close()

    def _forget(self) -> None:
        """Let SQLAlchemy forget the transaction, which it only followed."""
        if self._sql.in_transaction():
            self._sql.rollback()

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await finished(asyncio.get_running_loop().run_in_executor(self._threads, call), self._stop)


async def finished(running: "asyncio.Future[T]", stop: Callable[[], None] | None = None) -> T:
    """Return the result of a call that a cancelled caller must not leave behind.

    A caller that is cancelled asks the call to `stop`, waits until it has ended, and is cancelled then.
    """
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if stop is not None and not running.done():
            stop()
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # so that asyncio does not report it
        raise


def _is_busy(error: sqlite3.Error) -> bool:
    # Errors of the driver itself have no code; the higher bits of a code are details.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
