"""Find cases and uploads whose retention period is over."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, false, literal, not_, or_, select

from domain.names import SEVERAL
from store.db.connection import AsyncConnection
from store.tables.base import Instant
from store.tables.cases import batch_rows, batches, cases, legal_holds

Ends = Mapping[str, datetime]
"""By process: cases that ended before this time are due. Cases of other processes are never due."""


async def cases_due(conn: AsyncConnection, ends: Ends, limit: int, after: str = "") -> list[str]:
    """Return the ids of cases that are due, after this id in the order of ids.

    A case whose next round starts by itself is not due, nor a case on which a legal hold lies itself. Other holds are
    for the erasure itself to check.
    """
    open_parent = cases.alias("open_parent")
    waited_for = exists().where(open_parent.c.case_id == cases.c.parent, open_parent.c.closed_at.is_(None))
    held = exists().where(
        legal_holds.c.kind == "case", legal_holds.c.subject == cases.c.case_id, legal_holds.c.lifted_at.is_(None)
    )
    query = select(cases.c.case_id).where(
        cases.c.case_id > after,
        cases.c.erased_at.is_(None),
        cases.c.resubmit_at.is_(None),
        _over(cases.c.process, cases.c.closed_at, ends),
        not_(waited_for),
        not_(held),
    )
    return list((await conn.execute(query.order_by(cases.c.case_id).limit(limit))).scalars())


async def uploads_due(conn: AsyncConnection, ends: Ends, limit: int, after: str = "") -> list[str]:
    """Return the ids of uploads that are due, after this id in the order of ids.

    An upload goes when all its cases are gone. An upload of which no case is left to wait for, because all its rows
    were invalid or duplicates, goes when the period of its process is over. If the file has rows of several processes,
    all of them must have a period, and the longest of all periods counts.
    """
    content = exists().where(cases.c.batch_id == batches.c.batch_id, cases.c.erased_at.is_(None))
    was_erased = exists().where(cases.c.batch_id == batches.c.batch_id, cases.c.erased_at.is_not(None))
    kept = exists().where(
        batch_rows.c.batch_id == batches.c.batch_id, batch_rows.c.process.not_in([*ends, SEVERAL, ""])
    )
    longest = batches.c.closed_at < literal(min(ends.values()), Instant)
    without_cases = or_(
        and_(batches.c.process != SEVERAL, _over(batches.c.process, batches.c.closed_at, ends)),
        and_(batches.c.process == SEVERAL, longest, not_(kept)),
    )
    query = select(batches.c.batch_id).where(
        batches.c.batch_id > after,
        batches.c.erased_at.is_(None),
        batches.c.closed_at.is_not(None),
        not_(content),
        or_(was_erased, without_cases),
    )
    return list((await conn.execute(query.order_by(batches.c.batch_id).limit(limit))).scalars())


def _over(process: ColumnElement[str], ended: ColumnElement[datetime | None], ends: Ends) -> ColumnElement[bool]:
    """Return the condition that the period of the process is over since this end."""
    each = [and_(process == name, ended < literal(before, Instant)) for name, before in sorted(ends.items())]
    return or_(false(), *each)
