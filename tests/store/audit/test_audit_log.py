"""The audit log: every event has its position, and a later change of an event is found and named."""

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Connection, create_engine, delete, insert, select, text, update

from domain.case import ChainHead
from domain.records import CaseRecord
from domain.scope import OVERSEER
from domain.status import Status
from store.audit import audit_log, hashing
from store.audit.audit_log import UnknownCase
from store.audit.tree import Tree, leaf_of
from store.cases import cases, tasks
from store.cases.cases import Viewer
from store.db.database import Database, normalised
from store.tables.audit import caseless_head, chain, event_blocks, event_payloads, event_positions, events
from store.tables.cases import cases as case_rows
from tests.store.sample_cases import MORNING, decision, ending, event, new_case, opening, recorded, submitted, task
from tests.support.migrated_database import migrated_copy
from tests.support.postgres import Postgres
from tests.support.sequenced import Sequenced

pytestmark = pytest.mark.both_databases

SEED = 20261123
CASES = 9

# ------------------------------------------------------------------------------------------------------------ appending


NO_ROWS_ERASED = dict.fromkeys(("erased_rows", "erased_proofs", "erased_seals", "erased_files"), 0)


async def test_events_of_a_case_are_chained_and_of_all_cases_ordered(db: Database) -> None:
    for reference in ("A", "B"):
        await submitted(db, reference)
    for number in (1, 2):
        async with db.write() as conn:
            for case_id in ("payment:b", "payment:a"):
                head = await audit_log.append(conn, [event(case_id, number, score=number)])
    async with db.read() as conn:
        stored = await audit_log.page(conn)
        of_a = await audit_log.page(conn, "payment:a")
        assert await audit_log.page(conn, since=4) == stored[4:]
        assert await audit_log.page(conn, since=1, limit=2) == stored[1:3]
        assert await audit_log.position(conn) == 6
        row = await cases.get(conn, "payment:a")
    assert [event.position for event in stored] == [1, 2, 3, 4, 5, 6]
    assert [event.seq for event in of_a] == [1, 2, 3]
    assert [event.prev_hash for event in of_a] == ["", of_a[0].hash, of_a[1].hash]
    assert (of_a[2].summary, of_a[2].data) == ("Number 2 happened: step_done", {"score": 2})
    assert row is not None
    assert head == ChainHead(count=3, hash=of_a[2].hash) == ChainHead(count=row.head_count, hash=row.head_hash)


async def test_an_event_is_stored_once(db: Database) -> None:
    await submitted(db)
    async with db.write() as conn:
        one = await audit_log.append(conn, [event("payment:inv-1", 1)])
        assert await audit_log.append(conn, [event("payment:inv-1", 1)]) == one
        two = await audit_log.append(conn, [event("payment:inv-1", 1), event("payment:inv-1", 2)])
        assert (one.count, two.count) == (2, 3)
        admin = event("", 1).model_copy(update={"event_id": "admin/1"})
        assert await audit_log.append(conn, [admin]) == await audit_log.append(conn, [admin])
    assert (await audit_log.verify(db)).model_dump(exclude={"head"}) == {
        "problems": [],
        "events": 4,
        "cases": 1,
        "erased": 0,
        **NO_ROWS_ERASED,
        "unsequenced": 0,
        "oldest_unsequenced_s": 0.0,
        "checkpoints": 0,
        "newest_checkpoint": 0,
    }


async def test_an_event_needs_its_case(db: Database) -> None:
    async with db.write() as conn:
        with pytest.raises(UnknownCase, match="payment:none"):
            await audit_log.append(conn, [event("payment:none", 1)])


async def test_writers_of_two_processes_leave_no_gap(db: Database, another_db: Callable[[], Database]) -> None:
    for reference in "ABCD":
        await submitted(db, reference)
    doors = [db, another_db()]

    async def write(number: int) -> None:
        async with doors[number % 2].write() as conn:
            await audit_log.append(conn, [event(f"payment:{'abcd'[number % 4]}", number)])

    await asyncio.gather(*(write(number) for number in range(1, 61)))
    found = await audit_log.verify(db)
    assert (found.problems, found.events) == ([], 64)


async def test_verifying_streams_and_a_long_record_has_block_roots(db: Database) -> None:
    new = [new_case(f"INV-{number}") for number in range(1100)]  # more than are read at once
    async with db.write() as conn:
        await cases.insert_many(conn, [(case, event(case.case_id, 0)) for case in new])
    async with db.read() as conn:
        assert (await conn.execute(select(event_blocks.c.position))).scalars().all() == [256 * n for n in range(1, 5)]
    assert (await audit_log.verify(db)).model_dump(exclude={"head"}) == {
        "problems": [],
        "events": 1100,
        "cases": 1100,
        "erased": 0,
        **NO_ROWS_ERASED,
        "unsequenced": 0,
        "oldest_unsequenced_s": 0.0,
        "checkpoints": 0,
        "newest_checkpoint": 0,
    }


async def test_an_empty_record_is_clean(db: Database) -> None:
    assert (await audit_log.verify(db)).model_dump(exclude={"head"}) == {
        "problems": [],
        "events": 0,
        "cases": 0,
        "erased": 0,
        **NO_ROWS_ERASED,
        "unsequenced": 0,
        "oldest_unsequenced_s": 0.0,
        "checkpoints": 0,
        "newest_checkpoint": 0,
    }


async def test_an_erased_payload_passes_and_is_counted(db: Database) -> None:
    await submitted(db)
    async with db.write() as conn:
        await conn.execute(update(event_payloads).values(salt=None, payload=None))
        await audit_log.note(conn, "erased", by="ada", summary="Erased", data={"event_ids": ["payment:inv-1/0"]})
    assert (await audit_log.verify(db)).model_dump(exclude={"head"}) == {
        "problems": [],
        "events": 2,
        "cases": 1,
        "erased": 1,
        **NO_ROWS_ERASED,
        "unsequenced": 0,
        "oldest_unsequenced_s": 0.0,
        "checkpoints": 0,
        "newest_checkpoint": 0,
    }
    async with db.read() as conn:
        stored, _ = await audit_log.page(conn)
    assert (stored.erased, stored.summary, stored.data, stored.kind) == (True, "", {}, "submitted")


# ------------------------------------------------------------------------------------------------------------ tampering


async def _tell(db: Database) -> None:
    """A record of about 60 events: cases in every state, changes of people, a late event after an end."""
    chance = random.Random(SEED)
    for number in range(CASES):
        row = await submitted(db, f"INV-{number}")
        view = task(row.case_id)
        await recorded(db, opening(view))
        if number % 3 == 0:
            continue
        await recorded(db, ending(view, status=chance.choice([Status.COMPLETED, Status.REJECTED])))
        async with db.write() as conn:
            await audit_log.note(conn, "person_added", by="admin-1", summary=f"Number {number}", data={})
            await tasks.add_pending(conn, decision(view, "manager-3"), row.case_id)
    last = CaseRecord(case_id="payment:inv-1", status=Status.RUNNING, events=[event("payment:inv-1", 9, "too_late")])
    await recorded(db, last)
    for number in range(1, CASES, 2):
        for step in range(20, 24):
            late = event(f"payment:inv-{number}", step)
            await recorded(db, CaseRecord(case_id=late.case_id, status=Status.RUNNING, events=[late]))


@dataclass
class Tampered:
    """What was done, and the texts of which verify must name at least one."""

    names: list[str]


def _pick(conn: Connection, chance: random.Random, *conditions: Any) -> Any:
    query = select(event_positions.c.position, events).join(events, events.c.number == event_positions.c.number)
    return chance.choice(conn.execute(query.where(*conditions).order_by(event_positions.c.position)).all())


def edit_envelope(conn: Connection, chance: random.Random) -> Tampered:
    row = _pick(conn, chance)
    column, value = chance.choice(
        [
            ("kind", "approved"),
            ("actor", "somebody-else"),
            ("at", MORNING.replace(year=2027)),
            ("seq", 5000),
            ("digest", "0" * 64),
            ("prev_hash", "0" * 64),
            ("hash", "0" * 64),
            ("event_id", "payment:forged/1"),
            ("case_id", f"payment:inv-{CASES + 5}"),
        ]
    )
    conn.execute(update(events).where(events.c.number == row.number).values({column: value}))
    return Tampered(["payment:forged/1" if column == "event_id" else f"event {row.event_id} "])


def edit_envelope_and_its_hash(conn: Connection, chance: random.Random) -> Tampered:
    row = _pick(conn, chance)
    envelope = {column: getattr(row, column) for column in ("event_id", "seq", "at", "kind", "digest", "prev_hash")}
    forged = hashing.hash_of(**envelope, case_id=row.case_id or "", actor="somebody-else")
    conn.execute(update(events).where(events.c.number == row.number).values(actor="somebody-else", hash=forged))
    return Tampered([row.case_id or row.event_id, "the head of the audit log"])


def edit_payload(conn: Connection, chance: random.Random) -> Tampered:
    row = _pick(conn, chance)
    value: dict[str, Any] = chance.choice(
        [{"payload": '{"data":{},"summary":"Nothing"}'}, {"salt": "0" * 32}, {"salt": None}, {"payload": None}]
    )
    conn.execute(update(event_payloads).where(event_payloads.c.number == row.number).values(value))
    return Tampered([f"event {row.event_id} "])


def remove_payload(conn: Connection, chance: random.Random) -> Tampered:
    row = _pick(conn, chance)
    conn.execute(delete(event_payloads).where(event_payloads.c.number == row.number))
    return Tampered([f"event {row.event_id} "])


def swap_payloads(conn: Connection, chance: random.Random) -> Tampered:
    one, two = _pick(conn, chance), _pick(conn, chance)
    if one.position == two.position:
        return swap_payloads(conn, chance)
    _swap(conn, event_payloads.c.number, one.number, two.number)
    return Tampered([f"event {one.event_id} "])


def remove_event(conn: Connection, chance: random.Random) -> Tampered:
    row = _pick(conn, chance)
    _remove(conn, row.position)
    return Tampered([f"case {row.case_id}" if row.case_id else f"position {row.position}"])


def remove_event_and_close_the_gap(conn: Connection, chance: random.Random) -> Tampered:
    row = _pick(conn, chance, events.c.case_id.is_not(None))
    _remove(conn, row.position)
    _shift(conn, row.position, -1)
    conn.execute(update(chain).values(position=chain.c.position - 1))
    return Tampered([f"case {row.case_id}"])


def insert_event(conn: Connection, chance: random.Random) -> Tampered:
    """Add an event at the end of the audit log, with a hash that fits."""
    row = _forge(conn, chance, conn.execute(select(chain.c.position)).scalar_one() + 1)
    return Tampered([f"event {row['event_id']} "])


def insert_event_in_the_middle(conn: Connection, chance: random.Random) -> Tampered:
    """All later events move up, and the head of the audit log with them."""
    place = _pick(conn, chance).position
    _shift(conn, place, 1)
    conn.execute(update(chain).values(position=chain.c.position + 1))
    row = _forge(conn, chance, place)
    return Tampered([f"event {row['event_id']} ", f"event {row['event_id']})"])


def swap_events(conn: Connection, chance: random.Random) -> Tampered:
    one, two = _pick(conn, chance), _pick(conn, chance)
    if one.position == two.position:
        return swap_events(conn, chance)
    _swap(conn, event_positions.c.position, one.position, two.position)
    return Tampered([f"case {one.case_id}" if one.case_id else "no case"])


def remove_case_row(conn: Connection, chance: random.Random) -> Tampered:
    row = _pick(conn, chance, events.c.case_id.is_not(None))
    conn.execute(delete(case_rows).where(case_rows.c.case_id == row.case_id))
    return Tampered([f"case {row.case_id}: its row is missing"])


def remove_all_events_of_a_case(conn: Connection, chance: random.Random) -> Tampered:
    row = _pick(conn, chance, events.c.case_id.is_not(None))
    _remove(conn, *_positions_of(conn, row.case_id))
    return Tampered([f"case {row.case_id}: its row counts"])


def remove_case_and_events(conn: Connection, chance: random.Random) -> Tampered:
    row = _pick(conn, chance, events.c.case_id.is_not(None))
    _remove(conn, *_positions_of(conn, row.case_id))
    conn.execute(delete(case_rows).where(case_rows.c.case_id == row.case_id))
    return Tampered([f"case {row.case_id}: its row is missing, though tasks"])


def remove_every_trace_of_a_case(conn: Connection, chance: random.Random) -> Tampered:
    row = _pick(conn, chance, events.c.case_id.is_not(None))
    positions = _positions_of(conn, row.case_id)
    _remove(conn, *positions)
    for table in ("candidates", "tasks", "decisions", "cases"):
        where = f"task_id IN (SELECT task_id FROM tasks WHERE case_id = '{row.case_id}')"
        conn.execute(
            text(f"DELETE FROM {table} WHERE " + (where if table == "candidates" else f"case_id = '{row.case_id}'"))
        )
    return Tampered([f"position {positions[0]} ", f"positions {positions[0]} "])


def cut_the_tail(conn: Connection, chance: random.Random) -> Tampered:
    row = _pick(conn, chance)
    positions = _from(conn, row.position)
    _remove(conn, *positions)
    return Tampered([f"position {positions[0]}", f"positions {positions[0]} "])


def cut_the_tail_and_fix_the_head(conn: Connection, chance: random.Random) -> Tampered:
    """Someone who recomputes the head of the audit log forgets the rows of the cases."""
    row = _pick(conn, chance, events.c.case_id.is_not(None))
    _remove(conn, *_from(conn, row.position))
    tree, its = Tree(), event_positions.join(events, events.c.number == event_positions.c.number)
    in_order = select(events.c.hash).select_from(its).order_by(event_positions.c.position)
    for hash_ in conn.execute(in_order).scalars():
        tree.add(leaf_of(hash_))
    conn.execute(update(chain).values(position=tree.size, peaks=tree.text()))
    return Tampered([f"case {row.case_id}"])


def cut_a_case_and_mend_its_row(conn: Connection, chance: random.Random) -> Tampered:
    """The newest event of a closed case that says how it ended; its result still names it."""
    row = _pick(conn, chance, events.c.kind == "ended")
    newest = conn.execute(select(events.c.seq).where(events.c.case_id == row.case_id)).scalars().all()
    later = [position for position in _positions_of(conn, row.case_id) if position >= row.position]
    _remove(conn, *later)
    conn.execute(
        update(case_rows)
        .where(case_rows.c.case_id == row.case_id)
        .values(head_count=len(newest) - len(later), head_hash=row.prev_hash)
    )
    return Tampered([f"case {row.case_id}: it ended with"])


def edit_case_head(conn: Connection, chance: random.Random) -> Tampered:
    row = _pick(conn, chance, events.c.case_id.is_not(None))
    value: dict[str, Any] = chance.choice([{"head_count": 1}, {"head_count": 99}, {"head_hash": "0" * 64}])
    conn.execute(update(case_rows).where(case_rows.c.case_id == row.case_id).values(value))
    return Tampered([f"case {row.case_id}"])


def edit_result(conn: Connection, chance: random.Random) -> Tampered:
    row = _pick(conn, chance, events.c.kind == "ended")
    result = conn.execute(select(case_rows.c.result).where(case_rows.c.case_id == row.case_id)).scalar_one()
    value = chance.choice([{**result, "audit": {"count": n, "hash": "0" * 64}} for n in (2, 99)] + ["x", {}])
    conn.execute(update(case_rows).where(case_rows.c.case_id == row.case_id).values(result=value))
    return Tampered([f"case {row.case_id}"])


def edit_head_of_the_audit_log(conn: Connection, chance: random.Random) -> Tampered:
    (peaks,) = conn.execute(select(chain.c.peaks)).scalars()
    forged = chance.choice(["", "0" * len(peaks), peaks[64:], peaks + "0" * 64])
    conn.execute(chance.choice([update(chain).values(peaks=forged), delete(chain)]))
    return Tampered(["the head of the audit log"])


def remove_a_position(conn: Connection, chance: random.Random) -> Tampered:
    row = _pick(conn, chance)
    conn.execute(delete(event_positions).where(event_positions.c.position == row.position))
    return Tampered([f"event {row.event_id} (no position"])


def remove_an_event_and_leave_its_position(conn: Connection, chance: random.Random) -> Tampered:
    row = _pick(conn, chance)
    conn.execute(delete(events).where(events.c.number == row.number))
    return Tampered([f"position {row.position} ", f"no events at position {row.position}"])


def insert_event_without_a_position(conn: Connection, chance: random.Random) -> Tampered:
    row = _forge(conn, chance, -1)
    conn.execute(delete(event_positions).where(event_positions.c.position == -1))
    return Tampered([f"event {row['event_id']} (no position"])


def edit_the_head_of_events_without_a_case(conn: Connection, chance: random.Random) -> Tampered:
    conn.execute(chance.choice([update(caseless_head).values(count=0), delete(caseless_head)]))
    return Tampered(["the head of the events without a case"])


def forge_a_block_root(conn: Connection, chance: random.Random) -> Tampered:
    position = chance.choice([7, 256, 512])
    conn.execute(insert(event_blocks).values(position=position, root="0" * 64))
    return Tampered([f"block root at position {position}"])


TAMPERINGS = [
    edit_envelope,
    edit_envelope_and_its_hash,
    edit_payload,
    remove_payload,
    swap_payloads,
    remove_event,
    remove_event_and_close_the_gap,
    insert_event,
    insert_event_in_the_middle,
    swap_events,
    remove_case_row,
    remove_all_events_of_a_case,
    remove_case_and_events,
    remove_every_trace_of_a_case,
    cut_the_tail,
    cut_the_tail_and_fix_the_head,
    cut_a_case_and_mend_its_row,
    edit_case_head,
    edit_result,
    edit_head_of_the_audit_log,
    remove_a_position,
    remove_an_event_and_leave_its_position,
    insert_event_without_a_position,
    edit_the_head_of_events_without_a_case,
    forge_a_block_root,
]


@pytest_asyncio.fixture(scope="module")
async def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file that holds the story, for copies."""
    file = tmp_path_factory.mktemp("story") / "holdgate.db"
    db = Database(migrated_copy(file))
    await _tell(db)
    found = await audit_log.verify(db)
    assert found.problems == [] and 50 <= found.events <= 70
    await db.close()
    return file


@pytest.fixture
def told_file(story: Path, tmp_path: Path) -> Path:
    """Return a file of this test that holds the story."""
    return Path(shutil.copy(story, tmp_path / "told.db"))


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
async def test_a_changed_audit_log_is_detected(
    tamper: Callable[[Connection, random.Random], Tampered], told_file: Path, tmp_path: Path
) -> None:
    chance = random.Random(f"{SEED} {tamper.__name__}")
    for _ in range(3):
        copy = shutil.copy(told_file, tmp_path / "copy.db")
        await _find_out(tamper, f"sqlite:///{copy}", chance)


@pytest.mark.parametrize("tamperings", [TAMPERINGS[::5], pytest.param(TAMPERINGS, marks=pytest.mark.soak)], ids=len)
async def test_a_changed_audit_log_is_detected_on_postgresql(
    tamperings: list[Callable[[Connection, random.Random], Tampered]], postgres_url: str, postgres_server: Postgres
) -> None:
    db = Sequenced(postgres_url)
    await _tell(db)
    assert (await audit_log.verify(db)).problems == []
    await db.close()
    chance = random.Random(SEED)
    for tamper in tamperings:
        copy = postgres_server.create(postgres_url.rpartition("/")[2])
        await _find_out(tamper, postgres_server.url(copy), chance)
        postgres_server.drop(copy)


async def test_a_changed_order_is_narrowed_down_to_its_block(sqlite_url: str) -> None:
    db = Database(sqlite_url)
    new = [new_case(f"INV-{number}") for number in range(600)]
    async with db.write() as conn:
        await cases.insert_many(conn, [(case, event(case.case_id, 0)) for case in new])
    with _tool(sqlite_url) as conn_:
        _swap(conn_, event_positions.c.position, 300, 301)
    problems = (await audit_log.verify(db)).problems
    await db.close()
    assert len(problems) == 1 and "positions 257 to 512" in problems[0]


@pytest.mark.parametrize(
    ("table", "column"), [("events", name) for name in ("seq", "at", "kind", "digest", "hash", "case_id")]
    + [("event_payloads", "salt"), ("event_payloads", "payload"), ("cases", "head_count"), ("cases", "result"),
       ("chain", "position"), ("event_positions", "number"), ("caseless_head", "hash"), ("seal_positions", "hash")],
)  # fmt: skip
@pytest.mark.parametrize("value", ["rubbish", b"\xff\x00"], ids=["text", "bytes"])
async def test_values_of_any_type_are_found_and_break_nothing(
    told_file: Path, table: str, column: str, value: object
) -> None:
    with sqlite3.connect(told_file) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = 1", (value,))
    connection.close()
    db = Database(f"sqlite:///{told_file}")
    assert (await audit_log.verify(db)).problems
    await db.close()


async def test_a_case_that_only_the_ledger_remembers_is_named(sqlite_url: str) -> None:
    with _tool(sqlite_url) as conn:
        conn.execute(
            text(
                "INSERT INTO entries (entry_id, idempotency_key, kind, case_id, reference, at)"
                " VALUES (1, 'k', 'hold', 'payment:gone', 'GONE', '2026-11-23 09:00:00')"
            )
        )
    db = Database(sqlite_url)
    problems = (await audit_log.verify(db)).problems
    assert "case payment:gone: its row is missing, though ledger entries name it" in problems
    await db.close()


async def test_a_viewer_sees_nothing_of_an_empty_database(db: Database) -> None:
    async with db.read() as conn:
        assert await cases.page(conn, Viewer(id="a", groups=["admins"], scope=OVERSEER)) == ([], None)


async def _find_out(tamper: Callable[[Connection, random.Random], Tampered], url: str, chance: random.Random) -> None:
    with _tool(url) as conn:
        tampered = tamper(conn, chance)
    db = Database(url)
    problems = (await audit_log.verify(db)).problems
    await db.close()
    assert any(name in problem for name in tampered.names for problem in problems), (tampered, problems)


@contextmanager
def _tool(url: str) -> Iterator[Connection]:
    """What an intruder with write access has: SQL without foreign keys."""
    where = normalised(url)
    engine = create_engine(where.set(drivername="sqlite") if where.get_backend_name() == "sqlite" else where)
    with engine.begin() as conn:
        if engine.dialect.name == "postgresql":
            conn.execute(text("SET LOCAL session_replication_role = replica"))
        yield conn
    engine.dispose()


def _remove(conn: Connection, *positions: int) -> None:
    its = select(event_positions.c.number).where(event_positions.c.position.in_(positions))
    numbers = conn.execute(its).scalars().all()
    for table in (event_payloads, events, event_positions):
        conn.execute(delete(table).where(table.c.number.in_(numbers)))


def _positions_of(conn: Connection, case_id: str) -> list[int]:
    query = select(event_positions.c.position).join(events, events.c.number == event_positions.c.number)
    found = conn.execute(query.where(events.c.case_id == case_id).order_by(event_positions.c.position))
    return list(found.scalars())


def _from(conn: Connection, position: int) -> list[int]:
    return list(
        conn.execute(select(event_positions.c.position).where(event_positions.c.position >= position)).scalars()
    )


def _shift(conn: Connection, first: int, by: int) -> None:
    column = event_positions.c.position
    # Through negative numbers, past the unique index.
    conn.execute(update(event_positions).where(column >= first).values(position=-column - by))
    conn.execute(update(event_positions).where(column < 0).values(position=-column))


def _swap(conn: Connection, column: Any, one: int, two: int) -> None:
    for old, new in ((one, -1), (two, one), (-1, two)):
        conn.execute(update(column.table).where(column == old).values({column.name: new}))


def _forge(conn: Connection, chance: random.Random, position: int) -> dict[str, Any]:
    """A new event at the end of some case's chain, sealed as we would."""
    of = _pick(conn, chance, events.c.case_id.is_not(None))
    newest = conn.execute(
        select(events).where(events.c.case_id == of.case_id).order_by(events.c.seq.desc()).limit(1)
    ).one()
    payload = '{"data":{},"summary":"It was approved"}'
    envelope: dict[str, Any] = {
        "event_id": f"{of.case_id}/forged",
        "case_id": of.case_id,
        "seq": newest.seq + 1,
        "at": newest.at,
        "kind": "approved",
        "actor": "manager-1",
        "digest": hashing.digest_of("salt", payload),
        "prev_hash": newest.hash,
    }
    number = 1 + conn.execute(select(events.c.number).order_by(events.c.number.desc()).limit(1)).scalar_one()
    row = envelope | {"number": number, "hash": hashing.hash_of(**envelope)}
    conn.execute(insert(events).values(row))
    conn.execute(insert(event_payloads).values(number=number, salt="salt", payload=payload))
    conn.execute(insert(event_positions).values(position=position, number=number))
    return row
