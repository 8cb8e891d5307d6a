"""Store which batch was created from which file of the drop folder, so that the same bytes in the same folder are never
imported twice.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import select

from store.db.connection import AsyncConnection
from store.db.database import insert_once
from store.tables.cases import dropped_files


class ImportedFile(NamedTuple):
    """The batch that was created from the bytes of a file, and the token of the claim under which the drop folder held
    the file.
    """

    batch_id: str
    claim: str


class AlreadyImported(Exception):
    """Raised if a batch was already created from these bytes in this folder."""


async def known(conn: AsyncConnection, folder: str, sha256: str) -> ImportedFile | None:
    """Return the batch that was created from these bytes in this folder; None if there is no such batch."""
    same = (dropped_files.c.process == folder, dropped_files.c.sha256 == sha256)
    found = (await conn.execute(select(dropped_files.c.batch_id, dropped_files.c.claim).where(*same))).first()
    return ImportedFile(*found) if found else None


async def take(conn: AsyncConnection, folder: str, sha256: str, batch_id: str, claim: str) -> None:
    """Store that these bytes belong to this batch, in the transaction that makes the batch visible.

    Raises AlreadyImported if a batch was already created from these bytes in this folder.
    """
    row = {"process": folder, "sha256": sha256, "batch_id": batch_id, "claim": claim, "taken_at": datetime.now(UTC)}
    if not await insert_once(conn, dropped_files, row):
        raise AlreadyImported
