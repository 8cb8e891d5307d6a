"""Count what an erasure erases, and what stays."""

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from domain.erasure import ErasureSurvey, SubjectKind
from store.db.connection import AsyncConnection
from store.erasure.checks import ended_cases_of
from store.tables.audit import event_payloads, events
from store.tables.cases import attachments, batch_rows, batches, cases, decisions, tasks
from store.tables.receivers import entries

COMMENT = "comment_added"


async def of_case(conn: AsyncConnection, case_id: str) -> ErasureSurvey:
    """Return the numbers for a case. Without such a case, all numbers are 0."""
    row = (await conn.execute(select(cases).where(cases.c.case_id == case_id))).one_or_none()
    if row is None:
        return ErasureSurvey()
    its = cases.c.case_id == case_id
    with_file = and_(batches.c.batch_id == row.batch_id, batches.c.erased_at.is_(None))
    return (await _of_cases(conn, its)).model_copy(
        update={
            "process": row.process,
            "status": row.status,
            "ended_at": row.closed_at,
            "uploaded_files": await _number(conn, batches.c.batch_id, with_file) if row.batch_id else 0,
        }
    )


async def of_upload(conn: AsyncConnection, batch_id: str) -> ErasureSurvey:
    """Return the numbers for an upload with all its cases. Without such an upload, all numbers are 0."""
    row = (await conn.execute(select(batches).where(batches.c.batch_id == batch_id))).one_or_none()
    if row is None:
        return ErasureSurvey()
    its = and_(cases.c.batch_id == batch_id, cases.c.erased_at.is_(None))
    return (await _of_cases(conn, its)).model_copy(
        update={
            "process": row.process,
            "status": row.status,
            "ended_at": row.closed_at,
            "uploaded_files": 1,
            "upload_rows": await _number(conn, batch_rows.c.line, batch_rows.c.batch_id == batch_id),
        }
    )


async def of_person(conn: AsyncConnection, person: str, *, with_cases: bool) -> ErasureSurvey:
    """Return the numbers for a person, and for the ended cases of the person if they are erased as well."""
    asked = await ended_cases_of(conn, person)
    own = or_(cases.c.requester == person, cases.c.on_behalf_of == person)
    its = and_(own, cases.c.closed_at.is_not(None), cases.c.erased_at.is_(None))
    found = await _of_cases(conn, its) if with_cases else ErasureSurvey()
    kept = select(cases.c.case_id).where(cases.c.erased_at.is_(None))
    if with_cases:
        kept = kept.where(~own)
    said = and_(decisions.c.person == person, decisions.c.case_id.in_(kept))
    return found.model_copy(
        update={
            "cases_that_stay": 0 if with_cases else len(asked),
            "decisions_that_keep_the_id": await _number(conn, decisions.c.decision_id, said),
        }
    )


async def _of_cases(conn: AsyncConnection, its: ColumnElement[bool]) -> ErasureSurvey:
    """Return the numbers of all cases that match the condition."""
    ids = select(cases.c.case_id).where(its)
    with_content = and_(events.c.case_id.in_(ids), event_payloads.c.payload.is_not(None))
    said = select(events.c.number).join(event_payloads, event_payloads.c.number == events.c.number).where(with_content)
    rounds, erased = cases.alias("rounds"), cases.alias("erased")
    same = and_(rounds.c.process == erased.c.process, rounds.c.reference_key == erased.c.reference_key)
    others = select(rounds.c.case_id).select_from(rounds.join(erased, same)).where(erased.c.case_id.in_(ids))
    others = others.where(rounds.c.case_id.not_in(ids), rounds.c.erased_at.is_(None)).distinct()
    return ErasureSurvey(
        cases=await _count(conn, ids),
        events=await _count(conn, said),
        tasks=await _number(conn, tasks.c.task_id, tasks.c.case_id.in_(ids)),
        comments=await _count(conn, said.where(events.c.kind == COMMENT)),
        attachments=await _number(conn, attachments.c.attachment_id, attachments.c.case_id.in_(ids)),
        upload_rows=await _number(conn, batch_rows.c.line, batch_rows.c.case_id.in_(ids)),
        other_rounds_that_stay=await _count(conn, others),
        ledger_entries_that_stay=await _number(conn, entries.c.entry_id, entries.c.case_id.in_(ids)),
    )


async def _number(conn: AsyncConnection, key: ColumnElement[object], where: ColumnElement[bool]) -> int:
    return int(await conn.scalar(select(func.count(key)).where(where)) or 0)


async def _count(conn: AsyncConnection, query: Select[tuple[str]] | Select[tuple[int]]) -> int:
    return int(await conn.scalar(select(func.count()).select_from(query.subquery())) or 0)


async def of(conn: AsyncConnection, kind: SubjectKind, subject: str, *, with_cases: bool = False) -> ErasureSurvey:
    """Return the numbers for a case, an upload or a person."""
    match kind:
        case "case":
            return await of_case(conn, subject)
        case "upload":
            return await of_upload(conn, subject)
        case "person":
            return await of_person(conn, subject, with_cases=with_cases)
