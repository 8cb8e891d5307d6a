"""Find out which audit events a person may read: those of the processes and of the installation that they oversee."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, exists, false, func, or_, select, true

from domain.event_kinds import EventKind
from domain.scope import LEDGER_OF, Reach, Scope
from store.cases.visibility import uploads_within, within
from store.db.connection import AsyncConnection
from store.tables.audit import events
from store.tables.cases import batches, cases

FEW = 2000
"""Up to this number, the cases of a person's processes are looked up first. For more cases, each event is checked."""

OF_UPLOADS = (
    *(EventKind.BATCH_PAUSED, EventKind.BATCH_RUNNING, EventKind.BATCH_CANCELLING, EventKind.BATCH_CANCELLED),
    EventKind.BATCH_LOST,
)
"""Events without a case that belong to an upload, and so to the processes of its rows."""
OF_LEDGER = (
    *(EventKind.ACCOUNT_LOCKED, EventKind.ACCOUNT_UNLOCKED, EventKind.BOOKS_CLOSED),
    *(EventKind.LEDGER_CHANGE_ASKED, EventKind.LEDGER_CHANGE_CONFIRMED, EventKind.LEDGER_CHANGE_WITHDRAWN),
)
"""Events without a case that belong to the ledger, and so to the process that uses the ledger."""
_BATCH_PLACE, _BATCH_LENGTH = len("batch/") + 1, len("b0123456789abcdef")
"""Where the id of an upload stands in the id of its event: `batch/b0123456789abcdef/...`."""


async def readable(conn: AsyncConnection, scope: Scope) -> ColumnElement[bool]:
    """Return the condition that a person with this scope may read a row of `events`.

    The condition holds while the person reads page by page: cases that start meanwhile may be left out.
    """
    if scope.audits.everywhere:
        return true()
    ways = []
    if scope.audits:
        ways += [await _of_cases(conn, scope.audits), _of_uploads(scope.audits)]
    if LEDGER_OF in scope.audits:
        ways.append(_without_case(OF_LEDGER))
    if scope.oversees_installation:
        others = events.c.kind.not_in([*OF_UPLOADS, *OF_LEDGER])
        ways.append(and_(events.c.case_id.is_(None), others))
    return or_(*ways) if ways else false()


async def may_read_case(conn: AsyncConnection, scope: Scope, case_id: str) -> bool:
    """Return True if a person with this scope may read the events of a case.

    The row of a case may have been removed. Then the start of the id says which process the case had.
    """
    if scope.audits.everywhere:
        return True
    process = await conn.scalar(select(cases.c.process).where(cases.c.case_id == case_id))
    return (process or case_id.partition(":")[0]) in scope.audits


async def _of_cases(conn: AsyncConnection, reach: Reach) -> ColumnElement[bool]:
    """Return the condition that an event is of a case of these processes.

    If the cases are few, their ids are in the condition, so that the index of events finds their events.
    """
    ids = select(cases.c.case_id).where(within(cases.c.process, reach)).limit(FEW + 1)
    found = (await conn.execute(ids)).scalars().all()
    if len(found) <= FEW:
        return events.c.case_id.in_(found)
    return exists().where(cases.c.case_id == events.c.case_id, within(cases.c.process, reach))


def _of_uploads(reach: Reach) -> ColumnElement[bool]:
    batch_id = func.substr(events.c.event_id, _BATCH_PLACE, _BATCH_LENGTH)
    return and_(_without_case(OF_UPLOADS), exists().where(batches.c.batch_id == batch_id, uploads_within(reach)))


def _without_case(kinds: Sequence[str]) -> ColumnElement[bool]:
    return and_(events.c.case_id.is_(None), events.c.kind.in_(kinds))
