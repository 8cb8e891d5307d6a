"""Results of bulk decisions, which can be read for a day so that the result page can be opened again."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select

from store.db.connection import AsyncConnection
from store.db.database import insert_into
from store.tables.cases import bulk_results

KEPT = timedelta(days=1)
Results = list[dict[str, Any]]


def id_of(person: str, *sent: str | Iterable[str]) -> str:
    """Return the id under which the results of a form of a person are stored.

    If the form is sent twice with the same contents, the id is the same; for other contents the id is another.
    """
    parts = [each if isinstance(each, str) else "\0".join(sorted(each)) for each in (person, *sent)]
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:32]


async def keep(conn: AsyncConnection, id: str, person: str, results: Results, now: datetime) -> None:
    """Store the results for a day, unless results with this id are stored already. Delete older results of all people.

    The results contain no names and no titles, because these may have to be erased.
    """
    await conn.execute(delete(bulk_results).where(bulk_results.c.at < now - KEPT))
    row = {"id": id, "person": person, "at": now, "results": results}
    await conn.execute(insert_into(conn, bulk_results).values(row).on_conflict_do_nothing())


async def kept(conn: AsyncConnection, id: str, person: str, now: datetime) -> Results | None:
    """Return the results with this id if this person sent the form within the last day.

    Return None for results of another person, for an unknown id, and for older results.
    """
    query = select(bulk_results.c.results).where(bulk_results.c.id == id, bulk_results.c.person == person)
    query = query.where(bulk_results.c.at >= now - KEPT)
    found: Results | None = (await conn.execute(query)).scalar_one_or_none()
    return found
