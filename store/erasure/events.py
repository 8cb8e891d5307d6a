"""Erase the content of audit events, and write the event `erased` that says so.

The envelopes of events stay with their hashes, so that the check of the audit log still proves that the events were
there. `store.audit.verification.erasures` reads the data of the event `erased`.
"""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, select, text, update

from domain.case import CaseEvent
from store.audit import audit_log
from store.audit.verification.erasures import ERASED
from store.cases.erased_files import LOG, list_files
from store.db.connection import AsyncConnection
from store.erasure.erasing import Erasing
from store.erasure.seals import ErasedSeals
from store.tables.audit import event_payloads, events

_AT_ONCE = 500


class Told(NamedTuple):
    """Who erases, why, and the case in which people approved it."""

    by: str
    reason: str
    request: str | None


class NoRight(Exception):
    """Raised if the role of the database must not change the audit log. The text names the setting."""

    safe_to_log = True


async def check_right(conn: AsyncConnection) -> None:
    """Raise NoRight if the role of this connection cannot erase."""
    if conn.dialect.name != "postgresql":
        return
    may = text("SELECT has_table_privilege('event_payloads', 'UPDATE') AND has_table_privilege('seals', 'UPDATE')")
    if not await conn.scalar(may):
        raise NoRight(
            "the role of HOLDGATE_DATABASE_URL must not change the audit log, so it cannot erase: set"
            " HOLDGATE_DATABASE_OWNER_URL for the worker, to the role that owns the tables. See docs/operate/erasure.md"
        )


async def erase_events(conn: AsyncConnection, where: ColumnElement[bool]) -> list[str]:
    """Erase the content of the events that match, but events `erased`. Return the ids of those that had content."""
    query = (
        select(events.c.number, events.c.event_id)
        .join(event_payloads, event_payloads.c.number == events.c.number)
        .where(where, events.c.kind != ERASED, event_payloads.c.payload.is_not(None))
        .order_by(events.c.number)
    )
    found = (await conn.execute(query)).all()
    for start in range(0, len(found), _AT_ONCE):
        some = event_payloads.c.number.in_([row.number for row in found[start : start + _AT_ONCE]])
        await conn.execute(update(event_payloads).where(some).values(salt=None, payload=None))
    return [row.event_id for row in found]


async def note_erased(
    erasing: Erasing, kind: str, subject: str, told: Told, event_ids: list[str], erased_seals: ErasedSeals
) -> None:
    """Write the event `erased`, which lists what has no content any more.

    SQLite's write-ahead log has the content until it is emptied, so this is listed for `files.delete_files`.
    """
    data: dict[str, Any] = {
        "kind": kind,
        "subject": subject,
        "reason": told.reason,
        "request": told.request,
        "event_ids": event_ids,
        "seals": erased_seals.positions,
        "seal_numbers": erased_seals.numbers,
        "uploads": erasing.uploads,
        "rows": erasing.rows,
        "proofs": erasing.proofs,
        "files": len(erasing.files),
    }
    event = CaseEvent(
        event_id=f"erased/{subject}" if kind == "case" else f"erased/{kind}/{subject}",
        case_id=erasing.case_id,
        at=erasing.at,
        kind=ERASED,
        actor=told.by,
        summary=f"The content of the {kind} was erased: {told.reason}",
        data=data,
    )
    await list_files(erasing.conn, [LOG], erasing.at)
    await audit_log.append(erasing.conn, [event])
