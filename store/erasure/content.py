"""Erase the content of an ended case, or of an upload with its cases."""

from store.db.connection import AsyncConnection
from store.erasure.result import Erased


async def erase_case(conn: AsyncConnection, case_id: str, *, by: str, reason: str, request: str | None) -> Erased:
    """Erase the content of an ended case, in this transaction of `Database.write`.

    `by` is the actor of the event `erased`, `reason` a text without personal data, and `request` the id of the case in
    which people approved the erasure; None for the retention period. Erasing a case again changes nothing.

    After the commit the caller calls `files.delete_files`; a job repeats this after a crash. Raises NotErasable.
    """
    raise NotImplementedError


async def erase_upload(conn: AsyncConnection, batch_id: str, *, by: str, reason: str, request: str | None) -> Erased:
    """Erase an upload and all its cases like `erase_case`, in this transaction. Raises NotErasable."""
    raise NotImplementedError
