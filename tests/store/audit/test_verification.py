"""`audit verify` names every row of the database that Holdgate did not write."""

import asyncio
import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Integer,
    UniqueConstraint,
    create_engine,
    insert,
    select,
    text,
    update,
)

from domain.records import CaseRecord, DecisionRecord
from domain.status import Status
from store.audit import audit_log, row_digest
from store.audit.seals import NOT_SEALED, PROVEN_ELSEWHERE, SHAPES
from store.audit.verification import Folders, verify, verify_case
from store.cases import cases, policies, tasks
from store.db.database import Database, migrate
from store.tables.audit import event_payloads, events
from store.tables.base import Instant, metadata
from tests.store.sample_cases import decision, ending, event, new_case, opening, recorded, submitted, task
from tests.support.postgres import Postgres

pytestmark = pytest.mark.both_databases

SEALED = [shape.table for shape in SHAPES.values()]
ROWS = (1, 2, 3, 4, 5, 6)
"""The rows in each table. One verification looks at an edit of a column in each of them: more rows, fewer of them."""


def test_every_column_is_proven_or_it_is_said_why_not() -> None:
    for table in metadata.sorted_tables:
        sealed, reason = table.name in SHAPES, NOT_SEALED.get(table)
        assert sealed != bool(reason), table.name
        if sealed:
            elsewhere = PROVEN_ELSEWHERE.get(table, {})
            assert {*SHAPES[table.name].names, *elsewhere} == set(table.c.keys()) and all(elsewhere.values())


# ------------------------------------------------------------------------------------ any edit of any column of any row


def value_of(column: Column[Any], number: int) -> Any:
    """A value of the `number`-th row, another one in each row; foreign keys point to the row of the same number."""
    if column.name in {"debit", "credit"}:
        return number if column.name == "debit" else 0
    match column.type:
        case Instant():
            return datetime(2026, 11, 23, 9, number, tzinfo=UTC)
        case Boolean():
            return number == 2
        case JSON():
            return {"number": number}
        case Integer() | BigInteger():
            return number
        case _:
            if column.table.name == "policies":
                return (
                    f"Text {number}" if column.name == "text" else hashlib.sha256(f"Text {number}".encode()).hexdigest()
                )
            return f"Text {number}"[-(getattr(column.type, "length", None) or 6) :]


async def filled(db: Database) -> None:
    """Put these rows into each sealed table, the way all rows come there: by statements of a transaction."""
    for number in ROWS:
        async with db.write() as conn:
            for table in metadata.sorted_tables:
                if table.name in SHAPES:
                    await conn.execute(insert(table).values({column: value_of(column, number) for column in table.c}))


@pytest.fixture(scope="module")
def filled_file(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with these rows in each sealed table. As rows of no process they are nothing else."""
    path = Path(shutil.copy(sqlite_template, tmp_path_factory.mktemp("filled") / "filled.db"))

    async def fill() -> None:
        db = Database(f"sqlite:///{path}")
        await filled(db)
        await db.close()

    asyncio.run(fill())
    return path


async def of_rows(url: str) -> list[str]:
    """What is said of rows; what is said of events and sums is another matter here, for these rows have none."""
    db = Database(url)
    try:
        problems = (await verify(db)).problems
    finally:
        await db.close()
    ours = [problem for problem in problems if problem.startswith(("table ", "seal", "the head of the seals"))]
    return [problem for problem in ours if "does not have this hash" not in problem]


def cells_of(round_: int) -> Iterator[tuple[Column[Any], int]]:
    """Of each sealed table as many columns as rows, and in which row each is edited, until all had their round."""
    for table in SEALED:
        proven = [column for column in table.c if column.name not in PROVEN_ELSEWHERE.get(table, {})]
        yield from zip(proven[round_ * len(ROWS) :], ROWS, strict=False)


ROUNDS = range(-(-max(len(table.c) for table in SEALED) // len(ROWS)))


def other_value(column: Column[Any]) -> str:
    return "2026-11-23 09:01:00.000001" if isinstance(column.type, Instant) else "7"


EDITS: dict[str, Callable[[Column[Any]], str | None]] = {
    "another value": lambda column: f"'{other_value(column)}'",
    "the value of another row": lambda column: (
        f"(SELECT o.{column.name} FROM {column.table.name} o"
        f" WHERE o.rowid = {column.table.name}.rowid % {len(ROWS)} + 1)"
    ),
    "null": lambda column: "NULL" if column.nullable and not column.primary_key else None,
    "a blob": lambda _: "x'ff00'",
    "a text that is none": lambda _: "CAST(x'ff41' AS TEXT)",
    "other letters": lambda column: f"upper({column.name})" if _is_text(column) else None,
    "a blank at the end": lambda column: f"{column.name} || ' '" if _is_text(column) else None,
    "the same as text in a blob": lambda column: f"CAST({column.name} AS BLOB)",
}


def _is_text(column: Column[Any]) -> bool:
    return not isinstance(column.type, Integer | BigInteger | Boolean | Instant | JSON) and column.name not in {
        "hash",
        "sha256",
        "digest",
    }


@pytest.mark.parametrize("how", EDITS)
async def test_an_edit_of_any_column_is_named(how: str, filled_file: Path, tmp_path: Path) -> None:
    named: list[bool] = []
    for round_ in ROUNDS:
        copy = tmp_path / "copy.db"
        shutil.copy(filled_file, copy)
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            edited = [column for column, row in cells_of(round_) if _edit(connection, column, row, EDITS[how](column))]
        problems = await of_rows(f"sqlite:///{copy}")
        for table in SEALED:
            ours = [problem for problem in problems if problem.startswith(f"table {table.name}, ")]
            for column in [column for column in edited if column.table is table]:
                if column.primary_key:
                    assert [p for p in ours if p.endswith("was deleted")], (column, ours)
                else:
                    # Salts are random: of 65,536 edits one is noticed and its column not named.
                    assert [p for p in ours if _names(p, column) or p.endswith(": it was changed")], (column, ours)
                    named.append(any(_names(p, column) for p in ours))
            assert edited or not ours
            assert ours or not [column for column in edited if column.table is table]
    assert named.count(False) <= 1


def _names(problem: str, column: Column[Any]) -> bool:
    return str(column.name) in problem.partition("wrote into ")[2].replace(",", "").split()


def _edit(connection: sqlite3.Connection, column: Column[Any], row: int, new: str | None) -> bool:
    """Edit the column in this row; False where the database refuses it or the value is the same."""
    if new is None:
        return False
    shown = f"SELECT quote(CAST({column.name} AS BLOB)), typeof({column.name}) FROM {column.table.name} WHERE rowid = ?"
    before = connection.execute(shown, (row,)).fetchone()
    try:
        connection.execute(f"UPDATE {column.table.name} SET {column.name} = {new} WHERE rowid = ?", (row,))
    except sqlite3.IntegrityError:
        return False
    return bool(connection.execute(shown, (row,)).fetchone() != before)


ROW_EDITS = {
    "deleted": "DELETE FROM {table} WHERE rowid = 1",
    "inserted": "CREATE TEMP TABLE taken AS SELECT * FROM {table} WHERE rowid = 1; UPDATE taken SET {fresh};"
    "INSERT INTO {table} SELECT * FROM taken; DROP TABLE taken",
    "exchanged": "CREATE TEMP TABLE taken AS SELECT * FROM {table} WHERE rowid = 1;"
    "DELETE FROM {table} WHERE rowid = 1; UPDATE {table} SET {keys} WHERE rowid = 2;"
    "DROP TABLE taken",
}


@pytest.mark.parametrize("how", ROW_EDITS)
async def test_a_row_that_is_deleted_inserted_or_takes_anothers_place_is_named(
    how: str, filled_file: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(filled_file, copy)
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for table in SEALED:
            unique = {column.name for column in table.primary_key}
            for key in table.constraints:
                if isinstance(key, UniqueConstraint):
                    unique |= {column.name for column in key.columns}
            fresh = ", ".join(
                f"{name} = 9" if isinstance(table.c[name].type, Integer | BigInteger) else f"{name} = {name} || 'x'"
                for name in sorted(unique)
            )
            keys = ", ".join(f"{c.name} = (SELECT {c.name} FROM taken)" for c in table.primary_key)
            connection.executescript(ROW_EDITS[how].format(table=table.name, fresh=fresh, keys=keys))
    problems = await of_rows(f"sqlite:///{copy}")
    for table in SEALED:
        ours = [problem for problem in problems if problem.startswith(f"table {table.name},")]
        said = sorted(problem.split(" was ")[1].partition(":")[0] for problem in ours)
        only_keys = len(table.primary_key) == len(table.c)
        exchanged = ["deleted"] if only_keys else ["deleted", "edited"]
        assert said == {"deleted": ["deleted"], "inserted": ["inserted"], "exchanged": exchanged}[how], (table, ours)


async def test_edits_on_postgresql_are_named(postgres_url: str, postgres_server: Postgres) -> None:
    db = Database(postgres_url)
    await filled(db)
    await db.close()
    assert await of_rows(postgres_url) == []
    engine = create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:"))
    edited = []
    with engine.begin() as connection:
        connection.execute(text("SET session_replication_role = replica"))
        for place, table in enumerate(SEALED):
            others = [c for c in table.c if not c.primary_key and not c.unique and c.name not in ("debit", "credit")]
            others = [c for c in others if c.name not in PROVEN_ELSEWHERE.get(table, {})]
            if not others:
                continue
            column = others[place % len(others)]
            if isinstance(column.type, JSON):
                new = """'{"number": "7"}'"""
            elif isinstance(column.type, Boolean):
                new = f"NOT {column.name}"
            elif isinstance(column.type, Integer | BigInteger):
                new = "70"
            else:
                new = f"'{other_value(column)}'"
            first = next(iter(table.primary_key))
            first_value = value_of(first, 1)
            connection.execute(
                text(f"UPDATE {table.name} SET {column.name} = {new} WHERE {first.name} = :key"), {"key": first_value}
            )
            edited.append(column)
    engine.dispose()
    problems = await of_rows(postgres_url)
    assert len(edited) > 25
    for column in edited:
        ours = [problem for problem in problems if problem.startswith(f"table {column.table.name}, ")]
        assert len(ours) == 1 and (column.name in ours[0] or ours[0].endswith("it was changed")), (column, ours)


# ------------------------------------------------------------------------------------------------- the seals themselves


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM seals WHERE number = 2", "seals 2 to 2 are missing"),
        ("DELETE FROM seals WHERE number = (SELECT max(number) FROM seals)", "seals were cut off"),
        ("UPDATE seals SET salt = NULL, rows = NULL WHERE number = 2", "was emptied, and no later event"),
        ("UPDATE seals SET rows = rows || ' ' WHERE number = 2", "does not match its digest"),
        ("UPDATE seals SET rows = x'ff00' WHERE number = 2", "does not match its digest"),
        ("UPDATE seals SET digest = 'x' WHERE number = 2", "does not follow"),
        ("UPDATE seal_positions SET hash = 'x' WHERE position = 2", "does not follow"),
        ("DELETE FROM seal_positions WHERE position = 2", "does not wait to be sequenced"),
        (
            "UPDATE seal_positions SET number = -number WHERE position < 3;"
            "UPDATE seal_positions SET number = 3 + number WHERE number < 0",  # 1 and 2 change places
            "does not follow",
        ),
        ("UPDATE seals SET case_id = 'another' WHERE number = 2", "does not follow"),
        ("UPDATE chain SET seals_hash = 'x'", "the head of the seals"),
        ("UPDATE chain SET seals = 2", "the head of the seals"),
        ("UPDATE chain SET seals = 'x'", "the head of the seals"),
    ],
)
async def test_an_edit_of_the_seals_is_named(statement: str, words: str, filled_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(filled_file, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.executescript(statement)
    problems = await of_rows(f"sqlite:///{copy}")
    assert any(words in problem for problem in problems), problems


# ------------------------------------------------------------------------------------------------------ the whole story


async def told(db: Database) -> None:
    """A policy, two cases with a task each, and a decision on one of them."""
    async with db.write() as conn:
        await policies.keep(conn, hashlib.sha256(b"a policy").hexdigest(), "a policy")
    for reference in ("A", "B"):
        case = await submitted(db, reference, policy_hash=hashlib.sha256(b"a policy").hexdigest())
        view = task(case.case_id)
        await recorded(db, opening(view))
        if reference == "A":
            await recorded(db, ending(view))


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        ("UPDATE decisions SET verdict = 'reject'", ("table decisions", "case payment:a", "verdict")),
        ("UPDATE decisions SET person = 'manager-2'", ("table decisions", "case payment:a", "person")),
        ("DELETE FROM decisions", ("table decisions", "case payment:a", "deleted")),
        ("UPDATE cases SET status = 'rejected' WHERE case_id = 'payment:a'", ("table cases", "payment:a", "status")),
        ("UPDATE cases SET input = '{\"amount\": \"99.00\"}'", ("table cases", "payment:a", "input")),
        ("UPDATE tasks SET title = 'Pay nothing'", ("table tasks", "case payment:a", "title")),
        ("UPDATE candidates SET name = 'thieves' WHERE kind = 'group'", ("table candidates", "thieves", "inserted")),
        ("UPDATE policies SET text = 'another'", ("table policies", "text")),
    ],
)  # fmt: skip
async def test_a_case_alone_names_the_edit_of_its_rows(edit: str, named: tuple[str, ...], sqlite_url: str) -> None:
    db = Database(sqlite_url)
    await told(db)
    async with db.read() as conn:
        assert (await verify_case(conn, "payment:a")).problems == []
    with closing(sqlite3.connect(sqlite_url.partition("///")[2], isolation_level=None)) as connection:
        connection.execute(edit)
    async with db.read() as conn:
        problems = (await verify_case(conn, "payment:a")).problems
    assert any(all(words in problem for words in named) for problem in problems), problems
    everything = (await verify(db)).problems
    assert any(all(words in problem for words in named) for problem in everything)
    await db.close()


async def test_an_emptied_event_is_erased_only_where_a_later_event_says_so(db: Database) -> None:
    await told(db)
    async with db.write() as conn:
        named = {"event_ids": ["payment:a/1"], "reason": "asked"}
        await audit_log.note(conn, "erased", by="ada", summary="Erased", data=named)
        emptied = select(events.c.number).where(events.c.event_id.in_(["payment:a/1", "payment:b/1"]))
        await conn.execute(
            update(event_payloads).where(event_payloads.c.number.in_(emptied)).values(salt=None, payload=None)
        )
    found = await verify(db)
    assert found.erased == 1
    assert len(found.problems) == 1 and "event payment:b/1 " in found.problems[0] and "was emptied" in found.problems[0]
    async with db.read() as conn:
        assert (await verify_case(conn, "payment:a")).problems == []
        assert (await verify_case(conn, "payment:b")).problems == found.problems


async def test_an_erasure_does_not_excuse_what_is_emptied_after_it(db: Database) -> None:
    async with db.write() as conn:
        await audit_log.note(conn, "erased", by="ada", summary="Erased", data={"positions": [2], "reason": "asked"})
        await audit_log.note(conn, "person_added", by="ada", summary="Added", data={"person": "mia"})
        second = select(events.c.number).where(events.c.seq == 2).scalar_subquery()
        await conn.execute(
            update(event_payloads).where(event_payloads.c.number == second).values(salt=None, payload=None)
        )
    lists_too_much, emptied = (await verify(db)).problems
    assert "lists event at position 2 as erased" in lists_too_much
    assert "position 2" in emptied and "was emptied" in emptied


async def test_files_and_texts_are_compared_with_their_hashes(sqlite_url: str, tmp_path: Path) -> None:
    db = Database(sqlite_url)
    folders = Folders(tmp_path / "attachments", tmp_path / "uploads")
    good, bad = (hashlib.sha256(data).hexdigest() for data in (b"good", b"bad"))
    for folder in folders:
        folder.mkdir()
    for name, data in ((good, b"good"), (bad, b"replaced")):
        (folders.attachments / name).write_bytes(data)
        (folders.uploads / f"{name}.csv").write_bytes(data)
    case = await submitted(db)
    attachments, batches = metadata.tables["attachments"], metadata.tables["batches"]
    async with db.write() as conn:
        for name in (good, bad, "0" * 64):
            about: dict[str, Any] = {
                "attachment_id": name[:8],
                "sha256": name,
                "batch_id": name[:8],
                "path": f"{name}.csv",
            }
            about["erased_at"] = None
            for table in (attachments, batches):
                row = {column.name: value_of(column, 1) for column in table.c} | {"case_id": case.case_id}
                row |= about
                await conn.execute(insert(table).values({name: row[name] for name in row if name in table.c}))
    problems = (await verify(db, folders=folders)).problems
    assert len(problems) == 4 and all(name[:8] in " ".join(problems) for name in (bad, "0" * 64))
    assert good not in " ".join(problems)
    async with db.read() as conn:
        assert len((await verify_case(conn, case.case_id, folders)).problems) == 2
    await db.close()


async def test_a_record_under_load_is_intact_at_every_moment(db: Database, another_db: Callable[[], Database]) -> None:
    """Two processes write to the same cases in the order that suits them, and a third checks."""
    new = [new_case(f"INV-{number}") for number in range(12)]
    async with db.write() as conn:
        await cases.insert_many(conn, [(case, event(case.case_id, 0)) for case in new])
    other, checking, done = another_db(), another_db(), asyncio.Event()

    async def work() -> None:
        for case in new:
            view = task(case.case_id)
            waiting = CaseRecord(
                case_id=case.case_id,
                status=Status.AWAITING_APPROVAL,
                decisions=[DecisionRecord(decision=decision(view))],
                events=[event(case.case_id, 9, "decided")],
            )
            await recorded(db, opening(view))
            await recorded(db, waiting)
            await recorded(db, ending(view))

    async def gateway() -> None:
        for case in new:
            async with other.write() as conn:
                await cases.mark_running(conn, [case.case_id], Status.RUNNING)
            async with other.write() as conn:
                await tasks.add_pending(conn, decision(task(case.case_id)), case.case_id)
            async with other.write() as conn:
                await audit_log.append(conn, [event(case.case_id, 20, "commented")])

    async def check() -> int:
        times = 0
        while not done.is_set():
            assert (await verify(checking)).problems == []
            times += 1
        return times

    checks = asyncio.create_task(check())
    await asyncio.gather(work(), gateway())
    done.set()
    assert await checks >= 1
    assert (await verify(checking)).problems == []


async def test_rows_that_were_there_before_are_sealed_when_the_database_is_upgraded(sqlite_url: str) -> None:
    db = Database(sqlite_url)
    await told(db)
    path = sqlite_url.partition("///")[2]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM seal_positions")
        connection.execute("DELETE FROM seals")
        connection.execute("UPDATE chain SET seals = 0, seals_hash = ''")
    assert (await verify(db)).problems
    migrate(sqlite_url)
    assert (await verify(db)).problems == []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE decisions SET verdict = 'reject'")
    migrate(sqlite_url)
    (problem,) = (await verify(db)).problems
    assert "verdict" in problem
    await db.close()


def test_many_problems_are_grouped_and_counted() -> None:
    from store.audit.verification.result import Verification

    rows = [f"table {name}, row {number} was deleted" for number in range(80) for name in ("tasks", "cases")]
    lines = Verification(problems=["event x was edited", *rows], events=1, cases=1, erased=0).lines()
    assert len(lines) == 101 and lines[0] == "event x was edited" and lines[-1].startswith("and 61 more problems")
    assert all("table tasks" in line for line in lines[1:81])


def test_the_words_of_a_seal_do_not_tell_what_was_in_the_row() -> None:
    shape = SHAPES["passwords"]
    row = ("mia", "argon2", 0, "2026-11-23 09:00:00.000000")
    one, two = row_digest.seal_of(shape, row, "salt"), row_digest.seal_of(shape, row, "another salt")
    assert one != two and row_digest.differing(shape, one, one) == []
