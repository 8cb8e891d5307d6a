"""Transactions on SQLite: what runs in threads, what a cancelled task leaves behind, and when connections close."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text

from store.audit.seals import SealingConnection
from store.db import sqlite_pool
from store.db.database import Database, DatabaseUnavailable, UnusableValue
from store.db.prepared import prepared
from store.db.sqlite_connection import MANY, SqliteConnection
from store.db.sqlite_transactions import READERS, SqliteTransactions
from store.tables.notifications import heartbeats as beats
from store.tables.people import sign_in_tries
from tests.store.sample_cases import MORNING

INSERT = prepared(insert(beats))
COUNT = prepared(select(func.count()).select_from(beats))
LONG = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :most) SELECT max(i) FROM n")
FOREVER = {"most": 10**10}


@pytest.fixture
async def db(sqlite_url: str) -> AsyncIterator[Database]:
    database = Database(sqlite_url, patience=1)
    yield database
    await database.close()


@pytest.fixture
def path(sqlite_url: str) -> Path:
    return Path(sqlite_url.partition("///")[2])


async def beat(db: Database, worker: str = "worker") -> None:
    async with db.write() as conn:
        await conn.execute(INSERT, {"worker": worker, "at": MORNING})


async def beaten(db: Database) -> int:
    async with db.read() as conn:
        return int((await conn.execute(COUNT)).scalar_one())


def lock_is_free(path: Path) -> bool:
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    else:
        return True
    finally:
        other.close()


def open_files(path: Path) -> int:
    """Return how many descriptors of this process are open on the database and its WAL."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        try:
            found += str(each.readlink()).startswith(str(path))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("statement", [LONG, prepared(select(func.max(func.length("x"))), long=True)])
async def test_a_statement_that_may_take_long_runs_in_a_thread(
    db: Database, statement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    original = SqliteConnection._in_thread

    async def noted(self: SqliteConnection, call: Any) -> Any:
        ran.append("thread")
        return await original(self, call)

    monkeypatch.setattr(SqliteConnection, "_in_thread", noted)
    async with db.read() as conn:
        await conn.execute(COUNT)
        assert ran == []
        await conn.execute(statement, {"most": 5} if statement is LONG else None)
        assert ran == ["thread"]


async def test_other_transactions_go_on_while_a_long_statement_runs(db: Database) -> None:
    async def long() -> None:
        async with db.read() as conn:
            await conn.execute(LONG, FOREVER)

    reading = asyncio.create_task(long())
    for number in range(5):
        await beat(db, f"worker-{number}")
    assert await beaten(db) == 5
    assert not reading.done()
    began = time.monotonic()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert time.monotonic() - began < 2, "a cancelled statement is interrupted"
    assert await beaten(db) == 5


async def test_commits_run_in_a_thread(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    commit = SqliteConnection._commit

    def noted(self: SqliteConnection) -> None:
        threads.append(threading.current_thread())
        commit(self)

    monkeypatch.setattr(SqliteConnection, "_commit", noted)
    await beat(db)
    assert [thread is threading.current_thread() for thread in threads] == [False]


async def test_a_task_cancelled_while_it_commits_ends_after_the_commit(
    db: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    commit = SqliteConnection._commit

    def slow(self: SqliteConnection) -> None:
        begun.set()
        go_on.wait(10)
        commit(self)

    monkeypatch.setattr(SqliteConnection, "_commit", slow)
    writing = asyncio.create_task(beat(db))
    await asyncio.to_thread(begun.wait, 10)
    for _ in range(3):
        writing.cancel()
        await asyncio.sleep(0.01)
    assert not writing.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert lock_is_free(path)
    assert await beaten(db) == 1
    await beat(db, "next")


async def test_a_task_cancelled_while_it_writes_many_rows_rolls_back(db: Database, path: Path) -> None:
    rows = [{"worker": f"worker-{number}", "at": MORNING} for number in range(MANY * 200)]

    async def write() -> None:
        async with db.write() as conn:
            await conn.execute(INSERT, rows[:MANY])
            await conn.execute(INSERT, rows[MANY:])
            await asyncio.sleep(60)

    for wait in (0.0, 0.001, 0.02):
        writing = asyncio.create_task(write())
        await asyncio.sleep(wait)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert lock_is_free(path)
    assert await beaten(db) == 0
    await beat(db)


async def test_a_writer_that_waits_for_another_process_leaves_the_event_loop_free(db: Database, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(beat(db))
    for _ in range(20):
        assert await beaten(db) == 0
        await asyncio.sleep(0.002)
    assert not writing.done()
    other.execute("COMMIT")
    other.close()
    await writing
    assert await beaten(db) == 1


async def test_close_closes_all_connections_and_those_in_use_when_they_are_free(db: Database, path: Path) -> None:
    await beat(db)
    async with db.read(), db.read(), db.read():
        pass
    assert open_files(path) > 0
    await db.close()
    assert open_files(path) == 0
    async with db.read() as conn:
        await db.close()
        await conn.execute(COUNT)
    assert open_files(path) == 0
    await beat(db, "again")
    await db.close()
    assert open_files(path) == 0


async def test_a_reading_transaction_cannot_write(db: Database) -> None:
    for statement in (INSERT, insert(beats)):
        with pytest.raises(DatabaseUnavailable, match="readonly"):
            async with db.read() as conn:
                await conn.execute(statement, {"worker": "worker", "at": MORNING})
    assert await beaten(db) == 0


async def test_more_readers_than_connections_wait_for_their_turn(db: Database) -> None:
    async def read(until: asyncio.Event) -> None:
        async with db.read():
            await until.wait()

    done = asyncio.Event()
    reading = [asyncio.create_task(read(done)) for _ in range(READERS)]
    await asyncio.sleep(0.1)
    with pytest.raises(DatabaseUnavailable, match="no connection was free"):
        await beaten(db)
    waiting = asyncio.create_task(beaten(db))
    await asyncio.sleep(0.01)
    done.set()
    await asyncio.gather(*reading)
    assert await waiting == 0
    transactions = db._transactions
    assert isinstance(transactions, SqliteTransactions)
    assert len(transactions._readers._idle) == sqlite_pool.KEPT


@pytest.mark.parametrize("statement", [INSERT, insert(beats)])
async def test_a_full_disk_is_an_outage_and_the_next_write_works(db: Database, path: Path, statement: Any) -> None:
    async def limit(pages: int) -> None:
        async with db.write() as conn:
            await conn.execute(text(f"PRAGMA max_page_count = {pages}"))

    await beat(db)
    await limit(1)
    with pytest.raises(DatabaseUnavailable, match="full"):
        async with db.write() as conn:
            for number in range(1000):
                await conn.execute(statement, {"worker": f"{number:0200}"[-40:], "at": MORNING})
    assert lock_is_free(path)
    await limit(1_000_000)
    assert await beaten(db) == 1
    await beat(db, "next")


async def test_a_failed_commit_is_an_outage_and_stores_nothing(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await beat(db)

    def failing(self: SqliteConnection) -> None:
        self.reusable = False
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteConnection, "_commit", failing)
        with pytest.raises(DatabaseUnavailable, match="disk I/O error"):
            await beat(db, "lost")
    assert await beaten(db) == 1
    await beat(db, "next")


@pytest.mark.parametrize("make", [prepared, lambda statement: statement])
async def test_values_that_cannot_be_stored_are_refused_as_such(db: Database, make: Any) -> None:
    for statement, value in (
        (insert(beats), {"worker": "half a character: \ud800", "at": MORNING}),
        (insert(sign_in_tries), {"key": "x", "number": 2**63, "next_at": MORNING}),
    ):
        with pytest.raises(UnusableValue):
            async with db.write() as conn:
                await conn.execute(make(statement), value)
    assert await beaten(db) == 0


def test_a_sealing_connection_offers_only_statements_and_the_seal() -> None:
    offered = {name for name in dir(SealingConnection) if not name.startswith("_")}
    for_erasures = {"written", "seal_again", "carry_over", "forget"}
    assert offered == {"dialect", "execute", "scalar", "scalars", "seal"} | for_erasures
