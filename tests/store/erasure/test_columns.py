"""Every column with text has a class, and an erasure empties all columns that its class says."""

from pathlib import Path

from store.audit.verification import Folders, verify
from store.db.database import Database
from store.erasure.columns import COLUMNS, Held, held
from store.erasure.content import erase_case, erase_upload
from store.erasure.files import delete_files
from store.tables.base import metadata
from tests.store.erasure.ended_cases import OF_A_CASE, ended, fill, is_text, leaks, uploaded

TOLD = {"by": "pia", "reason": "asked", "request": "erasure:r-1"}


def test_every_column_with_text_has_one_class() -> None:
    for table in metadata.sorted_tables:
        named = [name for names in COLUMNS[table.name].values() for name in names.split()]
        assert sorted(named) == sorted(column.name for column in table.c if is_text(column)), table.name
    assert COLUMNS.keys() == metadata.tables.keys()


def test_the_tests_fill_every_table_with_content_of_a_case() -> None:
    of_a_case = {table for table in COLUMNS if held(table, frozenset({Held.CASE}))}
    assert of_a_case - set(OF_A_CASE) == {"cases", "tasks"}


async def test_the_erasure_of_a_case_empties_every_column_of_the_case(db: Database, tmp_path: Path) -> None:
    case_id = await ended(db, batch_id=await uploaded(db))
    await fill(db, case_id)
    before = await leaks(db)
    assert set(before) >= {f"{name}.{column}" for name in OF_A_CASE for column in held(name)}
    async with db.write() as conn:
        erased = await erase_case(conn, case_id, **TOLD)
    await delete_files(db, Folders(tmp_path, tmp_path))
    assert await leaks(db) == []
    found = await verify(db)
    assert found.problems == []
    assert (found.erased, found.erased_proofs, found.erased_rows) == (erased.events, 1, erased.rows) == (4, 1, 20)


async def test_the_erasure_of_an_upload_empties_what_no_case_owns(db: Database, tmp_path: Path) -> None:
    batch_id = await uploaded(db, rows=30)
    for number, reference in enumerate(("INV-1", "INV-2"), 1):
        await fill(db, await ended(db, reference, batch_id=batch_id), number)
    assert {f"batches.{name}" for name in held("batches")} <= set(await leaks(db))
    async with db.write() as conn:
        erased = await erase_upload(conn, batch_id, **TOLD)
    await delete_files(db, Folders(tmp_path, tmp_path))
    assert await leaks(db) == []
    assert (await verify(db)).problems == []
    assert erased.cases == ["payment:inv-1", "payment:inv-2"]
