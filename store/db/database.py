"""Access to the database: short write transactions, snapshot reads, and a clear error when the database is down.

The URL of the database says whether it is SQLite (the default) or PostgreSQL; the rest of `store/` works with both.
"""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Column, Connection, Engine, Table, create_engine, exc as sql, make_url, text
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

from core.settings import PREFIX, WrongSettings
from store.audit import seal_existing_rows
from store.db import roles, sqlite
from store.db.connection import AsyncConnection
from store.db.outages import DatabaseUnavailable as DatabaseUnavailable, UnusableValue as UnusableValue, outages, reason
from store.db.postgres_transactions import PostgresTransactions
from store.db.prepared import Prepared, prepared_insert
from store.db.sqlite_transactions import SqliteTransactions

BUSY_SECONDS = 3.0
"""How many seconds a transaction waits for a connection, and then for a lock.

The sum of both must stay below the 10 s timeout of a local activity.
"""
MIGRATION_SECONDS = 60.0
"""How many seconds a second `migrate` of an SQLite file waits for the first. On PostgreSQL the second `migrate` waits
without a limit.
"""

_SCRIPTS = Path(__file__).parents[1] / "migrations"
_MIGRATION_LOCK = 0x401D6A7E
"""Key of the advisory lock that lets one process at a time migrate a PostgreSQL database."""
_UNRELEASED = re.compile(r"00\d\d")
"""Pattern of revisions before the first release. Later revisions have a name after the number: `0001_baseline`."""


class Database:
    """The connections to one database. Use an object in one asyncio event loop only."""

    def __init__(self, url: str, patience: float = BUSY_SECONDS) -> None:
        """Create the connection pool, without a connection.

        `patience` is how many seconds a transaction waits for a connection, and then for a lock. Raises ValueError if
        the URL cannot be used: see `normalised`.
        """
        where = normalised(url)
        self.kind = where.get_backend_name()
        """`sqlite` or `postgresql`."""
        self.place = _place(where)
        """The URL without user, password and options, for messages and logs."""
        self._transactions = (
            SqliteTransactions(Path(where.database or ""), patience)
            if self.kind == "sqlite"
            else PostgresTransactions(where, patience)
        )

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Open one transaction, committed at the end of the block and rolled back by any exception.

        Before the commit the written rows are sealed: see `store.audit.seals`. Keep the block short, and await only
        calls of this connection in the block. Raises DatabaseUnavailable, and UnusableValue for a value that the
        database cannot store.
        """
        with outages():
            async with self._transactions.write() as conn:
                yield conn

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open one snapshot for reading: all statements of the block see the data of the same moment.

        Raises DatabaseUnavailable, and UnusableValue for a value that the database cannot compare.
        """
        with outages():
            async with self._transactions.read() as conn:
                yield conn

    async def ready(self) -> None:
        """Check that the database answers and was migrated by a released version.

        Raises DatabaseUnavailable otherwise. A schema that is older or newer than this code is accepted.
        """
        async with self.read() as conn:
            try:
                revision = (await conn.execute(text("SELECT version_num FROM alembic_version"))).scalar()
            except (sql.ProgrammingError, sql.OperationalError) as error:
                raise DatabaseUnavailable(
                    f"the schema of the database cannot be read: {reason(error)}. If the database is new, run "
                    "./holdgate migrate"
                ) from error
        if _UNRELEASED.fullmatch(revision or ""):
            raise DatabaseUnavailable(_too_old(revision))

    async def empty_log(self) -> bool:
        """Move the write-ahead log of SQLite into the file, and empty it. Return False if another connection prevents
        it now.

        The log has earlier versions of rows until then. On PostgreSQL do nothing: the server recycles its log.
        """
        return await self._transactions.empty_log()

    async def close(self) -> None:
        """Close all connections. A connection in use is closed after its transaction."""
        await self._transactions.close()


def normalised(url: str) -> URL:
    """Return the URL with the driver in use: `sqlite` and an absolute path, or `postgresql+psycopg`.

    Raises ValueError for a text that is no URL, for another database, and for SQLite without a file: a second
    connection would not see a database in memory.
    """
    try:
        where = make_url(url)
    except sql.ArgumentError:
        raise ValueError("this is no database URL: use sqlite:///path or postgresql://user@host/name") from None
    if where.get_backend_name() in {"postgresql", "postgres"}:
        return where.set(drivername="postgresql+psycopg")
    if where.get_backend_name() != "sqlite":
        raise ValueError(f"'{where.get_backend_name()}' is not supported: use SQLite or PostgreSQL")
    if not where.database or where.database == ":memory:":
        raise ValueError("a SQLite URL needs a file: sqlite:///path/to/holdgate.db")
    return where.set(drivername="sqlite", database=str(Path(where.database).absolute()))


def check_url(url: str) -> None:
    """Raise WrongSettings, which names the setting, if Holdgate cannot use the database of this URL."""
    try:
        normalised(url)
    except ValueError as wrong:
        raise WrongSettings(f"{PREFIX}DATABASE_URL: {wrong}") from None


def migrate(url: str, owner_url: str | None = None) -> None:
    """Create the database or migrate it to the newest schema.

    With `owner_url` the migration runs as the role of this URL, which must own the tables, and the role of `url` gets
    only the rights that worker and gateway need: see `store.db.roles`. Two calls may run at the same time: the second
    waits for the first.

    Raises DatabaseUnavailable when the database cannot be reached or written, is newer than this code, or was created
    before the first release. Raises ValueError if a URL cannot be used: see `normalised`, and `roles.WrongRole`.
    """
    # Imported here: worker and gateway never migrate and start faster without this import.
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.util import CommandError

    where = normalised(owner_url or url)
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    with outages(), _alone(where) as conn:
        config.attributes["connection"] = conn
        revision = MigrationContext.configure(conn).get_current_revision()
        if _UNRELEASED.fullmatch(revision or ""):
            raise DatabaseUnavailable(_too_old(revision))
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise DatabaseUnavailable(
                f"the database has a schema that this code does not know ({error}). "
                "Use newer code, or restore the backup"
            ) from error
        seal_existing_rows.baseline(conn)
        if owner_url is not None:
            _limit_application(conn, url)


def _limit_application(conn: Connection, url: str) -> None:
    if conn.dialect.name != "postgresql" or not (role := normalised(url).username):
        raise ValueError("HOLDGATE_DATABASE_OWNER_URL needs PostgreSQL, and a role in HOLDGATE_DATABASE_URL")
    roles.limit(conn, role)


def insert_into(conn: AsyncConnection, table: Table) -> PostgresInsert | SqliteInsert:
    """Return an INSERT with `on_conflict_do_nothing` and `on_conflict_do_update` for the database in use."""
    return PostgresInsert(table) if conn.dialect.name == "postgresql" else SqliteInsert(table)


async def insert_once(conn: AsyncConnection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert the row, unless a row with one of its unique keys exists. Return True if the row was inserted."""
    return (await conn.execute(_inserting_once(table), row)).first() is not None


@cache
def _inserting_once(table: Table) -> Prepared:
    return prepared_insert(table, lambda new: new.on_conflict_do_nothing().returning(*table.primary_key))


def fit(value: str, column: "Column[Any]") -> str:
    """Return the text without NUL characters, cut to the length of the column.

    A raw Signal may contain any text. PostgreSQL rejects a NUL and a text that is too long, and a write that always
    fails would block its case.
    """
    return value.replace("\0", "")[: getattr(column.type, "length", None)]


# ------------------------------------------------------------------------------------------------------- how it is done


def _place(where: URL) -> str:
    host, port = where.host or where.query.get("host"), where.port or where.query.get("port")
    at = f"{host or ''}{f':{port}' if port else ''}"
    return f"{where.get_backend_name()}://{at}/{where.database}"


def _too_old(revision: str | None) -> str:
    return (
        f"the database was made by an unreleased version of Holdgate (schema {revision}), which cannot be upgraded. "
        "Set HOLDGATE_DATABASE_URL to a new database, or move the file of the old one away, and run "
        "./holdgate migrate"
    )


@contextmanager
def _alone(where: URL) -> Iterator[Connection]:
    """Open one transaction. A `migrate` call that runs at the same time waits until the transaction ends."""
    engine = _creating(where)
    try:
        with engine.execution_options(**sqlite.IMMEDIATE).begin() as conn:
            if where.get_backend_name() == "postgresql":
                conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            yield conn
    finally:
        engine.dispose()


def _creating(where: URL) -> Engine:
    if where.get_backend_name() == "postgresql":
        return create_engine(where)
    path = Path(where.database or "")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)  # SQLite creates its other files with the same mode
    return sqlite.creating_engine(path, MIGRATION_SECONDS)
