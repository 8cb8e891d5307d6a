"""Open SQLite: durable, with explicit transactions and the functions that its SQL lacks."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Context, Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine, event

from domain.normalization import search_key, without_accents
from store.db.connection import AsyncConnection
from store.db.sqlite_connection import SqliteConnection

IMMEDIATE = {"sqlite_begin": "BEGIN IMMEDIATE"}
"""Execution options of a transaction of `creating_engine` that takes the write lock at once."""


def engine(path: Path, timeout: float) -> Engine:
    """Return an engine for an existing file that begins no transactions itself and pools no connections.

    All rows of a result are fetched when its statement runs. Opening waits up to `timeout` seconds for a lock.
    """
    creator = partial(_opened, path, "rw", timeout, _FetchingConnection)
    return create_engine("sqlite://", poolclass=NullPool, creator=creator)


def creating_engine(path: Path, timeout: float) -> Engine:
    """Return a synchronous engine that creates the file if it is missing.

    A statement waits up to `timeout` seconds for a lock.
    """
    engine = create_engine("sqlite://", creator=partial(_opened, path, "rwc", timeout))
    _begin_explicitly(engine)
    return engine


def scratch(schema: str) -> sqlite3.Connection:
    """Return a temporary database, which SQLite moves to disk when it grows and deletes when it is closed.

    `schema` is one SQL statement, which creates the table.
    """
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=OFF").close()
    connection.execute(schema).close()
    return connection


@asynccontextmanager
async def reading_any_text(conn: AsyncConnection) -> AsyncIterator[None]:
    """Inside the block, allow reading texts that are not valid UTF-8. Other tools may have stored such texts.

    An invalid byte is read as an escape such as `\\xff`. PostgreSQL stores only valid texts, so nothing changes on
    PostgreSQL.
    """
    if not isinstance(conn, SqliteConnection):
        yield
        return
    conn.driver.text_factory = _any_text
    try:
        yield
    finally:
        conn.driver.text_factory = str


def _any_text(stored: bytes) -> str:
    return stored.decode(errors="backslashreplace")


def _opened(
    path: Path, mode: str, timeout: float, factory: type[sqlite3.Connection] = sqlite3.Connection
) -> sqlite3.Connection:
    """Open a connection. With mode `rw` a missing file is an error and not an empty database."""
    # Without an isolation level the driver does not start transactions itself; it would start them too late.
    uri = f"file:{quote(str(path))}?mode={mode}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False, factory=factory
    )
    try:
        # With secure_delete, SQLite overwrites what is deleted with zeros: an erasure leaves nothing in free pages.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
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


class _FetchingConnection(sqlite3.Connection):
    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or _FetchingCursor)


class _FetchingCursor(sqlite3.Cursor):
    """A cursor that fetches all rows when a statement runs, so that reading its result needs no database."""

    _rows: Iterator[Any] = iter(())

    def execute(self, sql: str, parameters: Any = ()) -> "_FetchingCursor":
        super().execute(sql, parameters)
        self._rows = iter(super().fetchall())
        return self

    def executemany(self, sql: str, parameters: Any) -> "_FetchingCursor":
        super().executemany(sql, parameters)
        self._rows = iter(())
        return self

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        return list(islice(self._rows, size or self.arraysize))

    def fetchall(self) -> list[Any]:
        return list(self._rows)
