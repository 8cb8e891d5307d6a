"""A stand-in until the branch wt-erasure is merged: the signatures of contract 7."""

from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import select, update

from domain.case import CaseEvent
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.erasure.checks import why_not_case, why_not_upload
from store.erasure.person import NotErasable
from store.tables.audit import event_payloads, events
from store.tables.cases import batches, cases


class Erased(NamedTuple):
    events: int
    files: list[str]


async def erase_case(conn: AsyncConnection, case_id: str, *, by: str, reason: str, request: str | None) -> Erased:
    row = (await conn.execute(select(cases).where(cases.c.case_id == case_id))).one_or_none()
    if row is not None and row.erased_at is not None:
        return Erased(0, [])
    if why := await why_not_case(conn, case_id):
        raise NotErasable(why)
    now = datetime.now(UTC)
    result = {**(row.result or {}), "output": None, "reason": ""} if row else None
    gone: dict[str, object] = {
        "title": "Erased",
        "input": {},
        "words": "",
        "plan": [],
        "result": result,
        "erased_at": now,
    }
    await conn.execute(update(cases).where(cases.c.case_id == case_id).values(**gone))
    said = list(await conn.execute(select(events.c.number, events.c.event_id).where(events.c.case_id == case_id)))
    its = event_payloads.c.number.in_([each.number for each in said])
    await conn.execute(update(event_payloads).where(its).values(salt=None, payload=None))
    event = CaseEvent(
        event_id=f"erased/{case_id}",
        case_id=case_id,
        at=now,
        kind="erased",
        actor=by,
        summary=f"Erased: {reason}",
        data={"reason": reason, "request": request, "event_ids": [each.event_id for each in said]},
    )
    await audit_log.append(conn, [event])
    return Erased(len(said), [])


async def erase_upload(conn: AsyncConnection, batch_id: str, *, by: str, reason: str, request: str | None) -> Erased:
    if why := await why_not_upload(conn, batch_id):
        raise NotErasable(why)
    ids = select(cases.c.case_id).where(cases.c.batch_id == batch_id, cases.c.erased_at.is_(None))
    number = 0
    for case_id in (await conn.execute(ids)).scalars().all():
        number += (await erase_case(conn, case_id, by=by, reason=reason, request=request)).events
    await conn.execute(update(batches).where(batches.c.batch_id == batch_id).values(erased_at=datetime.now(UTC)))
    return Erased(number, [])
