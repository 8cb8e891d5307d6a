"""Writers that wait for each other share one commit: each is stored or rolled back alone, and answered after it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from store.audit.verification import verify
from store.db import sqlite_transactions
from store.db.database import Database, DatabaseUnavailable
from store.db.prepared import prepared
from store.db.sqlite_connection import SqliteConnection
from store.db.sqlite_transactions import MOST_WRITERS
from store.tables.notifications import heartbeats as beats
from tests.store.sample_cases import MORNING, submitted

INSERT = prepared(insert(beats))


@pytest.fixture
async def db(sqlite_url: str) -> AsyncIterator[Database]:
    database = Database(sqlite_url)
    async with database.write():
        pass  # later, the first writer needs not wait for the connection to open
    yield database
    await database.close()


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each commit."""
    made: list[str] = []
    commit = SqliteConnection._commit

    def counted(self: SqliteConnection) -> None:
        made.append("commit")
        commit(self)

    monkeypatch.setattr(SqliteConnection, "_commit", counted)
    return made


async def beat(db: Database, worker: str, error: Exception | None = None, end_all: bool = False) -> str:
    async with db.write() as conn:
        await conn.execute(INSERT, {"worker": worker, "at": MORNING})
        if end_all:
            await conn.execute(text("ROLLBACK"))
        if error is not None:
            raise error
    return worker


async def beaten(db: Database) -> set[str]:
    async with db.read() as conn:
        return set(await conn.scalars(select(beats.c.worker)))


async def test_writers_that_wait_share_commits(db: Database, commits: list[str]) -> None:
    names = [f"worker-{number}" for number in range(2 * MOST_WRITERS + 1)]
    assert await asyncio.gather(*(beat(db, name) for name in names)) == names
    assert await beaten(db) == set(names)
    assert len(commits) == 3, "the first came alone, the others waited for its commit"


async def test_each_writer_is_answered_after_the_commit(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    answered: list[str] = []
    commit = SqliteConnection._commit

    def checked(self: SqliteConnection) -> None:
        answered.extend(task.result() for task in writing if task.done())
        commit(self)

    writing = [asyncio.create_task(beat(db, f"worker-{number}")) for number in range(4)]
    monkeypatch.setattr(SqliteConnection, "_commit", checked)
    await asyncio.gather(*writing)
    assert answered == ["worker-0"], "at the second commit only the writer of the first is answered"


async def test_a_writer_that_fails_is_rolled_back_alone(db: Database, commits: list[str]) -> None:
    for failing in range(5):
        commits.clear()
        names = [f"{failing}-{number}" for number in range(5)]
        calls = (beat(db, name, ZeroDivisionError() if at == failing else None) for at, name in enumerate(names))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(answers[failing], ZeroDivisionError)
        assert {name for name in await beaten(db) if name.startswith(f"{failing}-")} == {*names} - {names[failing]}
        assert len(commits) <= 2


async def test_after_a_failed_commit_all_its_writers_fail_and_nothing_is_stored(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, made = SqliteConnection._commit, []

    def failing(self: SqliteConnection) -> None:
        made.append(self)
        if len(made) == 2:
            self.driver.execute("ROLLBACK")
        commit(self)

    monkeypatch.setattr(SqliteConnection, "_commit", failing)
    answers: list[Any] = await asyncio.gather(*(beat(db, f"{at}") for at in range(6)), return_exceptions=True)
    assert answers[0] == "0"
    assert [type(each) for each in answers[1:]] == [DatabaseUnavailable] * 5
    assert await beaten(db) == {"0"}
    assert await beat(db, "next") == "next"


async def test_an_error_that_ends_the_whole_transaction_fails_all_its_writers(db: Database) -> None:
    calls = (beat(db, f"{at}", end_all=at == 3) for at in range(4))
    answers: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
    assert answers[0] == "0"
    assert [type(each) for each in answers[1:]] == [DatabaseUnavailable] * 3
    assert await beaten(db) == {"0"}
    assert await beat(db, "next") == "next"


async def test_a_commit_is_not_left_to_writers_that_are_cancelled(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = sqlite_transactions._Group.leave

    def cancelling(self: Any) -> None:
        leave(self)
        for task in waiting:
            task.cancel()

    async def first() -> None:
        async with db.write() as conn:
            await conn.execute(INSERT, {"worker": "first", "at": MORNING})
            await asyncio.sleep(0.01)

    monkeypatch.setattr(sqlite_transactions._Group, "leave", cancelling)
    writing = asyncio.create_task(first())
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(beat(db, f"{number}")) for number in range(3)]
    await asyncio.wait_for(writing, 3)
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in ended] == [asyncio.CancelledError] * 3
    assert await beaten(db) == {"first"}


async def test_shared_commits_keep_seals_and_chains_intact(db: Database, commits: list[str]) -> None:
    await asyncio.gather(*(submitted(db, f"INV-{number}") for number in range(20)))
    assert len(commits) < 10
    assert (await verify(db)).problems == []
