"""Workers sign checkpoints of the audit log, and a check finds an audit log that does not continue them."""

import os
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text

from store.audit import audit_log, counters
from store.audit.checkpoints import files, sign
from store.audit.checkpoints.note import Checkpoint, SigningKey, VerifierKey, opened
from store.audit.checkpoints.sign import Rewritten, Signer
from store.audit.checkpoints.stored_tree import extended, proof
from store.audit.tree import BLOCK, Tree, leaf_of, root_of
from store.audit.verification import Trust, verify
from store.audit.verification.signed_heads import SignedHeads
from store.cases import cases
from store.db.database import Database, migrate
from store.tables.audit import checkpoints, events
from tests.store.sample_cases import event, new_case, submitted
from tests.support.migrated_database import migrated_copy

pytestmark = pytest.mark.both_databases

KEY = SigningKey.new("holdgate.example/record")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign, "PAUSE", timedelta(0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def signer(db: Database, folder: Path, key: SigningKey = KEY, *trusted: VerifierKey) -> Signer:
    return Signer(db, key, list(trusted), folder)


async def wrote(db: Database, number: int, start: int = 0) -> None:
    """Write so many events, each of a case of its own."""
    new = [new_case(f"INV-{start + each}") for each in range(number)]
    async with db.write() as conn:
        await cases.insert_many(conn, [(case, event(case.case_id, 0)) for case in new])


async def stored(db: Database) -> list[Checkpoint]:
    async with db.read() as conn:
        notes = (await conn.execute(select(checkpoints.c.note).order_by(checkpoints.c.size))).scalars().all()
    return [Checkpoint.read(opened(note, [KEY.verifier])) for note in notes]


def trust(folder: Path | None = None, **notes: list[str]) -> Trust:
    return Trust([KEY.verifier], folder, notes)


# -------------------------------------------------------------------------------------------------------------- signing


async def test_a_checkpoint_states_the_tree_over_all_events_and_the_seals(db: Database, folder: Path) -> None:
    maker = signer(db, folder)
    assert await maker.look() == 0, "an empty audit log needs no checkpoint"
    await wrote(db, 5)
    assert await maker.look() == 1 and await maker.look() == 0
    await wrote(db, 2 * BLOCK, start=5)
    async with db.read() as conn:
        hashes = (await conn.execute(select(events.c.hash).order_by(events.c.number))).scalars().all()
        seals = (await conn.execute(text("SELECT seals, seals_hash FROM chain"))).one()
    assert await maker.look() == 1
    tree = Tree()
    for each in hashes:
        tree.add(leaf_of(each))
    first, second = await stored(db)
    assert (first.size, second.size) == (5, 5 + 2 * BLOCK)
    assert second == Checkpoint(KEY.verifier.name, tree.size, tree.root(), *seals)
    exported = [note for path in files.exported(folder) for note in files.notes_of(path)]
    assert [Checkpoint.read(opened(note, [KEY.verifier])) for note in exported] == [first, second]
    found = await verify(db, trust=trust(folder))
    assert (found.problems, found.checkpoints, found.newest_checkpoint) == ([], 2, tree.size)
    assert found.head is not None and found.head.hash == tree.root().hex()


async def test_all_workers_together_sign_at_most_one_checkpoint_in_the_pause(
    db: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign, "PAUSE", timedelta(minutes=1))
    workers = [signer(db, folder), signer(db, folder)]
    signed = 0
    for number in range(4):
        await wrote(db, 1, start=number)
        signed += sum([await each.look() for each in workers])
    assert signed == 1
    async with db.write() as conn:
        await conn.execute(text("DELETE FROM leases"))
    assert await workers[1].look() == 1
    assert [each.size for each in await stored(db)] == [1, 4]


@pytest.mark.parametrize("where", ["the export", "the row"])
async def test_a_worker_that_is_killed_while_it_signs_leaves_nothing_wrong(
    db: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    await wrote(db, 3)

    class Killed(BaseException):
        pass

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if where == "the export":
            patch.setattr(files.Export, "append", kill)
        else:
            patch.setattr(sign, "insert_once", kill)
        with pytest.raises(Killed):
            await signer(db, folder).look()
    assert await stored(db) == [] and len(files.exported(folder)) == (where == "the row")
    next_worker = signer(db, folder)
    await wrote(db, 1, start=3)
    assert await next_worker.look() == 1
    assert [each.size for each in await stored(db)] == [4]
    assert (await verify(db, trust=trust(folder))).problems == []


async def test_a_new_worker_continues_from_the_exported_or_the_stored_checkpoint(db: Database, folder: Path) -> None:
    await wrote(db, 3)
    await signer(db, folder).look()
    assert await signer(db, folder).look() == 0
    await wrote(db, BLOCK, start=3)
    another_disk = folder.with_name("another")
    assert await signer(db, another_disk).look() == 1
    assert await signer(db, folder).look() == 1, "the first disk has an older one; the same size is exported there"
    assert [each.size for each in await stored(db)] == [3, BLOCK + 3]


async def test_after_a_change_of_keys_both_keys_are_trusted(db: Database, folder: Path) -> None:
    await wrote(db, 1)
    old = SigningKey.new(KEY.verifier.name)
    await signer(db, folder, old).look()
    await wrote(db, 1, start=1)
    assert await signer(db, folder, KEY, old.verifier).look() == 1
    both = Trust([KEY.verifier, old.verifier], folder)
    assert (await verify(db, trust=both)).problems == []
    problems = (await verify(db, trust=trust(folder))).problems
    assert len(problems) == 2 and all("not signed by this installation" in problem for problem in problems)


# ------------------------------------------------------------------------------------------------ reading from the rows


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
async def test_trees_and_proofs_from_the_rows_are_those_of_all_leaves(sqlite_url: str, size: int) -> None:
    db, chance = Database(sqlite_url), random.Random(size)
    await wrote(db, size)
    async with db.read() as conn:
        hashes = (await conn.execute(select(events.c.hash).order_by(events.c.number))).scalars().all()
        whole = await extended(conn, Tree(), size)
        for start in {0, 1, size // 2, size - size % BLOCK, size}:
            part = await extended(conn, Tree(), start)
            assert (await extended(conn, part, size)).peaks == whole.peaks and part.size == start
        for upto in {size, max(1, size - 3)}:
            leaves = sorted(chance.sample(range(upto), min(upto, 9)))
            nodes = await proof(conn, upto, leaves)
            root = (await extended(conn, Tree(), upto)).root()
            assert root_of(upto, {each: leaf_of(hashes[each]) for each in leaves}, nodes) == root
    await db.close()


# ----------------------------------------------------------------------------------------------------- what it can find


@pytest.fixture
async def signed_file(sqlite_url: str, folder: Path) -> AsyncIterator[Path]:
    """A file of some cases, and a checkpoint of all its events."""
    db = Database(sqlite_url)
    for reference in ("A", "B", "C"):
        case = await submitted(db, reference)
        async with db.write() as conn:
            await audit_log.append(conn, [event(case.case_id, number) for number in range(1, 4)])
    await signer(db, folder).look()
    await db.close()
    yield Path(sqlite_url.partition("///")[2])


async def rewritten(path: Path, *, without: str = "", **changed: str) -> None:
    """Replace a file by one that tells another story, with all positions, hashes, seals and heads computed again."""
    db = Database(migrated_copy(path))
    for reference in ("A", "B", "C"):
        if reference == without:
            continue
        case = await submitted(db, reference, **(changed if reference == "A" else {}))
        async with db.write() as conn:
            await audit_log.append(conn, [event(case.case_id, number) for number in range(1, 4)])
    await db.close()


async def problems_of(path: Path, trusted: Trust) -> list[str]:
    db = Database(f"sqlite:///{path}")
    try:
        return (await verify(db, trust=trusted)).problems
    finally:
        await db.close()


async def test_a_complete_rewrite_is_found_by_a_checkpoint_from_before(signed_file: Path, folder: Path) -> None:
    (file,) = files.exported(folder)
    kept = files.notes_of(file)
    await rewritten(signed_file, title="Pay somebody else")
    assert await problems_of(signed_file, Trust([KEY.verifier])) == [], "no hash is wrong"
    for trusted in (trust(folder), trust(kept=kept)):
        problems = await problems_of(signed_file, trusted)
        assert any("does not fit the audit log" in problem and "up to position 12" in problem for problem in problems)
        assert any("does not fit the seals" in problem for problem in problems)


async def test_a_rewrite_of_rows_and_seals_alone_is_found(signed_file: Path, folder: Path) -> None:
    """The attacker edits a row that no event states, and computes the whole chain of seals again."""
    with closing(sqlite3.connect(signed_file, isolation_level=None)) as connection:
        connection.execute("UPDATE cases SET priority = 1")
        for table in ("seal_positions", "seals", "checkpoints"):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("UPDATE chain SET seals = 0, seals_hash = ''")
    migrate(f"sqlite:///{signed_file}")
    assert await problems_of(signed_file, Trust([KEY.verifier])) == []
    problems = await problems_of(signed_file, trust(folder))
    assert len(problems) == 1 and "does not fit the seals" in problems[0]


async def test_a_restored_backup_is_found(signed_file: Path, folder: Path, tmp_path: Path) -> None:
    backup = shutil.copy(signed_file, tmp_path / "backup.db")
    db = Database(f"sqlite:///{signed_file}")
    await submitted(db, "D")
    maker = signer(db, folder)
    assert await maker.look() == 1
    await db.close()
    problems = await problems_of(Path(backup), trust(folder))
    assert any("an older backup was restored" in problem for problem in problems)
    restored = Database(f"sqlite:///{backup}")
    with pytest.raises(Rewritten, match="does not continue the checkpoint of 13 events"):
        await signer(restored, folder).look()
    await restored.close()


@pytest.mark.parametrize("without", ["", "C"])
async def test_a_worker_signs_nothing_over_a_rewrite(signed_file: Path, folder: Path, without: str) -> None:
    await rewritten(signed_file, without=without, title="Pay somebody else")
    db = Database(f"sqlite:///{signed_file}")
    await wrote(db, 20)
    maker = signer(db, folder)
    for _ in range(2):
        with pytest.raises(Rewritten, match="No checkpoint is signed"):
            await maker.look()
    assert await stored(db) == []
    await db.close()


async def test_a_running_worker_notices_a_rewrite_of_what_it_signed(db: Database, folder: Path) -> None:
    maker = signer(db, folder)
    await wrote(db, 3)
    await maker.look()
    async with db.write() as conn:
        await conn.execute(text("UPDATE chain SET peaks = peaks, seals_hash = 'x'"))
        await conn.execute(text("UPDATE seal_positions SET hash = 'x'"))
    with pytest.raises(Rewritten, match="seals were replaced"):
        await maker.look()


EDITS: dict[str, tuple[Callable[[str], str], str]] = {
    "another size": (lambda note: note.replace("\n12\n", "\n13\n"), "was not signed"),
    "another key": (lambda note: SigningKey.new(KEY.verifier.name).sign(note.partition("\n\n")[0] + "\n"), "known key"),
    "no signature": (lambda note: note.partition("\n\n")[0], "no signed note"),
    "another text": (lambda _: KEY.sign("hello\n"), "cannot be read"),
    "of another size": (lambda note: note, "its row was edited"),
}


@pytest.mark.parametrize("how", EDITS)
async def test_an_edited_checkpoint_is_named(signed_file: Path, how: str) -> None:
    edit, words = EDITS[how]
    with closing(sqlite3.connect(signed_file, isolation_level=None)) as connection:
        connection.create_function("edited", 1, edit)
        connection.execute("UPDATE checkpoints SET note = edited(note)")
        if how == "of another size":
            connection.execute("UPDATE checkpoints SET size = 11")
    problems = await problems_of(signed_file, Trust([KEY.verifier]))
    assert any("table checkpoints" in problem and words in problem for problem in problems), problems
    assert any(problem.startswith("table checkpoints, row") for problem in problems), "its seal names it, too"


async def test_many_checkpoints_that_do_not_fit_are_one_problem(signed_file: Path, folder: Path) -> None:
    db = Database(f"sqlite:///{signed_file}")
    maker = signer(db, folder)
    for number in range(4):
        await wrote(db, 1, start=number)
        await maker.look()
    async with db.read() as conn:
        assert await conn.scalar(select(func.count()).select_from(checkpoints)) == 5
    await db.close()
    await rewritten(signed_file, title="Pay somebody else")
    problems = await problems_of(signed_file, trust(folder))
    assert len([problem for problem in problems if "does not fit the audit log" in problem]) == 1
    (cut,) = [problem for problem in problems if "cut off" in problem]
    assert cut.endswith("the same is true for 3 more")


async def test_a_file_without_a_checkpoint_is_a_problem(signed_file: Path) -> None:
    problems = await problems_of(signed_file, trust(elsewhere=[]))
    assert problems == ["there is no checkpoint in elsewhere"]


async def test_a_checkpoint_that_is_exported_during_a_check_is_no_problem(
    db: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, maker = SignedHeads.read, signer(db, folder)

    async def continue_and_read(trusted: Trust) -> SignedHeads:
        await wrote(db, 1, start=1)
        assert await maker.look() == 1
        return await read(trusted)

    await wrote(db, 1)
    await maker.look()
    monkeypatch.setattr(SignedHeads, "read", continue_and_read)
    found = await verify(db, trust=trust(folder))
    assert (found.problems, found.checkpoints, found.newest_checkpoint) == ([], 2, 2)


async def test_a_forged_checkpoint_of_more_events_than_there_are_hides_nothing(db: Database, folder: Path) -> None:
    await wrote(db, 2)
    await signer(db, folder).look()
    await wrote(db, 1, start=2)
    async with db.write() as conn:
        await conn.execute(insert(checkpoints).values(size=2**40, at=datetime.now(UTC), note="forged"))
    async with db.read() as conn:
        note = await sign.newest_note(conn)
        now = await counters.snapshot(conn, timedelta(seconds=1))
    assert note is not None and Checkpoint.read(opened(note, [KEY.verifier])).size == 2
    assert now.uncovered == 1 and now.uncovered_s > 0
    await signer(db, folder).look()
    async with db.read() as conn:
        after = await counters.snapshot(conn, timedelta(seconds=1))
    assert (after.uncovered, after.uncovered_s) == (0, 0.0)


def test_a_full_disk_leaves_no_part_of_a_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = [KEY.sign(Checkpoint(KEY.verifier.name, size, bytes(32)).text()) for size in (1, 2)]
    export, write, today = files.Export(folder), os.write, datetime.now(UTC).date()
    export.append(notes[0], 1, today)
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, data: write(file, data[:20]))
        with pytest.raises(OSError, match="completely"):
            export.append(notes[1], 2, today)
    export.append(notes[1], 2, today)
    assert list(files.newest(folder)) == notes[::-1]
