"""Say why a case, an upload or a person cannot be erased now, in a sentence; empty if it can be erased.

The same checks run when an erasure is requested, before people decide, and in the transaction that erases.
"""

from sqlalchemy import ColumnElement, Select, func, or_, select

from domain.names import ADMINS
from store.cases import legal_holds
from store.db.connection import AsyncConnection
from store.people.members import active_members
from store.tables.cases import batches, case_requesters, cases, tasks
from store.tables.people import people, service_account_owners

UNKNOWN_CASE = "There is no such case, or you may not erase it."
UNKNOWN_UPLOAD = "There is no such upload, or you may not erase it."
UNKNOWN_PERSON = "There is no such person, or you may not erase this person."


async def why_not_case(conn: AsyncConnection, case_id: str) -> str:
    """Return why a case cannot be erased: it has not ended, goes on by itself, or has a legal hold."""
    columns = (cases.c[name] for name in ("closed_at", "erased_at", "resubmit_at", "parent"))
    case = (await conn.execute(select(*columns).where(cases.c.case_id == case_id))).one_or_none()
    if case is None:
        return UNKNOWN_CASE
    if case.erased_at is not None:
        return f"The case {case_id} is already erased."
    if case.closed_at is None:
        return f"The case {case_id} has not ended. Wait for its end, or cancel the case."
    if case.resubmit_at is not None:
        return f"The next round of the case {case_id} starts by itself. Wait for its end."
    if case.parent is not None and await _is_open(conn, case.parent):
        return f"The case {case.parent}, which asked for the case {case_id}, has not ended. Wait for its end."
    if holds := await legal_holds.protecting(conn, "case", case_id):
        return legal_holds.sentence(holds, f"The case {case_id}")
    return ""


async def why_not_upload(conn: AsyncConnection, batch_id: str) -> str:
    """Return why an upload cannot be erased: it or a case of it has not ended, or there is a legal hold."""
    upload = (await conn.execute(select(batches).where(batches.c.batch_id == batch_id))).one_or_none()
    if upload is None or upload.status == "receiving":
        return UNKNOWN_UPLOAD
    if upload.erased_at is not None:
        return f"The upload {batch_id} is already erased."
    if upload.closed_at is None:
        return f"The upload {batch_id} has not ended. Wait for its end, or cancel the upload."
    if holds := await legal_holds.protecting(conn, "upload", batch_id):
        return legal_holds.sentence(holds, f"The upload {batch_id}")
    its = (cases.c.batch_id == batch_id, cases.c.erased_at.is_(None))
    waiting = or_(cases.c.closed_at.is_(None), cases.c.resubmit_at.is_not(None))
    if number := await _count(conn, select(cases.c.case_id).where(*its, waiting)):
        return f"{number:,} of the cases of the upload {batch_id} have not ended. Wait for their end, or cancel them."
    return ""


async def why_not_person(conn: AsyncConnection, person: str, *, with_cases: bool = False) -> str:
    """Return why a person cannot be erased: somebody still needs the person, or there is a legal hold.

    `with_cases`: the ended cases that the person asked for are erased as well.
    """
    found = (await conn.execute(select(people).where(people.c.id == person))).one_or_none()
    if found is None:
        return UNKNOWN_PERSON
    if found.kind != "person":
        return f"{person} is a service account, not a person. Deactivate the account instead."
    if found.erased_at is not None:
        return f"{person} is already erased."
    if found.active:
        if await active_members(conn, ADMINS) == [person]:
            return f"{person} is the last member of {ADMINS}. Add another administrator first."
        return f"{person} is active. Deactivate or replace the person first."
    if holds := await legal_holds.protecting(conn, "person", person):
        return legal_holds.sentence(holds, f"The person {person}")
    if number := await _count(conn, select(cases.c.case_id).where(asked_for_by(person), cases.c.closed_at.is_(None))):
        return f"{person} asked for {number:,} cases that have not ended. Wait for their end, or cancel them."
    if number := await _count(
        conn, select(tasks.c.task_id).where(tasks.c.assignee == person, tasks.c.status == "open")
    ):
        return f"{person} still has {number:,} open tasks. Reassign them first."
    if account := await conn.scalar(_owned_by_nobody_else(person)):
        return f"{person} is the only owner of the service account {account}. Name another owner first."
    if with_cases:
        for case_id in await ended_cases_of(conn, person):
            if why := await why_not_case(conn, case_id):
                return why
    return ""


def asked_for_by(person: str) -> ColumnElement[bool]:
    """Return the condition that the person counts as requester of a case."""
    named = select(case_requesters.c.case_id).where(case_requesters.c.person == person)
    return or_(cases.c.requester == person, cases.c.on_behalf_of == person, cases.c.case_id.in_(named))


async def ended_cases_of(conn: AsyncConnection, person: str) -> list[str]:
    """Return the ids of the ended cases that the person asked for and that are not erased, in the order of ids.

    These are the person's own requests, and those of service accounts on behalf of the person.
    """
    own = or_(cases.c.requester == person, cases.c.on_behalf_of == person)
    its = (own, cases.c.closed_at.is_not(None), cases.c.erased_at.is_(None))
    return list((await conn.execute(select(cases.c.case_id).where(*its).order_by(cases.c.case_id))).scalars())


async def unerased_cases_of_upload(conn: AsyncConnection, batch_id: str) -> list[str]:
    """Return the ids of the cases of an upload that are not erased, in the order of ids."""
    its = (cases.c.batch_id == batch_id, cases.c.erased_at.is_(None))
    return list((await conn.execute(select(cases.c.case_id).where(*its).order_by(cases.c.case_id))).scalars())


def _owned_by_nobody_else(person: str) -> Select[tuple[str]]:
    """Return a query of the active service accounts that only this person owns."""
    account = service_account_owners.c.account
    own = select(account).where(service_account_owners.c.owner == person)
    others = select(account).where(service_account_owners.c.owner != person)
    query = select(people.c.id).where(people.c.id.in_(own), people.c.id.not_in(others), people.c.active)
    return query.order_by(people.c.id).limit(1)


async def _is_open(conn: AsyncConnection, case_id: str) -> bool:
    query = select(cases.c.case_id).where(cases.c.case_id == case_id, cases.c.closed_at.is_(None))
    return (await conn.execute(query)).first() is not None


async def _count(conn: AsyncConnection, query: Select[tuple[str]]) -> int:
    return int(await conn.scalar(select(func.count()).select_from(query.subquery())) or 0)
