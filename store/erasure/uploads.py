"""Erase an upload: its file, its rows and its cases."""

from store.db.connection import AsyncConnection
from store.erasure.result import Erased


async def check_upload(conn: AsyncConnection, batch_id: str) -> None:
    """Raise NotErasable if the upload, or one of its cases, cannot be erased now."""
    raise NotImplementedError


async def erase_upload(conn: AsyncConnection, batch_id: str, *, by: str, reason: str, request: str | None) -> Erased:
    """Erase an upload and all its cases like `erase_case`, in this transaction. Raises NotErasable."""
    raise NotImplementedError
