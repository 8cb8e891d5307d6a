"""Legal holds: a hold on a case, a person or an upload refuses its erasure, until somebody lifts the hold.

A hold also protects what belongs to its subject, because half of a matter is no evidence:

- A hold on a case protects all rounds of its reference, the cases that it asked for, the people who asked for it or
  decided it, and the file of its upload: so no case of this upload can be erased.
- A hold on a person protects the cases and uploads for which the person counts as requester.
- A hold on an upload protects its cases, and the person who uploaded it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, Select, and_, insert, or_, select, union, update

from domain.case import CaseEvent
from domain.erasure import SubjectKind
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.tables.cases import batch_requesters, batches, case_requesters, cases, decisions, legal_holds
from store.tables.people import people


class LegalHold(BaseModel):
    """A legal hold. `lifted_at` is None while the hold counts."""

    model_config = ConfigDict(from_attributes=True)

    hold_id: str
    kind: SubjectKind
    subject: str
    """The id of the case, person or upload."""
    reason: str
    placed_by: str
    placed_at: datetime
    lifted_by: str | None = None
    lifted_at: datetime | None = None

    def __str__(self) -> str:
        return f"the legal hold {self.hold_id} on {self.kind} {self.subject}"


class UnknownSubject(LookupError):
    """Raised if there is no case, person or upload with the id of a new hold."""


class UnknownHold(LookupError):
    """Raised if there is no hold with this id, or if the hold was lifted."""


# ------------------------------------------------------------------------------------------------------------- writing


async def place(conn: AsyncConnection, kind: SubjectKind, subject: str, reason: str, by: str) -> LegalHold:
    """Place a hold and return it. If the same person placed a hold with the same reason before, return that hold.

    Raises UnknownSubject.
    """
    key = {"case": cases.c.case_id, "person": people.c.id, "upload": batches.c.batch_id}[kind]
    if await conn.scalar(select(key).where(key == subject)) is None:
        raise UnknownSubject(f"there is no {kind} with the id '{subject}'")
    same = (legal_holds.c.reason == reason, legal_holds.c.placed_by == by)
    if found := await _found(conn, _COUNTS.where(_on(kind, subject), *same)):
        return found[0]
    hold = LegalHold(
        hold_id=f"h{uuid4().hex[:16]}",
        kind=kind,
        subject=subject,
        reason=reason,
        placed_by=by,
        placed_at=datetime.now(UTC),
    )
    await conn.execute(insert(legal_holds), hold.model_dump())
    await _tell(conn, hold, "hold_placed", by, reason)
    return hold


async def lift(conn: AsyncConnection, hold_id: str, reason: str, by: str) -> LegalHold:
    """Lift a hold and return it. Raises UnknownHold for an unknown hold, and for one that was lifted before."""
    its = (legal_holds.c.hold_id == hold_id, legal_holds.c.lifted_at.is_(None))
    changed = update(legal_holds).where(*its).values(lifted_by=by, lifted_at=datetime.now(UTC))
    if not (await conn.execute(changed)).rowcount:
        raise UnknownHold(f"there is no legal hold '{hold_id}' that counts")
    (hold,) = await _found(conn, select(legal_holds).where(legal_holds.c.hold_id == hold_id))
    await _tell(conn, hold, "hold_lifted", by, reason)
    return hold


async def _tell(conn: AsyncConnection, hold: LegalHold, kind: str, by: str, reason: str) -> None:
    """Write the event of a hold: in the history of a case for a hold on a case, else without a case."""
    event = CaseEvent(
        event_id=f"{kind}/{hold.hold_id}",
        case_id=hold.subject if hold.kind == "case" else "",
        at=datetime.now(UTC),
        kind=kind,
        actor=by,
        summary=f"{by}: {hold}: {reason}",
        data={"hold_id": hold.hold_id, "kind": hold.kind, "subject": hold.subject, "reason": reason},
    )
    await audit_log.append(conn, [event])


# ------------------------------------------------------------------------------------------------------------- reading


async def get(conn: AsyncConnection, hold_id: str) -> LegalHold | None:
    """Return the hold with this id, lifted or not; None if there is none."""
    return next(iter(await _found(conn, select(legal_holds).where(legal_holds.c.hold_id == hold_id))), None)


async def listed(
    conn: AsyncConnection,
    *,
    kind: SubjectKind | None = None,
    subject: str | None = None,
    lifted: bool = False,
    after: str = "",
    limit: int = 200,
) -> list[LegalHold]:
    """Return holds in the order of their ids after `after`. With `lifted`, also return those that were lifted."""
    query = (select(legal_holds) if lifted else _COUNTS).where(legal_holds.c.hold_id > after)
    if kind is not None:
        query = query.where(legal_holds.c.kind == kind)
    if subject is not None:
        query = query.where(legal_holds.c.subject == subject)
    return await _found(conn, query.order_by(legal_holds.c.hold_id).limit(limit))


async def protecting(conn: AsyncConnection, kind: SubjectKind, subject: str) -> list[LegalHold]:
    """Return the holds that refuse the erasure of a case, a person or an upload, also those on what belongs to it."""
    conditions = {"case": _protects_case, "person": _protects_person, "upload": _protects_upload}[kind](subject)
    return await _found(conn, _COUNTS.where(or_(*conditions)).order_by(legal_holds.c.placed_at, legal_holds.c.hold_id))


_COUNTS = select(legal_holds).where(legal_holds.c.lifted_at.is_(None))


def _on(kind: SubjectKind, subject: str | Select[tuple[str]]) -> ColumnElement[bool]:
    names = legal_holds.c.subject == subject if isinstance(subject, str) else legal_holds.c.subject.in_(subject)
    return and_(legal_holds.c.kind == kind, names)


def _protects_case(case_id: str) -> list[ColumnElement[bool]]:
    its = cases.c.case_id == case_id
    batch = select(cases.c.batch_id).where(its, cases.c.batch_id.is_not(None)).scalar_subquery()
    of_rounds, siblings, parent = cases.alias("of_rounds"), cases.alias("siblings"), cases.alias("parent")
    same = and_(of_rounds.c.process == cases.c.process, of_rounds.c.reference_key == cases.c.reference_key)
    rounds = select(of_rounds.c.case_id).select_from(cases.join(of_rounds, same)).where(its)
    asked_by = select(parent.c.case_id).select_from(cases.join(parent, parent.c.case_id == cases.c.parent)).where(its)
    return [
        _on("case", case_id),
        _on("case", rounds),
        _on("case", asked_by),
        _on("case", select(siblings.c.case_id).where(siblings.c.batch_id == batch)),
        _on("upload", select(cases.c.batch_id).where(its)),
        _on("person", _requesters_of(its)),
    ]


def _protects_upload(batch_id: str) -> list[ColumnElement[bool]]:
    its, in_it = batches.c.batch_id == batch_id, cases.c.batch_id == batch_id
    return [
        _on("upload", batch_id),
        _on("case", select(cases.c.case_id).where(in_it)),
        _on("person", _requesters_of(in_it)),
        _on("person", select(batches.c.requester).where(its)),
        _on("person", select(batches.c.on_behalf_of).where(its)),
        _on("person", select(batch_requesters.c.person).where(batch_requesters.c.batch_id == batch_id)),
    ]


def _protects_person(person: str) -> list[ColumnElement[bool]]:
    asked = or_(cases.c.requester == person, cases.c.on_behalf_of == person)
    return [
        _on("person", person),
        _on("case", select(cases.c.case_id).where(asked)),
        _on("case", select(case_requesters.c.case_id).where(case_requesters.c.person == person)),
        _on("case", select(decisions.c.case_id).where(decisions.c.person == person)),
        _on(
            "upload",
            select(batches.c.batch_id).where(or_(batches.c.requester == person, batches.c.on_behalf_of == person)),
        ),
        _on("upload", select(batch_requesters.c.batch_id).where(batch_requesters.c.person == person)),
    ]


def _requesters_of(its: ColumnElement[bool]) -> Select[tuple[str]]:
    """Return a query of everybody who counts as requester of the cases that match."""
    named = select(case_requesters.c.person).join(cases, cases.c.case_id == case_requesters.c.case_id).where(its)
    everybody = union(select(cases.c.requester).where(its), select(cases.c.on_behalf_of).where(its), named).subquery()
    return select(everybody.c[0])


async def _found(conn: AsyncConnection, query: Select[tuple[LegalHold]] | Select[tuple[str]]) -> list[LegalHold]:
    return [LegalHold.model_validate(row) for row in await conn.execute(query)]


def sentence(holds: Sequence[LegalHold], what: str) -> str:
    """Return the sentence that refuses an erasure for these holds. `what` is the subject of the erasure in words."""
    more = f", and {len(holds) - 1} more" if len(holds) > 1 else ""
    return f"{what} cannot be erased: {holds[0]}{more} forbids this. Ask an auditor or an administrator."
