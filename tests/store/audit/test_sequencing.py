"""Events and seals get positions without gaps, whatever happens between the commit of a writer and the sequencer."""

import asyncio
import itertools
import multiprocessing
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, func, select, text

from domain.records import CaseRecord
from domain.status import Status
from store.audit import audit_log, evidence, sequencer, timeline
from store.audit.sequencer import Sequencer
from store.audit.sequencing import Heads, NewEvent, NewSeal, sequence
from store.audit.verification import verify, verify_case
from store.cases import cases
from store.db.database import Database, normalised
from store.people import people
from store.tables.audit import event_positions, events, seal_positions, unsequenced
from tests.store.sample_cases import event, recorded, submitted
from tests.support.postgres import Postgres
from tests.support.sequencer_killed import stall

PATIENCE_S = 20.0


@pytest.fixture
async def raw(postgres_url: str) -> AsyncIterator[Database]:
    """A PostgreSQL database on which nothing is sequenced unless the test does it."""
    database = Database(postgres_url)
    yield database
    await database.close()


async def catch_up(url: str) -> None:
    own = Sequencer(url)
    await own.catch_up()
    await own.close()


@asynccontextmanager
async def running(*sequencers: Sequencer) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run sequencers for the block."""
    tasks = [asyncio.create_task(each.run()) for each in sequencers]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def unsequenced_rows(db: Database) -> int:
    async with db.read() as conn:
        return int(await conn.scalar(select(func.count()).select_from(unsequenced)) or 0)


async def sequenced(db: Database) -> float:
    """Wait until nothing waits for a position, and return the seconds this took."""
    began = time.monotonic()
    while True:
        if not await unsequenced_rows(db):
            return time.monotonic() - began
        assert time.monotonic() - began < PATIENCE_S
        await asyncio.sleep(0.005)


def three(case_id: str, number: int) -> CaseRecord:
    told = [event(case_id, 3 * number + place) for place in range(3)]
    return CaseRecord(case_id=case_id, status=Status.RUNNING, events=told)


# ------------------------------------------------------------------------------------------------------- the function


def test_positions_do_not_depend_on_how_events_are_cut_into_batches() -> None:
    chance = random.Random(19)
    new = [NewEvent(number, f"hash-{number}") for number in range(1, 700)]
    sealed = [NewSeal(number, "" if number % 3 else f"case-{number}", f"digest-{number}") for number in range(1, 300)]
    start = Heads(0, "", 0, "")
    end, at_once = sequence(start, new, sealed)
    heads, in_parts = start, []
    while new or sealed:
        some, seals = chance.randrange(9), chance.randrange(9)
        heads, statements = sequence(heads, new[:some], sealed[:seals])
        new, sealed = new[some:], sealed[seals:]
        in_parts += statements
    assert heads == end and (heads.position, heads.seals) == (699, 299)
    for table in ("event_positions", "event_blocks", "seal_positions"):
        whole = [row for each in at_once if f" {table} " in each.sql for row in each.rows]
        assert whole == [row for each in in_parts if f" {table} " in each.sql for row in each.rows]
        assert len(whole) == {"event_positions": 699, "event_blocks": 2, "seal_positions": 299}[table]


def test_nothing_new_needs_no_statement() -> None:
    heads = Heads(4, "a" * 64, 9, "b")
    assert sequence(heads, [], []) == (heads, [])


# --------------------------------------------------------------------------------------- writers and sequencers at once


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_any_interleaving_gives_an_order_without_gaps_that_no_reader_misses(
    postgres_url: str, raw: Database, seed: int
) -> None:
    chance = random.Random(seed)
    others = [Database(postgres_url) for _ in range(2)]
    references = [f"INV-{number}" for number in range(6)]
    ids = [(await submitted(raw, reference)).case_id for reference in references]
    written: set[str] = {f"{case_id}/0" for case_id in ids}
    read: list[audit_log.StoredEvent] = []
    done = asyncio.Event()

    async def writer(db: Database, number: int) -> None:
        for step in range(6):
            await asyncio.sleep(chance.random() * 0.02)
            case_id = chance.choice(["", *ids])
            new = [event(case_id, 1000 * number + 10 * step + place) for place in range(1, chance.randint(2, 4))]
            new = [each.model_copy(update={"event_id": f"{number}-{each.event_id}"}) for each in new]
            fails = chance.random() < 0.15
            with suppress(ZeroDivisionError):
                async with db.write() as conn:
                    await audit_log.append(conn, new)
                    await asyncio.sleep(chance.choice([0, 0, 0, 0.1]))  # others commit, and are sequenced, meanwhile
                    _ = 1 / (not fails)
                written.update(each.event_id for each in new)

    async def sequencing() -> None:
        own = Sequencer(postgres_url)
        while not done.is_set():
            await own.catch_up()
            await asyncio.sleep(chance.random() * 0.01)
        await own.close()

    async def reader() -> None:
        while True:
            over = done.is_set()
            async with others[0].read() as conn:
                more = await audit_log.page(conn, since=read[-1].position if read else 0, limit=7)
            read.extend(more)
            if over and not more:
                return
            await asyncio.sleep(0.005)

    loops = [asyncio.create_task(work) for work in (reader(), sequencing(), sequencing())]
    await asyncio.gather(*(writer(chance.choice([raw, *others]), number) for number in range(1, 9)))
    assert (await verify(raw)).problems == [], "also while some events have no position"
    await sequenced(raw)
    done.set()
    await asyncio.gather(*loops)
    found = await verify(raw)
    assert (found.problems, found.unsequenced, found.events) == ([], 0, len(written))
    assert [each.position for each in read] == list(range(1, len(written) + 1))
    assert {each.event_id for each in read} == written
    for case_id in ("", *ids):
        assert [each.seq for each in read if each.case_id == case_id] == list(
            range(1, 1 + sum(each.case_id == case_id for each in read))
        )
    for database in others:
        await database.close()


async def test_writers_of_cases_wait_neither_for_each_other_nor_for_the_sequencer(
    postgres_url: str, raw: Database
) -> None:
    one, two = [(await submitted(raw, reference)).case_id for reference in "AB"]
    other, third = Database(postgres_url), Database(postgres_url, patience=1)
    async with raw.write() as open_one, other.write() as sequencing:
        await audit_log.append(open_one, [event(one, 1)])
        await people.add(open_one, "mia", "Mia", [], by="ada")  # holds the chain of events without a case, too
        await sequencing.execute(text("SELECT 1 FROM chain FOR UPDATE"))
        await recorded(third, three(two, 1))
        await submitted(third, "C")
    await other.close()
    await third.close()


# --------------------------------------------------------------------------------------------------- crash and takeover


async def test_a_sequencer_that_is_killed_at_any_statement_loses_and_doubles_nothing(
    postgres_url: str, raw: Database
) -> None:
    case_id = (await submitted(raw)).case_id
    next_process = Sequencer(postgres_url)
    context = multiprocessing.get_context("fork")  # the process only runs SQL, over a connection of its own
    for statement in range(30):
        await recorded(raw, three(case_id, statement + 1))
        ours, theirs = context.Pipe()
        process = context.Process(target=stall, args=(postgres_url, statement, theirs))
        process.start()
        stopped = await asyncio.to_thread(ours.recv)
        process.kill()
        process.join()
        if not stopped:
            break
        deadline = time.monotonic() + PATIENCE_S
        while await unsequenced_rows(raw):
            await next_process.catch_up()  # does nothing until PostgreSQL noticed that the other process is gone
            assert time.monotonic() < deadline
    await next_process.close()
    assert (await verify(raw)).problems == []
    assert 8 < statement < 20, "every statement had its turn"
    async with raw.read() as conn:
        order = (await conn.execute(select(event_positions.c.position).order_by("position"))).scalars().all()
        assert list(order) == list(range(1, 3 * (statement + 1) + 2))


async def test_another_process_takes_over_when_the_sequencer_is_gone(postgres_url: str, raw: Database) -> None:
    case_id = (await submitted(raw)).case_id
    standby = Sequencer(postgres_url)
    standby.working = False
    async with running(Sequencer(postgres_url), standby) as (first, _):
        await recorded(raw, three(case_id, 1))
        assert await sequenced(raw) < 5
        assert not standby.working
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await recorded(raw, three(case_id, 2))
        await sequenced(raw)
        assert standby.working
    assert (await verify(raw)).problems == []


async def test_a_sequencer_that_hangs_in_a_transaction_is_cut_off(
    postgres_url: str, raw: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "HUNG_S", 1)
    case_id = (await submitted(raw)).case_id
    hung = sequencer._engine(normalised(postgres_url))
    async with hung.connect() as conn:
        await conn.exec_driver_sql("BEGIN")
        await conn.exec_driver_sql("SELECT 1 FROM chain FOR UPDATE")
        await recorded(raw, three(case_id, 1))
        async with running(Sequencer(postgres_url)):
            await sequenced(raw)
        await conn.invalidate()
    await hung.dispose()
    assert (await verify(raw)).problems == []


async def test_two_sequencers_at_once_leave_the_work_to_one(postgres_url: str, raw: Database) -> None:
    case_id = (await submitted(raw)).case_id
    both = [Sequencer(postgres_url), Sequencer(postgres_url)]
    async with running(*both):
        for number in range(1, 100):
            await recorded(raw, three(case_id, number))
            if not all(each.working for each in both):
                break
        await sequenced(raw)
    assert any(each.working for each in both)
    assert (await verify(raw)).problems == []


async def test_a_command_does_not_sequence_for_ever_what_others_write(postgres_url: str, raw: Database) -> None:
    command = Sequencer(postgres_url)

    async def writing(reference: str) -> None:
        case_id = (await submitted(raw, reference)).case_id
        for number in itertools.count(1):
            await recorded(raw, three(case_id, number))

    writers = [asyncio.create_task(writing(reference)) for reference in "ABCDEF"]
    await asyncio.sleep(0.1)
    await asyncio.wait_for(command.catch_up(), 2)
    for writer in writers:
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)
    await command.close()
    async with raw.read() as conn:
        assert await audit_log.position(conn) > 0


async def test_a_sequencer_that_ends_leaves_nothing_behind(postgres_url: str, raw: Database) -> None:
    only = Sequencer(postgres_url)
    only.working = False  # as after a meeting with another one
    async with running(only):
        await submitted(raw)
    assert await unsequenced_rows(raw) == 0


async def test_the_sequencer_survives_an_outage(postgres_url: str, raw: Database, postgres_server: Postgres) -> None:
    case_id = (await submitted(raw)).case_id
    async with running(Sequencer(postgres_url)):
        await sequenced(raw)
        cut = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> :own"
        )
        async with raw.write() as conn:
            own = (await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await conn.execute(text(cut), {"own": own})
        await recorded(raw, three(case_id, 1))
        await sequenced(raw)


# --------------------------------------------------------------------------------------- before an event has a position


async def test_the_page_of_a_case_shows_events_that_are_not_sequenced_yet(raw: Database) -> None:
    case_id = (await submitted(raw)).case_id
    async with raw.write() as conn:
        said = await evidence.comment(conn, case_id, "mia", "Look here", "key", datetime.now(UTC))
    async with raw.read() as conn:
        row = await cases.get(conn, case_id)
        assert row is not None and row.head_count == 2
        shown = (await timeline.of_case(conn, row)).events
        assert [(each.seq, each.kind, each.position) for each in shown] == [
            (1, "submitted", 0),
            (2, "comment_added", 0),
        ]
        assert await evidence.comments(conn, case_id) == [(2, said)]
        assert await evidence.newest_comments(conn, case_id, 5) == [said]
        assert await audit_log.page(conn) == [] and await audit_log.position(conn) == 0
        found = await verify_case(conn, case_id)
    assert found.problems == [] and found.unsequenced == 3 and 0 <= found.oldest_unsequenced_s < 60
    whole = await verify(raw)
    assert (whole.problems, whole.unsequenced, whole.events) == ([], 3, 2)


OLD = datetime.now(UTC) - timedelta(hours=3)
_LAST = "number = (SELECT max(number) FROM events WHERE case_id IS NOT NULL)"
_CASELESS = "number = (SELECT max(number) FROM events WHERE case_id IS NULL)"
_SEAL = "number = (SELECT max(number) FROM seals)"
ATTACKS: dict[str, tuple[tuple[str, ...], str]] = {
    "an event is removed": (
        (f"DELETE FROM event_payloads WHERE {_LAST}", f"DELETE FROM events WHERE {_LAST}"),
        "case payment:inv-1: its row counts 4 events",
    ),
    "an event is removed and its entry stays": (
        (f"DELETE FROM event_payloads WHERE {_LAST}", f"DELETE FROM events WHERE {_LAST}"),
        "is not stored: it was removed before it was sequenced",
    ),
    "an event and its entry are removed": (
        (
            f"DELETE FROM unsequenced WHERE kind = 'event' AND {_LAST}",
            f"DELETE FROM event_payloads WHERE {_LAST}",
            f"DELETE FROM events WHERE {_LAST}",
        ),
        "case payment:inv-1: its row counts 4 events",
    ),
    "an event without a case is removed": (
        (
            f"DELETE FROM unsequenced WHERE kind = 'event' AND {_CASELESS}",
            f"DELETE FROM event_payloads WHERE {_CASELESS}",
            f"DELETE FROM events WHERE {_CASELESS}",
        ),
        "the head of the events without a case",
    ),
    "an entry is removed": (
        (f"DELETE FROM unsequenced WHERE kind = 'event' AND {_LAST}",),
        "event payment:inv-1/5 (no position, case payment:inv-1) does not wait to be sequenced",
    ),
    "an event is edited": (
        (f"UPDATE events SET kind = 'approved' WHERE {_LAST}",),
        "event payment:inv-1/5 (no position, case payment:inv-1) was edited",
    ),
    "a payload is edited": (
        (f"UPDATE event_payloads SET payload = 'x' WHERE {_LAST}",),
        "event payment:inv-1/5 (no position, case payment:inv-1) was edited",
    ),
    "an event changes its case": (
        (f"UPDATE events SET case_id = 'payment:other' WHERE {_LAST}",),
        "event payment:inv-1/5 (no position, case payment:other) was edited",
    ),
    "sequencing is prevented": (
        ("UPDATE unsequenced SET at = at - interval '3 hours'",),
        "events and seals are not sequenced yet, the oldest for 108",
    ),
    "a seal and its entry are removed": (
        (f"DELETE FROM unsequenced WHERE kind = 'seal' AND {_SEAL}", f"DELETE FROM seals WHERE {_SEAL}"),
        "table people, row mia was inserted",
    ),
    "the entry of a seal is removed": (
        (f"DELETE FROM unsequenced WHERE kind = 'seal' AND {_SEAL}",),
        "seal without a position (no case) does not wait to be sequenced",
    ),
    "a seal is edited": (
        (f"UPDATE seals SET rows = rows || ' ' WHERE {_SEAL}",),
        "seal without a position (no case) was edited",
    ),
    "an entry is made for an event that has a position": (
        ("INSERT INTO unsequenced SELECT 'event', number, now() FROM event_positions WHERE position = 1",),
        "is listed, and has position 1: the entry was inserted",
    ),
    "a position is removed": (
        ("DELETE FROM event_positions WHERE position = 1",),
        "event payment:inv-1/0 (no position, case payment:inv-1) does not wait to be sequenced",
    ),
}


async def test_whoever_touches_what_is_not_sequenced_yet_is_found_out(
    raw: Database, postgres_url: str, postgres_server: Postgres
) -> None:
    await submitted(raw)
    await catch_up(postgres_url)
    await recorded(raw, three("payment:inv-1", 1))
    async with raw.write() as conn:
        await people.add(conn, "mia", "Mia", [], by="ada")
    assert (await verify(raw)).problems == []
    await raw.close()
    missed = {}
    for name, (statements, words) in ATTACKS.items():
        copy = postgres_server.create(postgres_url.rpartition("/")[2])
        url = postgres_server.url(copy)
        engine = create_engine(normalised(url))
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()
        attacked = Database(url)
        problems = (await verify(attacked)).problems
        if not any(words in problem for problem in problems):
            missed[name] = problems
        await catch_up(url)  # no attack stops the sequencer
        assert not await unsequenced_rows(attacked), name
        await attacked.close()
        postgres_server.drop(copy)
    assert missed == {}


async def test_what_waits_for_long_is_a_problem_and_a_short_wait_is_none(raw: Database) -> None:
    await submitted(raw)
    assert (await verify(raw)).problems == []
    async with raw.write() as conn:
        await conn.execute(text("UPDATE unsequenced SET at = at - interval '61 seconds' WHERE kind = 'event'"))
    (problem,) = (await verify(raw)).problems
    assert "2 events and seals are not sequenced yet, the oldest for 6" in problem


async def test_a_transaction_is_sequenced_at_once_on_sqlite(sqlite_url: str) -> None:
    db = Database(sqlite_url)
    case_id = (await submitted(db)).case_id
    async with db.write() as conn:
        await audit_log.append(conn, [event(case_id, 1)])
        await audit_log.note(conn, "person_added", by="ada", summary="Added", data={})
        await audit_log.append(conn, [event(case_id, 2)])
    async with db.read() as conn:
        read = await audit_log.page(conn)
        assert [(each.position, each.case_id, each.seq) for each in read] == [
            (1, case_id, 1),
            (2, case_id, 2),
            (3, "", 1),
            (4, case_id, 3),
        ]
        for table in (event_positions, seal_positions):
            order = (await conn.execute(select(table.c.position, table.c.number))).all()
            assert order and all(position == number for position, number in order)
        assert not await conn.scalar(select(func.count()).select_from(unsequenced))
        assert not await conn.scalar(
            select(func.count())
            .select_from(events.outerjoin(event_positions))
            .where(event_positions.c.position.is_(None))
        )
    await Sequencer(sqlite_url).run()
    await db.close()
