"""The database becomes unavailable in each possible way, and work continues when it is back."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import QueuePool, func, insert, select, text

from store.db import heartbeats
from store.db.database import BUSY_SECONDS, Database, DatabaseUnavailable
from store.db.sqlite_transactions import SqliteTransactions
from store.tables.notifications import heartbeats as beats
from tests.store.sample_cases import MORNING
from tests.support import postgres
from tests.support.postgres import Postgres

pytestmark = pytest.mark.both_databases


@pytest.fixture
async def on_sqlite(sqlite_url: str) -> AsyncIterator[tuple[Database, Path]]:
    """A database and its file."""
    database = Database(sqlite_url)
    yield database, Path(sqlite_url.partition("///")[2])
    await database.close()


async def beat(db: Database, worker: str = "worker") -> None:
    async with db.write() as conn:
        await heartbeats.beat(conn, worker, MORNING)


async def beaten(db: Database) -> int:
    async with db.read() as conn:
        return int((await conn.execute(select(func.count()).select_from(beats))).scalar_one())


def in_use(db: Database) -> int:
    """Return the number of connections in use."""
    match db._transactions:
        case SqliteTransactions() as sqlite:
            return len(sqlite._writers._lent) + len(sqlite._readers._lent)
        case postgresql:
            pool = postgresql._engine.pool
            assert isinstance(pool, QueuePool)
            return pool.checkedout()


async def test_a_database_locked_for_too_long_is_unavailable_and_works_again_later(
    on_sqlite: tuple[Database, Path],
) -> None:
    db, path = on_sqlite
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    before = asyncio.get_running_loop().time()
    refused = await asyncio.gather(*(beat(db, f"worker-{n}") for n in range(5)), return_exceptions=True)
    assert all(isinstance(error, DatabaseUnavailable) for error in refused), refused
    # Those who queue behind each other do not add up their waits.
    assert asyncio.get_running_loop().time() - before < 2 * BUSY_SECONDS + 1
    assert await beaten(db) == 0, "reading goes on while another writes"
    other.execute("ROLLBACK")
    other.close()
    await beat(db)
    assert await beaten(db) == 1


async def test_a_file_that_went_missing_is_an_outage_and_loses_nothing(on_sqlite: tuple[Database, Path]) -> None:
    db, path = on_sqlite
    await beat(db, "before")
    away = path.rename(path.with_suffix(".away"))
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await beat(db, "meanwhile")
        with pytest.raises(DatabaseUnavailable):
            await db.ready()
    assert not path.exists(), "an empty database in its place would hide the loss"
    away.rename(path)
    await db.ready()
    await beat(db, "after")
    assert await beaten(db) == 2


async def test_a_file_that_is_damaged_is_an_outage(on_sqlite: tuple[Database, Path]) -> None:
    db, path = on_sqlite
    whole = path.read_bytes()
    path.rename(path.with_suffix(".away"))
    path.write_bytes(b"x" * len(whole))
    with pytest.raises(DatabaseUnavailable):
        await beat(db)
    path.unlink()
    path.with_suffix(".away").rename(path)
    await beat(db)


async def test_cancelled_writes_leave_neither_a_lock_nor_a_row_nor_a_connection(
    db: Database, another_db: Callable[[], Database]
) -> None:
    async def write(wait: float) -> None:
        async with db.write() as conn:
            await conn.execute(insert(beats).values(worker="cancelled", at=MORNING))
            await conn.execute(text("SELECT 1"))
            await asyncio.sleep(wait)
            await conn.execute(text("SELECT 1"))
            await asyncio.sleep(60)

    for number in range(60):
        task = asyncio.create_task(write(0.0 if number % 2 else 60))
        # From before the first statement to the wait at the end.
        await asyncio.sleep(number % 20 / 1000)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await asyncio.wait_for(beat(another_db(), "another"), BUSY_SECONDS)
    await asyncio.gather(*(beat(db, f"worker-{number}") for number in range(25)))
    assert await beaten(db) == 26
    assert in_use(db) == 0


async def test_a_failure_inside_the_block_rolls_back_and_is_not_called_an_outage(db: Database) -> None:
    await beat(db)
    with pytest.raises(ZeroDivisionError):
        async with db.write() as conn:
            await heartbeats.beat(conn, "lost", MORNING)
            raise ZeroDivisionError
    with pytest.raises(Exception, match=r"(?i)unique"):
        async with db.write() as conn:
            await conn.execute(insert(beats).values(worker="worker", at=MORNING))
    assert await beaten(db) == 1


async def test_a_read_is_one_moment(db: Database) -> None:
    async with db.read() as conn:
        count = select(func.count()).select_from(beats)
        assert (await conn.execute(count)).scalar_one() == 0
        await beat(db)
        assert (await conn.execute(count)).scalar_one() == 0
    assert await beaten(db) == 1


@pytest.fixture(scope="module")
def fragile_postgres() -> Iterator[Postgres]:
    """A server that tests of this file may stop."""
    if postgres.programs() is None:
        pytest.skip(postgres.MISSING)
    with postgres.server() as server:
        yield server


async def test_after_a_restart_of_postgresql_the_next_call_works(fragile_postgres: Postgres) -> None:
    db = Database(fragile_postgres.url())
    async with db.read() as conn:
        await conn.execute(text("SELECT 1"))
    fragile_postgres.stop()
    with pytest.raises(DatabaseUnavailable):
        async with db.read() as conn:
            await conn.execute(text("SELECT 1"))
    fragile_postgres.start()
    async with db.read() as conn:
        await conn.execute(text("SELECT 1"))
    await db.close()


async def test_a_connection_that_postgresql_cuts_in_the_middle_is_an_outage_of_that_call_only(
    fragile_postgres: Postgres,
) -> None:
    db = Database(fragile_postgres.url())
    with pytest.raises(DatabaseUnavailable):
        async with db.write() as conn:
            await conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    async with db.write() as conn:
        await conn.execute(text("SELECT 1"))
    await db.close()
