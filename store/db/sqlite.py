"""SQLite with durable, explicit transactions and one switch to the driver's thread for each statement.

aiosqlite switches to its thread and back four times for a statement (cursor, execute, fetch, close), which costs more
than the statement. Here one switch runs a statement and returns all its rows.
"""

import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from decimal import Context, Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiosqlite
from sqlalchemy import URL, Connection, Engine, create_engine, event, exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from domain.normalization import search_key, without_accents

TAKE_THE_LOCK = "BEGIN IMMEDIATE"
LOOK_EVERY = 0.001
"""Seconds between two attempts to take the write lock."""
MANY = 100
"""Above this number of rows a write runs in the driver's thread, because it takes several ms."""
IMMEDIATE = {"sqlite_begin": TAKE_THE_LOCK}
"""Execution options of a transaction that takes the write lock at once; taking it later may fail."""


def async_engine(path: Path, timeout: float) -> AsyncEngine:
    """Return an engine for an existing file. A statement waits `timeout` seconds for a lock."""

    def connect(*_: Any, **__: Any) -> aiosqlite.Connection:
        return _Connection(partial(_opened, path, "rw", timeout), timeout)

    engine = create_async_engine(URL.create("sqlite+aiosqlite", database=str(path)), async_creator=connect)
    _begin_explicitly(engine.sync_engine)
    _refuse_a_file_that_moved(engine.sync_engine, path)
    return engine


def creating_engine(path: Path, timeout: float) -> Engine:
    """Return a synchronous engine that creates the file if it is missing."""
    engine = create_engine("sqlite://", creator=partial(_opened, path, "rwc", timeout))
    _begin_explicitly(engine)
    return engine


def of(conn: Connection | None) -> "_Connection | None":
    """Return the SQLite connection behind `conn`; None if the database is not SQLite."""
    driver = conn.connection.driver_connection if conn is not None else None
    return driver if isinstance(driver, _Connection) else None


def scratch(schema: str) -> sqlite3.Connection:
    """Return a temporary database, which SQLite moves to disk when it grows and deletes when it is closed."""
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=OFF").close()
    connection.execute(schema).close()
    return connection


@asynccontextmanager
async def reading_any_text(conn: AsyncConnection) -> AsyncIterator[None]:
    """Inside the block, allow reading texts that are not valid UTF-8. Other tools may have stored such texts."""
    driver = (await conn.get_raw_connection()).driver_connection if conn.dialect.name == "sqlite" else None
    if driver is None:
        yield
        return
    driver.text_factory = _any_text
    try:
        yield
    finally:
        driver.text_factory = str


def _any_text(stored: bytes) -> str:
    return stored.decode(errors="backslashreplace")


def _opened(path: Path, mode: str, timeout: float) -> sqlite3.Connection:
    """Open a connection. With mode `rw` a missing file is an error and not an empty database."""
    # Without an isolation level the driver does not start transactions itself; it would start them too late.
    uri = f"file:{quote(str(path))}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)
    try:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()
        # SQLite's own lower() supports ASCII only.
        connection.create_function("lower", 1, _lower, deterministic=True)
        for search in (without_accents, search_key):
            connection.create_function(search.__name__, 1, partial(_of_text, search), deterministic=True)
        # SQLite's own sum() adds decimals as binary fractions.
        connection.create_aggregate("exact_sum", 1, _ExactSum)  # type: ignore[arg-type]
    except BaseException:
        connection.close()
        raise
    return connection


def _of_text(function: Callable[[str], str], value: Any) -> Any:
    return function(value) if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class _ExactSum:
    """An SQL aggregate: the sum of decimals stored as text, as text; null for no rows."""

    def __init__(self) -> None:
        self._sum: Decimal | None = None

    def step(self, value: str | None) -> None:
        if value is not None:
            self._sum = _WIDE.add(self._sum or Decimal(), Decimal(value))

    def finalize(self) -> str | None:
        return None if self._sum is None else f"{self._sum:f}"


_WIDE = Context(prec=100)


def _begin_explicitly(engine: Engine) -> None:
    @event.listens_for(engine, "begin")
    def begin(conn: Connection) -> None:
        conn.exec_driver_sql(conn.get_execution_options().get("sqlite_begin", "BEGIN"))


def _refuse_a_file_that_moved(engine: Engine, path: Path) -> None:
    """Reject pooled connections whose file was moved or deleted: their commits would be lost."""

    def identity() -> tuple[int, int] | None:
        try:
            found = path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    @event.listens_for(engine, "connect")
    def remember(_connection: Any, record: Any) -> None:
        record.info["file"] = identity()

    @event.listens_for(engine, "checkout")
    def check(_connection: Any, record: Any, _proxy: Any) -> None:
        if record.info["file"] is None or record.info["file"] != identity():
            raise exc.DisconnectionError(
                f"{path} was moved, deleted or replaced while Holdgate runs: put it back or restart Holdgate"
            )


class _Connection(aiosqlite.Connection):
    def __init__(self, connector: Callable[[], sqlite3.Connection], patience: float) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._patience = patience
        self._writing = False
        """Whether the connection holds the write lock. Statements are short then: they access rows by key."""
        # Like SQLAlchemy for its own connections: an unclosed one must not keep the process alive.
        self._thread.daemon = True

    def cursor(self) -> "_Cursor":  # type: ignore[override]
        return _Cursor(self)

    async def run(self, cursor: "_Cursor", method: str, sql: str, parameters: Any) -> None:
        if self._writing and not (method == "executemany" and len(parameters) > MANY):
            # In this thread: the holder of the only write lock must not wait for a thread switch at each statement.
            self._run(cursor, method, sql, parameters)
        else:
            await self._execute(self._run, cursor, method, sql, parameters)  # type: ignore[no-untyped-call]
            self._writing = self._writing or sql == TAKE_THE_LOCK

    def now(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a statement in this thread and return its rows.

        For several rows of `values`, run the statement once for each. Call this only in a write transaction.
        """
        method = "executemany" if isinstance(values, list) else "execute"
        try:
            with closing(self._conn.cursor()) as raw:
                getattr(raw, method)(sql, values)
                return raw.fetchall()
        except sqlite3.Error as error:
            raise exc.DBAPIError.instance(sql, None, error, sqlite3.Error) from error

    async def commit(self) -> None:
        self._writing = False
        await super().commit()

    async def rollback(self) -> None:
        self._writing = False
        await super().rollback()

    def _run(self, cursor: "_Cursor", method: str, sql: str, parameters: Any) -> None:
        """Run a statement and fetch all its rows."""
        with closing(self._conn.cursor()) as raw:
            if sql == TAKE_THE_LOCK:
                self._take_the_lock(raw)
            else:
                getattr(raw, method)(sql, parameters)
            cursor.description = raw.description
            cursor.rows = raw.fetchall() if raw.description else []
            cursor.rowcount = raw.rowcount
            cursor.lastrowid = raw.lastrowid

    def _take_the_lock(self, raw: sqlite3.Cursor) -> None:
        """Wait for the write lock, with frequent attempts.

        SQLite itself retries ever more rarely, at last every 100 ms. Worker and gateway hold the lock for a few ms each
        and alternate, so a process that sleeps that long misses its turns and idles half of the time.
        """
        deadline = time.monotonic() + self._patience
        raw.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    raw.execute(TAKE_THE_LOCK)
                    return
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                        raise
                    time.sleep(LOOK_EVERY)
        finally:
            raw.execute(f"PRAGMA busy_timeout = {self._patience * 1000:.0f}")


class _Cursor:
    """The parts of an asynchronous cursor that SQLAlchemy uses. All rows are fetched when a statement has run."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self.rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> "_Cursor":
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        await self._connection.run(self, "execute", sql, parameters)

    async def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        await self._connection.run(self, "executemany", sql, parameters)

    async def fetchone(self) -> Any:
        return self.rows.pop(0) if self.rows else None

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        taken, self.rows = self.rows[: size or self.arraysize], self.rows[size or self.arraysize :]
        return taken

    async def fetchall(self) -> list[Any]:
        taken, self.rows = self.rows, []
        return taken

    async def close(self) -> None:
        self.rows = []
