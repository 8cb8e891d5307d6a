"""Find the cases and uploads whose data keys encrypt payloads, and those that belong to given processes."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import select

from domain.scope import Reach
from store.cases.batches import is_within
from store.db.connection import AsyncConnection
from store.tables.cases import batches, cases

_BATCH = "batch:"


class Subjects(NamedTuple):
    """The cases and uploads that exist, apart: those of the given processes, and the others."""

    within: frozenset[str]
    beyond: frozenset[str]


async def subjects_by_reach(conn: AsyncConnection, named: Iterable[str], reach: Reach) -> Subjects:
    """Return those of the named subjects that exist, by whether they belong to these processes.

    An upload belongs to them if all its rows do. Names that are no subject are left out.
    """
    named = set(named)
    uploads = {each for each in named if each.startswith(_BATCH)}
    of_cases = select(cases.c.case_id, cases.c.process).where(cases.c.case_id.in_(named - uploads))
    of_uploads = select(batches.c.batch_id).where(batches.c.batch_id.in_(each.removeprefix(_BATCH) for each in uploads))
    known = {row.case_id: row.process in reach for row in await conn.execute(of_cases)}
    for batch_id in (await conn.execute(of_uploads)).scalars().all():
        known[f"{_BATCH}{batch_id}"] = reach.everywhere or await is_within(conn, batch_id, reach)
    within = frozenset(subject for subject, belongs in known.items() if belongs)
    return Subjects(within, frozenset(known) - within)
