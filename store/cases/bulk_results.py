"""What became of many tasks that were decided at once, so that the page that says so can be read again."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.db.database import insert_into
from store.tables.cases import bulk_results

KEPT = timedelta(days=1)
Results = list[dict[str, Any]]


def id_of(person: str, *sent: str | Iterable[str]) -> str:
    """Name the results of one form: the same form sent twice has one name, with other contents it has another."""
    parts = [each if isinstance(each, str) else "\0".join(sorted(each)) for each in (person, *sent)]
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:32]


async def keep(conn: AsyncConnection, id: str, person: str, results: Results, now: datetime) -> None:
    """Keep the results for a day; those that are there already stay. No names or titles: they may be erased."""
    await conn.execute(delete(bulk_results).where(bulk_results.c.at < now - KEPT))
    row = {"id": id, "person": person, "at": now, "results": results}
    await conn.execute(insert_into(conn, bulk_results).values(row).on_conflict_do_nothing())


async def kept(conn: AsyncConnection, id: str, person: str) -> Results | None:
    """Return the results that this person got; None when there are none, or no longer."""
    query = select(bulk_results.c.results).where(bulk_results.c.id == id, bulk_results.c.person == person)
    found: Results | None = (await conn.execute(query)).scalar_one_or_none()
    return found
