"""Policy texts by their hash, so that people can read the policy of a case as long as the case is stored."""

from datetime import UTC, datetime

from sqlalchemy import select

from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import insert_once
from store.tables.cases import policies


async def keep(conn: AsyncConnection, hash: str, text: str) -> None:
    """Store the text of a policy.

    If no policy with this hash is stored yet, also add an audit event that the policy came into use.
    """
    row = {"hash": hash, "text": text, "loaded_at": datetime.now(UTC)}
    if await insert_once(conn, policies, row):
        summary = f"A policy came into use: {hash[:12]}"
        await audit_log.note(conn, "policy_loaded", by=audit_log.ENGINE, summary=summary, data={"policy": hash})


async def text(conn: AsyncConnection, hash: str) -> str | None:
    """Return the text of the policy with this hash; None if it is not stored."""
    found: str | None = (await conn.execute(select(policies.c.text).where(policies.c.hash == hash))).scalar()
    return found
