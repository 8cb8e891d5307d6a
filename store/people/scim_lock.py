"""Let one transaction at a time change what an identity provider sends by SCIM."""

from sqlalchemy import text

from store.db.connection import AsyncConnection

_KEY = 0x5C1A2000
"""Key of the advisory lock."""


async def lock_scim(conn: AsyncConnection) -> None:
    """Wait until no other transaction changes users and groups of the provider.

    Call this first in the transaction. Without the lock, two requests that read a group and write it again would lose
    members of each other. SQLite has one writer at a time anyway.
    """
    if conn.dialect.name == "postgresql":
        await conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _KEY})
