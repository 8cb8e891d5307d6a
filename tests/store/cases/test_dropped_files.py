"""The batch of a dropped file, on each database: one for the same bytes, also when two workers find it."""

import pytest

from store.cases import dropped_files
from store.cases.dropped_files import AlreadyImported, ImportedFile
from store.db.database import Database

BYTES, OTHER = "a" * 64, "b" * 64


@pytest.mark.both_databases
async def test_the_same_bytes_of_one_folder_are_taken_once(db: Database) -> None:
    async with db.write() as conn:
        await dropped_files.take(conn, "payment", BYTES, "b1", "claim-1")
        await dropped_files.take(conn, "payment", OTHER, "b2", "claim-2")
        await dropped_files.take(conn, "several", BYTES, "b3", "claim-3")
    with pytest.raises(AlreadyImported):
        async with db.write() as conn:
            await dropped_files.take(conn, "payment", BYTES, "b4", "claim-4")
    async with db.read() as conn:
        assert await dropped_files.known(conn, "payment", BYTES) == ImportedFile("b1", "claim-1")
        assert await dropped_files.known(conn, "several", BYTES) == ImportedFile("b3", "claim-3")
        assert await dropped_files.known(conn, "deployment", BYTES) is None
