"""A check finds every random change of the audit log, and every rewrite of it if a checkpoint is from before."""

import asyncio
import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from store.audit.checkpoints.note import SigningKey
from store.audit.checkpoints.sign import Signer
from store.audit.hashing import canonical, digest_of, hash_of
from store.audit.tree import BLOCK, Tree, leaf_of
from store.audit.verification import Trust, verify
from store.cases import cases
from store.db.database import Database, migrate
from store.people import people
from store.tables.audit import (
    caseless_head,
    chain,
    checkpoints,
    event_blocks,
    event_payloads,
    event_positions,
    events,
    seal_positions,
    seals,
    unsequenced,
)
from store.tables.notifications import leases
from tests.store.sample_cases import ending, event, new_case, opening, recorded, submitted, task

KEY = SigningKey.new("holdgate.example/record")
TABLES = (
    *(events, event_payloads, event_positions, event_blocks, seals, seal_positions, checkpoints, chain, caseless_head),
    unsequenced,
)


@pytest.fixture(scope="module")
def signed_file(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with some 300 events, two checkpoints in the database, and events that no checkpoint covers."""
    folder = tmp_path_factory.mktemp("signed")
    path = Path(shutil.copy(sqlite_template, folder / "holdgate.db"))

    async def fill() -> None:
        db = Database(f"sqlite:///{path}")
        for reference in "ABCDEF":
            view = task((await submitted(db, reference)).case_id)
            await recorded(db, opening(view))
            await recorded(db, ending(view))
        async with db.write() as conn:
            await people.add(conn, "mia", "Mia", [], by="ada")
        await Signer(db, KEY, [], folder / "checkpoints").look()
        new = [new_case(f"INV-{number}") for number in range(BLOCK)]
        async with db.write() as conn:
            await cases.insert_many(conn, [(case, event(case.case_id, 0)) for case in new])
            await conn.execute(leases.delete())
        await Signer(db, KEY, [], folder / "checkpoints").look()
        await db.close()

    asyncio.run(fill())
    return path


def trust_of(path: Path) -> Trust:
    """The key, and the checkpoints that were exported when the file was made."""
    return Trust([KEY.verifier], path.parent / "checkpoints")


def problems_of(path: Path, trust: Trust) -> list[str]:
    async def check() -> list[str]:
        db = Database(f"sqlite:///{path}")
        try:
            return (await verify(db, trust=trust)).problems
        finally:
            await db.close()

    return asyncio.run(check())


# ---------------------------------------------------------------------------------------------- edits without a plan

Connection = sqlite3.Connection
Choice = tuple[str, list[str], int]


def any_row(conn: Connection, chance: random.Random) -> Choice | None:
    """A table, its columns and one of its rows."""
    table = chance.choice(TABLES)
    rows = conn.execute(f"SELECT rowid FROM {table.name}").fetchall()
    return (
        (table.name, [column.name for column in table.c if column.name != "id"], chance.choice(rows)[0])
        if rows
        else None
    )


def edit(conn: Connection, chance: random.Random) -> str | None:
    """Give one column another value: of another row, a similar one, or rubbish."""
    if (chosen := any_row(conn, chance)) is None:
        return None
    table, columns, row = chosen
    column = chance.choice(columns)
    old = conn.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (row,)).fetchone()[0]
    others = [each[0] for each in conn.execute(f"SELECT {column} FROM {table}")]
    values: list[Any] = [chance.choice(others), None, "rubbish", b"\xff", chance.randbytes(32).hex(), 7]
    values += [old + chance.choice([-1, 1])] if isinstance(old, int) else []
    values += [old[:-1], old + " ", old.upper(), old[::-1]] if isinstance(old, str) else []
    conn.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new := chance.choice(values), row))
    return f"{table}.{column} of row {row}: {old!r} became {new!r}"


def swap(conn: Connection, chance: random.Random) -> str | None:
    """Let two rows change their values in one column, or in all columns but the key."""
    if (chosen := any_row(conn, chance)) is None:
        return None
    table, columns, row = chosen
    other = chance.choice(conn.execute(f"SELECT rowid FROM {table}").fetchall())[0]
    names = columns[1:] if chance.random() < 0.3 else [chance.choice(columns[1:])]
    listed, unknown = ", ".join(names), ", ".join("?" * len(names))
    one, two = (
        conn.execute(f"SELECT {listed} FROM {table} WHERE rowid = ?", (each,)).fetchone() for each in (row, other)
    )
    unique = [f"{chance.random()}" for _ in names]
    for values, where in ((unique, row), (one, other), (two, row)):
        conn.execute(f"UPDATE {table} SET ({listed}) = ({unknown}) WHERE rowid = ?", (*values, where))
    return f"{table}: {listed} of the rows {row} and {other} changed places"


def cut(conn: Connection, chance: random.Random) -> str | None:
    """Delete a row, the last rows, or some rows in the middle."""
    if (chosen := any_row(conn, chance)) is None:
        return None
    table, _, row = chosen
    last = chance.choice([row, row + chance.randrange(9), 2**62])
    gone = conn.execute(f"DELETE FROM {table} WHERE rowid BETWEEN ? AND ?", (row, last)).rowcount
    return f"{table}: {gone} rows from {row} on were deleted"


def insert(conn: Connection, chance: random.Random) -> str | None:
    """Insert a copy of a row with other keys."""
    if (chosen := any_row(conn, chance)) is None:
        return None
    table, _, row = chosen
    conn.row_factory = sqlite3.Row
    values = dict(conn.execute(f"SELECT * FROM {table} WHERE rowid = ?", (row,)).fetchone())
    conn.row_factory = None
    for name in ("id", "number", "position", "size", "event_id"):
        if isinstance(values.get(name), int):
            values[name] += chance.choice([1, -1, 1000, 2**40])
        elif name in values:
            values[name] += "/x"
    conn.execute(
        f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", [*values.values()]
    )
    return f"{table}: a copy of row {row} was inserted as {values}"


EDITS: tuple[Callable[[Connection, random.Random], str | None], ...] = (edit, swap, cut, insert)


def content(conn: Connection) -> list[Any]:
    return [conn.execute(f"SELECT * FROM {table.name} ORDER BY 1").fetchall() for table in TABLES]


def tampered(path: Path, copy: Path, chance: random.Random) -> str:
    """Copy the file and change it at random. Return what was changed."""
    while True:
        shutil.copy(path, copy)
        with closing(sqlite3.connect(copy, isolation_level=None)) as conn:
            conn.execute("PRAGMA ignore_check_constraints = ON")
            before = content(conn)
            try:
                if (said := chance.choice(EDITS)(conn, chance)) and content(conn) != before:
                    return said
            except sqlite3.IntegrityError:
                continue  # the database itself refuses it


def find_all(path: Path, folder: Path, number: int, seed: int) -> None:
    """Make so many random changes, each on a fresh copy, and demand that each is found."""
    chance = random.Random(seed)
    for _ in range(number):
        copy = folder / "copy.db"
        said = tampered(path, copy, chance)
        assert problems_of(copy, trust_of(path)), said


def test_the_file_itself_is_intact(signed_file: Path) -> None:
    assert problems_of(signed_file, trust_of(signed_file)) == []


def test_random_changes_are_found(signed_file: Path, tmp_path: Path) -> None:
    find_all(signed_file, tmp_path, 10, seed=random.randrange(2**32))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.timeout(600)
def test_a_thousand_random_changes_are_found(signed_file: Path, tmp_path: Path, seed: int) -> None:
    find_all(signed_file, tmp_path, 100, seed)


# ------------------------------------------------------------------------------------------- rewrites with all hashes


def rewritten(path: Path, copy: Path, chance: random.Random) -> str:
    """Change one event, and compute all hashes, heads and seals again, so that the database agrees with itself.

    The attacker also deletes the checkpoints, because without the key there is nothing to put in their place.
    """
    shutil.copy(path, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as conn:
        number, kind = chance.choice(conn.execute("SELECT number, kind FROM events").fetchall())
        how = chance.choice(["actor", "kind", "payload", "at"])
        if how == "payload":
            conn.execute("UPDATE event_payloads SET payload = ? WHERE number = ?", (_payload(chance), number))
        else:
            new = "2026-11-23 10:11:12.000000" if how == "at" else "another"
            conn.execute(f"UPDATE events SET {how} = ? WHERE number = ?", (new, number))
        _hash_again(conn)
        for table in ("seal_positions", "seals", "checkpoints"):
            conn.execute(f"DELETE FROM {table}")
        conn.execute("UPDATE chain SET seals = 0, seals_hash = ''")
    migrate(f"sqlite:///{copy}")  # seals all rows as they are now
    return f"{how} of event {number} ({kind})"


def _payload(chance: random.Random) -> str:
    return canonical({"summary": "Nothing happened", "data": {"by": chance.random()}})


def _hash_again(conn: Connection) -> None:
    heads: dict[str, tuple[int, str]] = {}
    tree = Tree()
    rows = conn.execute(
        "SELECT e.number, event_id, coalesce(case_id, ''), seq, at, kind, actor, salt, payload, position FROM events e"
        " JOIN event_payloads p ON p.number = e.number JOIN event_positions o ON o.number = e.number ORDER BY position"
    ).fetchall()
    for number, event_id, case_id, seq, at, kind, actor, salt, payload, position in rows:
        moment = f"{at.replace(' ', 'T')}+00:00"
        digest, before = digest_of(salt, payload), heads.get(case_id, (0, ""))[1]
        told = {"event_id": event_id, "case_id": case_id, "seq": seq, "at": moment, "kind": kind, "actor": actor}
        hash_ = hash_of(**told, digest=digest, prev_hash=before)
        heads[case_id] = seq, hash_
        conn.execute("UPDATE events SET digest=?, prev_hash=?, hash=? WHERE number=?", (digest, before, hash_, number))
        if block := tree.add(leaf_of(hash_)):
            conn.execute("UPDATE event_blocks SET root = ? WHERE position = ?", (block.hex(), position))
    for case_id, (count, hash_) in heads.items():
        conn.execute("UPDATE cases SET head_count = ?, head_hash = ? WHERE case_id = ?", (count, hash_, case_id))
        for (result,) in conn.execute("SELECT result FROM cases WHERE case_id = ? AND result LIKE '{%'", (case_id,)):
            new = json.loads(result) | {"audit": {"count": count, "hash": hash_}}
            conn.execute("UPDATE cases SET result = ? WHERE case_id = ?", (json.dumps(new), case_id))
    conn.execute("UPDATE caseless_head SET count = ?, hash = ?", heads[""])
    conn.execute("UPDATE chain SET position = ?, peaks = ?", (tree.size, tree.text()))


def find_rewrites(path: Path, folder: Path, number: int, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(number):
        copy = folder / "copy.db"
        said = rewritten(path, copy, chance)
        assert problems_of(copy, Trust([KEY.verifier])) == [], f"{said}: the attacker was not careful"
        assert any("does not fit the audit log" in problem for problem in problems_of(copy, trust_of(path))), said


def test_a_complete_rewrite_is_found_by_an_exported_checkpoint(signed_file: Path, tmp_path: Path) -> None:
    find_rewrites(signed_file, tmp_path, 3, seed=20)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_hundred_complete_rewrites_are_found(signed_file: Path, tmp_path: Path) -> None:
    find_rewrites(signed_file, tmp_path, 100, seed=21)
