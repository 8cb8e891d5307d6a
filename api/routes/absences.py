"""Routes for absences of people, and for people who have left or return."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Db, Plain, TheServices
from api.gateway.requests import ActionRequest
from api.http.callers import Caller
from api.http.exception_handlers import ANSWERED_ERRORS, problem_of_error
from api.http.field_errors import field_errors, provided_problem
from api.http.problems import FieldError, Problem, ProblemBody, documented, invalid, not_found
from api.http.security import Admin, PeopleReader, check_for_another
from api.routes.task_actions import AT_ONCE, HandOverResult, HandOverResults
from api.services.add_to_groups import ConfirmGroup, put_into
from api.services.person_lookup import find_person
from domain.input_errors import WrongField
from domain.messages import Act
from domain.permissions import among
from domain.task import TaskView
from store.cases import open_tasks
from store.db.database import Database
from store.people import absences, leavers, people, successors
from store.people.absences import Absence
from store.people.group_owners import ProvidedGroup
from store.people.last_admin import LastAdmin
from store.people.people import Person, UnknownPerson

router = APIRouter(tags=["people"])

PersonId = Annotated[Plain, Path(max_length=200)]


class NewAbsence(BaseModel):
    """An absence.

    The start and the end are days in the person's time zone, both included, or moments with an offset from UTC.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    starts: str = Field(alias="from", max_length=40, examples=["2026-12-21"])
    ends: str = Field(alias="to", max_length=40, examples=["2027-01-03"])
    substitute: Plain | None = Field(
        None, max_length=200, description="The person who decides instead: an id, a name or an e-mail address"
    )


class Absences(BaseModel):
    """The present and future absences of a person, the earliest first."""

    items: list[Absence]


class Replacement(BaseModel):
    """A request to replace a person who leaves: the successor and the reason."""

    model_config = ConfigDict(extra="forbid")

    by: Plain = Field(max_length=200, description="A person: id, name or e-mail address")
    reason: Plain = Field(min_length=1, max_length=4000)


@router.get("/me/absence", responses=documented(401, 503))
async def my_absence(person: Caller, db: Db) -> Absences:
    """List the present and future absences of the caller."""
    async with db.read() as conn:
        return Absences(items=await absences.of(conn, person.id, datetime.now(UTC)))


@router.put("/me/absence", responses=documented(401, 422, 503))
async def go_away(new: NewAbsence, person: Caller, db: Db) -> Absences:
    """Record an absence of the caller, and a substitute if the request names one.

    The absence replaces the parts of earlier absences with which it overlaps.
    """
    return await _away(db, person, new, by=person)


@router.delete("/me/absence", status_code=204, responses=documented(401, 503))
async def come_back(person: Caller, db: Db) -> Response:
    """End the caller's absence now, and delete the caller's future absences."""
    async with db.write() as conn:
        await absences.set_back(conn, person.id, datetime.now(UTC), by=person.id)
    return Response(status_code=204)


@router.put("/people/{person_id}/absence", responses=documented(401, 403, 404, 422, 503))
async def send_away(person_id: PersonId, new: NewAbsence, caller: Admin, db: Db) -> Absences:
    """Record an absence of a person. Admins only."""
    return await _away(db, await person_or_404(db, person_id), new, by=caller)


@router.get("/people/{person_id}/absence", responses=documented(401, 404, 422, 503))
async def absence(person_id: PersonId, _caller: PeopleReader, db: Db) -> Absences:
    """List the present and future absences of a person. For auditors and admins."""
    await person_or_404(db, person_id)
    async with db.read() as conn:
        return Absences(items=await absences.of(conn, person_id, datetime.now(UTC)))


@router.delete("/people/{person_id}/absence", status_code=204, responses=documented(401, 403, 404, 422, 503))
async def call_back(person_id: PersonId, caller: Admin, db: Db) -> Response:
    """End the absence of a person now, and delete the person's future absences. Admins only."""
    await person_or_404(db, person_id)
    async with db.write() as conn:
        await absences.set_back(conn, person_id, datetime.now(UTC), by=caller.id)
    return Response(status_code=204)


class Departure(BaseModel):
    """A request to deactivate a person who has left: the reason."""

    model_config = ConfigDict(extra="forbid")

    reason: Plain = Field(min_length=1, max_length=4000)


class Return(BaseModel):
    """A request to reactivate a person: the groups that the person gets."""

    model_config = ConfigDict(extra="forbid")

    groups: list[Plain] = Field([], max_length=50, examples=[["managers"]])


@router.post("/people/{person_id}/deactivate", status_code=204, responses=documented(401, 403, 404, 409, 422, 503))
async def deactivate(person_id: PersonId, why: Departure, caller: Admin, db: Db) -> Response:
    """Deactivate a person who has left without a successor.

    The person can no longer sign in. Admins only; another admin must deactivate an admin who leaves. Open tasks that
    nobody else can decide are escalated, or operators are asked. Open questions to this person end, and the people who
    asked and the operators are notified.
    """
    await person_or_404(db, person_id)
    try:
        async with db.write() as conn:
            await leavers.deactivate(conn, person_id, why.reason, by=caller.id)
            # After the change, which is undone: the last administrator has nobody to ask, and gets 409.
            check_for_another(caller, person_id, "deactivate your own account")
    except LastAdmin as last:
        raise Problem(409, f"{last}.", kind="last-admin") from last
    except ValueError as wrong:
        raise _not_so(wrong) from wrong
    return Response(status_code=204)


@router.post("/people/{person_id}/reactivate", status_code=204, responses=documented(401, 403, 404, 409, 422, 503))
async def reactivate(
    person_id: PersonId, back: Return, caller: Admin, services: TheServices, confirm: ConfirmGroup = False
) -> Response:
    """Reactivate a person who had left, under the same id. Admins only.

    The person is only in the groups that this request names and those that an identity provider gives, and needs a new
    password or token, such as by a one-time link. The successor keeps the requests, groups and tasks of the person.
    """
    await person_or_404(services.db, person_id)
    try:
        async with put_into(services, back.groups, confirm=confirm, field="groups") as conn:
            await leavers.reactivate(conn, person_id, back.groups, by=caller.id)
    except ProvidedGroup as provided:
        raise provided_problem(provided) from provided
    except ValueError as wrong:
        if isinstance(wrong, WrongField) and wrong.field == "groups":
            raise invalid(f"{wrong}.", [FieldError(field="groups", message=str(wrong))]) from wrong
        raise _not_so(wrong) from wrong
    return Response(status_code=204)


def _not_so(wrong: ValueError) -> Problem:
    return Problem(409, f"{str(wrong)[:1].upper()}{str(wrong)[1:]}.", kind="nothing-to-do")


@router.post("/people/{person_id}/replace", responses=documented(401, 403, 404, 409, 422, 503))
async def replace(person_id: PersonId, new: Replacement, caller: Admin, services: TheServices) -> HandOverResults:
    """Replace a person who leaves with a successor, also on open tasks. Admins only.

    The person who leaves can no longer sign in. If no worker answers, the answer lists tasks as `pending` or `refused`;
    Holdgate gives also these tasks to the successor as soon as a worker runs.
    """
    leaver = await person_or_404(services.db, person_id)
    async with services.db.read() as conn:
        after = await find_person(conn, new.by, caller, field="by", asking="Who is the successor?")
        done = await successors.in_place_of(conn, leaver.id) == after
    check_for_another(caller, after, "take over from a person who leaves")
    if after == leaver.id:
        raise invalid(
            "The successor must be another person.", [FieldError(field="by", message="must be another active person")]
        )
    if not done:
        try:
            with field_errors(field="by"):
                async with services.db.write() as conn:
                    await leavers.replace(conn, leaver.id, after, new.reason, by=caller.id)
        except LastAdmin as last:
            raise Problem(409, f"{last}.", kind="last-admin") from last
    async with services.db.read() as conn:
        named = await open_tasks.named_for(conn, leaver.id)
    found = [task for task in named if among(leaver.id, task.names)]
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(task: TaskView) -> HandOverResult:
        async with slots:
            try:
                wish = ActionRequest(act=Act.REPLACE, replaces=leaver.id, to=after, text=new.reason)
                acted = await services.gateway.act(caller, task, wish)
            except (Problem, *ANSWERED_ERRORS) as no:
                problem = no if isinstance(no, Problem) else problem_of_error(no)
                return HandOverResult(task_id=task.task_id, status="refused", problem=ProblemBody(**problem.body))
            return HandOverResult(task_id=task.task_id, status="done" if acted.task else "pending")

    return HandOverResults(items=await asyncio.gather(*(one(task) for task in found)))


async def person_or_404(db: Database, id: str) -> Person:
    """Return the person with this id. Raises Problem 404 if there is none."""
    async with db.read() as conn:
        try:
            return await people.get(conn, id)
        except UnknownPerson as unknown:
            raise not_found("person") from unknown


async def _away(db: Database, person: Person, new: NewAbsence, by: Person) -> Absences:
    zone, substitute = people.zone_of(person.time_zone), None
    if new.substitute and new.substitute.strip():
        async with db.read() as conn:
            substitute = await find_person(
                conn, new.substitute, by, field="substitute", asking="Who is the substitute?"
            )
        if person.id != by.id:
            check_for_another(by, substitute, "make yourself a substitute")
    try:
        async with db.write() as conn:
            await absences.add_by_days(conn, person.id, zone, (new.starts, new.ends), substitute, by=by.id)
            return Absences(items=await absences.of(conn, person.id, datetime.now(UTC)))
    except WrongField as wrong:
        raise invalid("The absence is not valid.", [FieldError(field=wrong.field, message=str(wrong))]) from wrong
