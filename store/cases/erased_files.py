"""The list of files of erased cases and uploads, which are deleted after the transaction of the erasure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete

from store.db.connection import AsyncConnection
from store.db.database import insert_into
from store.tables.cases import erased_files

LOG = "log"
"""The entry for the write-ahead log of SQLite, which has earlier versions of rows until it is emptied."""


async def list_files(conn: AsyncConnection, paths: Sequence[str], at: datetime) -> None:
    """List files by their paths below the state folder."""
    rows: list[dict[str, Any]] = [{"path": path, "at": at} for path in paths]
    if rows:
        await conn.execute(insert_into(conn, erased_files).on_conflict_do_nothing(), rows)


async def not_any_more(conn: AsyncConnection, path: str) -> None:
    """Take a file from the list, in the transaction that stores a row for the same bytes.

    The file may just have been deleted. So the caller looks after the commit whether it is there, and stores it again.
    """
    await conn.execute(delete(erased_files).where(erased_files.c.path == path))
