"""Writers that wait for each other share one commit: each is stored or rolled back alone, and answered after it."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from store.audit import audit_log
from store.audit.verification import verify
from store.db import sqlite_transactions
from store.db.database import Database, DatabaseUnavailable
from store.db.prepared import prepared
from store.db.sqlite_connection import SqliteConnection
from store.db.sqlite_transactions import MOST_WRITERS
from store.people import people
from store.tables.audit import event_positions
from store.tables.notifications import heartbeats as beats
from tests.store.sample_cases import MORNING, event, submitted

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
    """One entry for each commit. No group ends early because the machine is slow."""
    monkeypatch.setattr(sqlite_transactions, "LONGEST_S", 60)
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


async def test_writers_share_no_commit_with_slow_ones_after_them(
    db: Database, commits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_transactions, "LONGEST_S", 0.03)
    committed = []

    async def slow(worker: str) -> None:
        async with db.write() as conn:
            await conn.execute(INSERT, {"worker": worker, "at": MORNING})
            await asyncio.sleep(0.04)
        committed.append(len(commits))

    await asyncio.gather(*(slow(f"{number}") for number in range(4)))
    assert committed == [1, 2, 3, 4]


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


async def test_a_writer_that_failed_because_of_another_is_answered_after_the_commit(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()
    commit = SqliteConnection._commit

    def slow(self: SqliteConnection) -> None:
        time.sleep(0.02)
        commit(self)

    async def second() -> None:
        async with db.write() as conn:
            seen.update(await conn.scalars(select(beats.c.worker)))
            raise LookupError("they are there")

    async def asking() -> set[str]:
        with pytest.raises(LookupError):
            await second()
        return await beaten(db)

    await beaten(db)  # later, a reader needs not wait for the connection to open
    monkeypatch.setattr(SqliteConnection, "_commit", slow)
    found = (await asyncio.gather(beat(db, "alone"), beat(db, "first"), asking(), beat(db, "last")))[2]
    assert seen == {"alone", "first"} and seen <= found, "what it failed for is there when it tells so"


async def test_a_writer_that_failed_because_of_another_learns_that_nothing_was_stored(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def second() -> None:
        async with db.write() as conn:
            raise LookupError((await conn.scalars(select(beats.c.worker))).all())

    def failing(self: SqliteConnection) -> None:
        self.driver.execute("ROLLBACK")
        self.driver.execute("COMMIT")

    monkeypatch.setattr(SqliteConnection, "_commit", failing)
    answers = await asyncio.gather(beat(db, "alone"), beat(db, "first"), second(), return_exceptions=True)
    assert [type(each) for each in answers] == [DatabaseUnavailable] * 3


async def test_a_writer_whose_savepoint_fails_undoes_no_other(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    enter, entered = sqlite_transactions._Group.enter, []

    def failing(self: Any) -> None:
        entered.append(self)
        if len(entered) == 5:
            self.conn.now("no SQL")
        enter(self)

    monkeypatch.setattr(sqlite_transactions._Group, "enter", failing)
    errors = {2: ZeroDivisionError()}
    calls = (beat(db, f"{at}", errors.get(at)) for at in range(5))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert await beaten(db) == {each for each in answers if isinstance(each, str)}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_writers_do_each_is_stored_if_and_only_if_it_is_told_so(
    db: Database, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    commit, made = SqliteConnection._commit, itertools.count()

    def sometimes_failing(self: SqliteConnection) -> None:
        if next(made) % 5 == 3:
            self.driver.execute("ROLLBACK")
        commit(self)

    case_ids = [(await submitted(db, reference)).case_id for reference in "ABC"]
    monkeypatch.setattr(SqliteConnection, "_commit", sometimes_failing)

    async def writer(number: int) -> None:
        await asyncio.sleep(chance.random() / 100)
        async with db.write() as conn:
            for part in range(chance.randint(1, 3)):
                of_case = chance.choice(["", *case_ids])
                events = [event(of_case, at).model_copy(update={"event_id": f"{number}/{part}/{at}"}) for at in (1, 2)]
                await audit_log.append(conn, events)
                if chance.random() < 0.5:
                    await people.add(conn, f"p{number}-{part}", "Mia", [], by="ada")
                await asyncio.sleep(chance.choice([0, 0, 0.002]))
            if chance.random() < 0.3:
                await conn.execute(INSERT, {"worker": f"{number}", "at": MORNING})
                with suppress(IntegrityError):  # ends the statement and not the transaction
                    await conn.execute(INSERT, {"worker": f"{number}", "at": MORNING})
            if chance.random() < 0.2:
                raise ZeroDivisionError

    tasks = [asyncio.create_task(writer(number)) for number in range(60)]
    for task in chance.sample(tasks, 15):
        asyncio.get_running_loop().call_later(chance.random() / 20, task.cancel)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    async with db.read() as conn:
        log = await audit_log.page(conn, limit=1000)
        positions = (await conn.execute(select(event_positions))).all()
    stored = {int(each.event_id.partition("/")[0]) for each in log if each.event_id[0].isdigit()}
    for number, answer in enumerate(answers):
        if not isinstance(answer, asyncio.CancelledError):  # its commit may have been under way
            assert (number in stored) == (answer is None), answer
            assert isinstance(answer, DatabaseUnavailable | ZeroDivisionError | None)
    assert None in answers and DatabaseUnavailable in {type(each) for each in answers}
    assert [(each.position, each.position) for each in log] == positions == [(n, n) for n in range(1, len(log) + 1)]
    assert (await verify(db)).problems == []


async def test_shared_commits_keep_seals_and_chains_intact(db: Database, commits: list[str]) -> None:
    await asyncio.gather(*(submitted(db, f"INV-{number}") for number in range(20)))
    assert len(commits) < 10
    assert (await verify(db)).problems == []
