"""Delete the files of erased cases and uploads, after the transaction of the erasure.

The transaction lists the files in `erased_files`. So a crash after the commit leaves no file: the next call of
`delete_files` deletes it. A file that somebody stores again in the meantime stays, see
`store.cases.erased_files.not_any_more`.
"""

import asyncio
from pathlib import Path

from sqlalchemy import delete, select

from store.audit.verification import Folders
from store.cases.erased_files import LOG, not_any_more
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.tables.cases import attachments, batches, erased_files


async def delete_files(db: Database, folders: Folders) -> int:
    """Delete the files that committed erasures have listed, and return their number.

    Raises OSError if a file cannot be deleted, after all others were. The file stays listed.

    Then empty the write-ahead log of SQLite, which still has the erased rows. Call this after each erasure; a job of
    the worker calls it too, for what a crash or a busy database left.
    """
    async with db.read() as conn:
        paths = (await conn.execute(select(erased_files.c.path).order_by(erased_files.c.path))).scalars().all()
    number, failed = 0, None
    for path in paths:
        try:
            number += path != LOG and await _delete(db, folders, path)
        except OSError as error:
            failed = error
    if LOG in paths and await db.empty_log():
        async with db.write() as conn:
            await not_any_more(conn, LOG)
    if failed is not None:
        raise failed
    return number


async def _delete(db: Database, folders: Folders, path: str) -> bool:
    folder, _, name = path.partition("/")
    file = (folders.attachments if folder == "attachments" else folders.uploads) / name
    async with db.write() as conn:
        # The row is locked until the commit, so that `not_any_more` of another transaction waits for this one.
        listed = (await conn.execute(delete(erased_files).where(erased_files.c.path == path))).rowcount
        if not listed or await _is_needed(conn, folder, name):
            return False
        return await asyncio.to_thread(_unlink, file)


async def _is_needed(conn: AsyncConnection, folder: str, name: str) -> bool:
    if folder == "attachments":
        query = select(attachments.c.sha256).where(attachments.c.sha256 == name)
    else:
        query = select(batches.c.path).where(batches.c.path == name)
    return (await conn.execute(query.limit(1))).first() is not None


def _unlink(file: Path) -> bool:
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True
