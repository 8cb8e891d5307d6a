"""The check of the audit log accepts an erasure, and finds every change by hand around it."""

import asyncio
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from domain.erasure import NotErasable
from domain.status import Status
from store.audit.verification import verify, verify_case
from store.db.database import Database
from store.erasure.content import erase_case, erase_upload
from store.tables.audit import seals
from tests.store.erasure.ended_cases import ended, fill, uploaded
from workflows.registry import PROCESSES

TOLD = {"by": "pia", "reason": "asked", "request": "erasure:r-1"}
ONE = "payment:inv-1"

BY_HAND = {
    "a row of the erased case": ("UPDATE cases SET title = 'Ada' WHERE case_id = '{one}'", "title was changed"),
    "a mark without an event": (
        "UPDATE cases SET erased_at = closed_at WHERE case_id = '{two}'",
        "payment:inv-2 is marked as erased, and no event says so",
    ),
    "a missing mark": ("UPDATE cases SET erased_at = NULL WHERE case_id = '{one}'", "is not marked as erased"),
    "an emptied event": (
        "UPDATE event_payloads SET salt = NULL, payload = NULL WHERE number ="
        " (SELECT max(number) FROM events WHERE case_id = '{two}')",
        "was emptied",
    ),
    "an emptied seal": (
        "UPDATE seals SET salt = NULL, rows = NULL WHERE number ="
        " (SELECT max(number) FROM seals WHERE case_id = '{two}')",
        "was emptied, and no later event says that it was erased",
    ),
    "an emptied proof": (
        "UPDATE proofs SET text = '', proof = '' WHERE case_id = '{two}'",
        "case payment:inv-2: 1 signed messages are empty, and 0 were erased",
    ),
    "a restored event": (
        "UPDATE event_payloads SET (salt, payload) ="
        " (SELECT salt, payload FROM old.event_payloads o WHERE o.number = event_payloads.number)"
        " WHERE number = (SELECT min(number) FROM events WHERE case_id = '{one}')",
        "as erased, but no earlier event of its case is empty there",
    ),
    "a restored seal": (
        "UPDATE seals SET (salt, rows) = (SELECT salt, rows FROM old.seals o WHERE o.number = seals.number)"
        " WHERE number = (SELECT min(number) FROM seals WHERE case_id = '{one}')",
        "as erased, but the seal has its content",
    ),
    "a restored proof": (
        "UPDATE proofs SET text = 'x', proof = 'y' WHERE case_id = '{one}'",
        "case payment:inv-1: 0 signed messages are empty, and 1 were erased",
    ),
    "an emptied upload": ("UPDATE batches SET path = ''", "its file was removed, and no event says that it was erased"),
}


@pytest.fixture(scope="module")
def erased_file(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in which one of two cases was erased, and beside it `old.db`, from before the erasure."""
    path = Path(shutil.copy(sqlite_template, tmp_path_factory.mktemp("erased") / "new.db"))

    async def erase() -> None:
        db = Database(f"sqlite:///{path}")
        await uploaded(db)
        for number, reference in enumerate(("INV-1", "INV-2"), 1):
            await fill(db, await ended(db, reference), number)
        await db.empty_log()
        shutil.copy(path, path.with_name("old.db"))
        async with db.write() as conn:
            await erase_case(conn, ONE, **TOLD)
        assert (await verify(db)).problems == []
        await db.close()

    asyncio.run(erase())
    return path


@pytest.mark.parametrize("how", BY_HAND)
async def test_a_change_by_hand_around_an_erasure_is_found(how: str, erased_file: Path, tmp_path: Path) -> None:
    statement, words = BY_HAND[how]
    copy = Path(shutil.copy(erased_file, tmp_path / "copy.db"))
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS old", (str(erased_file.with_name("old.db")),))
        edited = connection.execute(statement.format(one=ONE, two="payment:inv-2"))
        assert edited.rowcount >= 1
    db = Database(f"sqlite:///{copy}")
    problems = (await verify(db)).problems
    async with db.read() as conn:
        of_cases = [said for number in (1, 2) for said in (await verify_case(conn, f"payment:inv-{number}")).problems]
    await db.close()
    assert any(words in problem for problem in problems), problems
    if "upload" not in how:
        assert any(words in problem for problem in of_cases), of_cases


async def test_a_case_that_was_changed_by_hand_is_not_erased(db: Database) -> None:
    case_id = await ended(db)
    async with db.write() as conn:
        number = select(seals.c.number).where(seals.c.case_id == case_id).limit(1).scalar_subquery()
        await conn.execute(seals.update().where(seals.c.number == number).values(salt="0"))
    with pytest.raises(NotErasable, match="would hide them"):
        async with db.write() as conn:
            await erase_case(conn, case_id, **TOLD)
    async with db.read() as conn:
        assert (await verify_case(conn, case_id)).erased == 0


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("UPDATE batch_rows SET reference = 'other' WHERE line = 1003", "edited"),
        ("DELETE FROM batch_rows WHERE line = 1003", "deleted"),
        ("SELECT 1", ""),
    ],
    ids=["edited", "deleted", "unchanged"],
)
async def test_an_erasure_does_not_hide_changes_of_rows_that_share_a_seal(
    how: str, words: str, sqlite_url: str
) -> None:
    db = Database(sqlite_url)
    batch_id = await uploaded(db, rows=45)
    case_id = await ended(db, batch_id=batch_id)
    await ended(db, "INV-2", batch_id=batch_id)
    await fill(db, case_id)
    async with db.write() as conn:  # the row of the case shares a seal with 45 others
        table = seals.metadata.tables["batch_rows"]
        await conn.execute(table.update().where(table.c.batch_id == batch_id).values(priority=2))
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute(how)
    async with db.write() as conn:
        erased = await erase_case(conn, case_id, **TOLD)
    found = (await verify(db)).problems
    assert [words in said and "1003" in said for said in found] == [True] * bool(words), found
    assert erased.seals > 2
    await db.close()


async def test_cases_of_every_process_and_end_are_erased_in_any_order(db: Database) -> None:
    chance = random.Random(22)
    batch_id = await uploaded(db, rows=25)
    ids = []
    for number, process in enumerate(PROCESSES):
        status = chance.choice([each for each in Status if each.closed])
        about: dict[str, Any] = {"process": process, "case_id": f"{process}:inv-{number}", "status": status}
        about["batch_id"] = batch_id if chance.random() < 0.5 else None
        case_id = await ended(db, f"INV-{number}", **about)
        await fill(db, case_id, number)
        ids.append(case_id)
    chance.shuffle(ids)
    for case_id in ids:
        async with db.write() as conn:
            await erase_case(conn, case_id, **TOLD)
        async with db.read() as conn:
            assert (await verify_case(conn, case_id)).problems == []
    found = await verify(db)
    assert (found.problems, found.erased) == ([], 4 * len(ids))


async def test_erasing_again_changes_nothing(db: Database) -> None:
    batch_id = await uploaded(db)
    case_id = await ended(db, batch_id=batch_id)
    for _ in range(2):
        async with db.write() as conn:
            first = await erase_case(conn, case_id, **TOLD)
    assert first.already and first.events == 0
    async with db.write() as conn:
        assert (await erase_upload(conn, batch_id, **TOLD)).already
    found = await verify(db)
    assert (found.problems, found.events) == ([], 6)
