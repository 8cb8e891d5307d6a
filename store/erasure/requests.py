"""Find the requests for the erasure of a subject: cases of the process `erasure`, by the first part of their reference,
and the request by which a subject was erased.
"""

import json

from sqlalchemy import ColumnElement, func, select

from domain.erasure import SubjectKind
from domain.ids import reference_key
from domain.names import ERASURE
from store.cases.cases import CaseRow
from store.db.connection import AsyncConnection
from store.tables.audit import event_payloads, events
from store.tables.cases import cases


async def open_about(conn: AsyncConnection, stem: str, subject: str) -> CaseRow | None:
    """Return the open request about the subject whose reference begins with `stem`; None without one.

    The requester may have changed the subject after a request for changes, so the reference alone does not say it.
    """
    query = select(cases).where(*_about(stem), cases.c.closed_at.is_(None)).order_by(cases.c.submitted_at)
    rows = [CaseRow.model_validate(row) for row in await conn.execute(query)]
    return next((row for row in rows if row.input.get("id") == subject), None)


async def count_about(conn: AsyncConnection, stem: str) -> int:
    """Return the number of requests, open and ended, whose reference begins with `stem`."""
    return int(await conn.scalar(select(func.count()).select_from(cases).where(*_about(stem))) or 0)


def _about(stem: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return cases.c.process == ERASURE, cases.c.reference_key.startswith(f"{reference_key(stem)}-", autoescape=True)


async def erased_by(conn: AsyncConnection, kind: SubjectKind, subject: str) -> str | None:
    """Return the id of the request by which a subject was erased; None if the retention period erased it."""
    about = events.c.case_id == subject if kind == "case" else events.c.case_id.is_(None)
    query = (
        select(event_payloads.c.payload)
        .join(events, events.c.number == event_payloads.c.number)
        .where(about, events.c.kind == "erased", event_payloads.c.payload.is_not(None))
        .order_by(events.c.number.desc())
    )
    if kind != "case":
        query = query.where(event_payloads.c.payload.contains(subject, autoescape=True))
    for payload in (await conn.execute(query)).scalars():
        data = json.loads(payload).get("data") or {}
        if kind == "case" or data.get("subject") == subject:
            request: str | None = data.get("request")
            return request
    return None
