"""Routes for legal holds: a hold refuses the erasure of a case, a person or an upload until somebody lifts the hold."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Cursor, Db, Limit, Plain
from api.http.callers import Caller
from api.http.problems import Problem, documented, not_found
from api.http.schemas import Page
from api.http.security import may_see_batch, viewer
from domain.erasure import SubjectKind
from store.cases import batches, cases, legal_holds
from store.cases.legal_holds import LegalHold, UnknownHold, UnknownSubject
from store.db.database import Database
from store.people.people import Person

router = APIRouter(prefix="/legal-holds", tags=["erasure"])


async def holder(person: Caller) -> Person:
    """Return the caller if they may place and lift legal holds: auditors and admins. Raises Problem 404 otherwise."""
    if not person.scope.audits_installation:
        raise not_found("page")
    return person


Holder = Annotated[Person, Depends(holder)]
HoldId = Annotated[Plain, Path(max_length=40)]


class NewHold(BaseModel):
    """A new legal hold."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    kind: SubjectKind
    subject: Plain = Field(
        min_length=1,
        max_length=900,
        description="The id of the case, person or upload",
        examples=["payment:inv-1042"],
    )
    reason: Plain = Field(
        min_length=3,
        max_length=1000,
        description="Why. Write no names and no other personal data: the reason stays in the audit log",
        examples=["Matter 2026-7"],
    )


class HoldLifted(BaseModel):
    """The reason for lifting a legal hold."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: Plain = Field(min_length=3, max_length=1000, examples=["Matter 2026-7 is closed"])


@router.get("", responses=documented(401, 404, 422, 503))
async def list_holds(
    person: Holder,
    db: Db,
    kind: Annotated[SubjectKind | None, Query()] = None,
    subject: Annotated[Plain | None, Query(max_length=900)] = None,
    lifted: Annotated[bool, Query(description="Also list holds that were lifted")] = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[LegalHold]:
    """List legal holds, in the order of their ids. For auditors and admins.

    A hold on a case or an upload that you may not see is left out, so a page can have fewer holds than `limit`.
    """
    async with db.read() as conn:
        found = await legal_holds.listed(
            conn, kind=kind, subject=subject, lifted=lifted, after=cursor or "", limit=limit + 1
        )
    seen = [hold for hold in found[:limit] if await _may_see(db, person, hold.kind, hold.subject)]
    return Page(items=seen, next_cursor=found[limit - 1].hold_id if len(found) > limit else None)


@router.post("", status_code=201, responses=documented(401, 404, 422, 503))
async def place_hold(new: NewHold, person: Holder, db: Db) -> LegalHold:
    """Place a legal hold. For auditors and admins.

    The hold also protects what belongs to its subject: of a case its rounds, its upload and the people who asked for it
    or decided it; of a person the cases and uploads that the person asked for; of an upload its cases. The same hold
    by the same person with the same reason is placed once.
    """
    if not await _may_see(db, person, new.kind, new.subject):
        raise not_found(new.kind)
    try:
        async with db.write() as conn:
            return await legal_holds.place(conn, new.kind, new.subject, new.reason, person.id)
    except UnknownSubject as unknown:
        raise not_found(new.kind) from unknown


@router.delete("/{hold_id}", status_code=204, responses=documented(401, 404, 409, 422, 503))
async def lift_hold(hold_id: HoldId, body: HoldLifted, person: Holder, db: Db) -> Response:
    """Lift a legal hold, with a reason. For auditors and admins. The hold stays in the list of lifted holds."""
    async with db.read() as conn:
        hold = await legal_holds.get(conn, hold_id)
    if hold is None or not await _may_see(db, person, hold.kind, hold.subject):
        raise not_found("legal hold")
    try:
        async with db.write() as conn:
            await legal_holds.lift(conn, hold_id, body.reason, person.id)
    except UnknownHold as gone:
        raise Problem(409, "This legal hold was lifted before.", kind="lifted") from gone
    return Response(status_code=204)


async def _may_see(db: Database, person: Person, kind: SubjectKind, subject: str) -> bool:
    match kind:
        case "person":
            return True  # auditors and admins see all people
        case "case":
            async with db.read() as conn:
                return await cases.may_see(conn, viewer(person), subject)
        case "upload":
            async with db.read() as conn:
                batch = await batches.get(conn, subject)
            return batch is not None and await may_see_batch(db, person, batch)
