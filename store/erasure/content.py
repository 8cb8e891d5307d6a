"""Erase the content of an ended case, or of an upload with its cases, in one transaction.

What stays is what the audit log has hashed (ids, kinds, people, times), what lists and rules need (status, process,
references), and what the law requires (the amounts of the ledger). `store.erasure.columns` has a class for each column.
"""

from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import Row, and_, or_, select, update

from domain.erasure import NotErasable
from store.audit.seals import SealingConnection
from store.audit.verification import verify_case
from store.db.connection import AsyncConnection
from store.erasure import uploaded
from store.erasure.case_rows import erase_rows
from store.erasure.checks import UNKNOWN_CASE, UNKNOWN_UPLOAD, why_not_case, why_not_upload
from store.erasure.columns import WITH_CONTENT
from store.erasure.erasing import Erasing
from store.erasure.events import Told, check_right, erase_events, note_erased
from store.erasure.receivers import erase_receivers
from store.erasure.result import Erased
from store.erasure.seals import ErasedSeals, erase_seals
from store.tables.audit import event_payloads, events
from store.tables.cases import batches, cases


async def erase_case(conn: AsyncConnection, case_id: str, *, by: str, reason: str, request: str | None) -> Erased:
    """Erase the content of an ended case, in this transaction of `Database.write`.

    `by` is the actor of the event `erased`, `reason` a text without personal data, and `request` the id of the case in
    which people approved the erasure; None for the retention period. Erasing a case again changes nothing. With the
    last case of an upload, the rest of the upload is erased, too.

    After the commit the caller calls `files.delete_files`; a job repeats this after a crash. Raises NotErasable, and
    NoRight if the role of the connection does not own the tables.
    """
    await check_right(conn)
    case = (await conn.execute(select(cases).where(cases.c.case_id == case_id).with_for_update())).one_or_none()
    if case is None:
        raise NotErasable(UNKNOWN_CASE)
    if case.erased_at is not None:
        return Erased(at=case.erased_at, already=True)
    if why := await why_not_case(conn, case_id):
        raise NotErasable(why)
    await _check_intact(conn, case_id)
    erasing, told = _begun(conn, case_id), Told(by, reason, request)
    await erase_rows(erasing, case)
    await erase_receivers(erasing)
    batch = await _batch(conn, case.batch_id) if case.batch_id else None
    rest = batch is not None and batch.erased_at is None and await uploaded.is_last(erasing, batch)
    if batch is not None:
        await uploaded.erase_file(erasing, batch)
    erased_seals = await erase_seals(erasing.conn, case_id, None, WITH_CONTENT)
    event_ids = await erase_events(conn, events.c.case_id == case_id)
    await note_erased(erasing, "case", case_id, told, event_ids, erased_seals)
    # Last, because an erased case takes no more events.
    await conn.execute(update(cases).where(cases.c.case_id == case_id).values(erased_at=erasing.at))
    erased = await _erased(erasing, case, event_ids, erased_seals)
    if batch is not None and rest:
        return _sum(erased, await _erase_rest(conn, batch.batch_id, told))
    return erased


async def erase_upload(conn: AsyncConnection, batch_id: str, *, by: str, reason: str, request: str | None) -> Erased:
    """Erase an upload and all its cases like `erase_case`, in this transaction.

    A caller that erases the cases before, each in a transaction of its own, keeps this transaction short. Raises
    NotErasable and NoRight.
    """
    await check_right(conn)
    # Read without a lock: a transaction that erases a case locks the case first, then its upload.
    batch = (await conn.execute(select(batches).where(batches.c.batch_id == batch_id))).one_or_none()
    if batch is None:
        raise NotErasable(UNKNOWN_UPLOAD)
    if batch.erased_at is not None:
        return Erased(at=batch.erased_at, already=True)
    if why := await why_not_upload(conn, batch_id):
        raise NotErasable(why)
    total = Erased(at=datetime.now(UTC))
    left = select(cases.c.case_id).where(cases.c.batch_id == batch_id, cases.c.erased_at.is_(None))
    for case_id in (await conn.execute(left.order_by(cases.c.case_id))).scalars().all():
        total = _sum(total, await erase_case(conn, case_id, by=by, reason=reason, request=request))
    batch = await _batch(conn, batch_id)
    if batch is not None and batch.erased_at is None:  # an upload without a case that had content
        total = _sum(total, await _erase_rest(conn, batch_id, Told(by, reason, request)))
    return total


async def _erase_rest(conn: AsyncConnection, own: str, told: Told) -> Erased:
    erasing, batch = _begun(conn, ""), await _batch(conn, own)
    assert batch is not None, "the row was read in this transaction"
    await uploaded.erase_rest(erasing, batch)
    erased_seals = await erase_seals(erasing.conn, None, own, WITH_CONTENT)
    # Such as the pause of its import. Their data has the id of the upload.
    about = event_payloads.c.payload.contains(f'"batch_id":"{own}"', autoescape=True)
    event_ids = await erase_events(conn, and_(events.c.case_id.is_(None), about))
    await note_erased(erasing, "upload", own, told, event_ids, erased_seals)
    return _told(erasing, event_ids, erased_seals)


def _begun(conn: AsyncConnection, case_id: str) -> Erasing:
    return Erasing(cast(SealingConnection, conn), case_id, datetime.now(UTC))


async def _check_intact(conn: AsyncConnection, case_id: str) -> None:
    """Raise NotErasable if somebody changed the case by hand: an erasure must not destroy the trace of it."""
    found = await verify_case(conn, case_id)
    if found.problems:
        raise NotErasable(
            f"The check of the audit log finds {len(found.problems)} problems of the case {case_id}, and an erasure "
            f"would hide them. Run './holdgate audit verify --case {case_id}', clear them up, and try again."
        )


async def _batch(conn: AsyncConnection, batch_id: str) -> Row[Any] | None:
    return (await conn.execute(select(batches).where(batches.c.batch_id == batch_id).with_for_update())).one_or_none()


async def _erased(erasing: Erasing, case: Row[Any], event_ids: list[str], erased_seals: ErasedSeals) -> Erased:
    """Return what was erased, with the other cases that may hold data of the same people."""
    rounds = and_(cases.c.process == case.process, cases.c.reference_key == case.reference_key)
    related = or_(rounds, cases.c.parent == case.case_id, cases.c.case_id == (case.parent or ""))
    query = select(cases.c.case_id).where(related, cases.c.case_id != case.case_id, cases.c.erased_at.is_(None))
    others = list((await erasing.conn.execute(query.order_by(cases.c.case_id))).scalars())
    told = _told(erasing, event_ids, erased_seals)
    return told.model_copy(update={"cases": [case.case_id], "others": others})


def _told(erasing: Erasing, event_ids: list[str], erased_seals: ErasedSeals) -> Erased:
    return Erased(
        at=erasing.at,
        events=len(event_ids),
        seals=erased_seals.number,
        rows=erasing.rows,
        proofs=erasing.proofs,
        files=erasing.files,
        kept=erasing.kept,
    )


def _sum(first: Erased, more: Erased) -> Erased:
    return Erased(
        at=more.at,
        cases=[*first.cases, *more.cases],
        events=first.events + more.events,
        seals=first.seals + more.seals,
        rows=first.rows + more.rows,
        proofs=first.proofs + more.proofs,
        files=[*first.files, *more.files],
        others=[case_id for case_id in (*first.others, *more.others) if case_id not in more.cases],
        kept=[*first.kept, *more.kept],
    )
