"""Which batch the bytes of a dropped file become: written down before it is started, so that none is started twice."""

from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.database import insert_once
from store.tables import inbox_files


class Reserved(NamedTuple):
    """The one batch for these bytes, and the claim under which they came first."""

    batch_id: str
    claim: str


async def reserve(conn: AsyncConnection, process: str, sha256: str, batch_id: str, claim: str) -> Reserved:
    """Reserve a batch for these bytes and this process, unless there is one already: that is the answer then."""
    row = {"process": process, "sha256": sha256, "batch_id": batch_id, "claim": claim}
    if await insert_once(conn, inbox_files, {**row, "reserved_at": datetime.now(UTC)}):
        return Reserved(batch_id, claim)
    same = (inbox_files.c.process == process, inbox_files.c.sha256 == sha256)
    found = (await conn.execute(select(inbox_files.c.batch_id, inbox_files.c.claim).where(*same))).one()
    return Reserved(*found)
