"""Check what the caller may see and do. `callers.py` finds out who the caller is.

Roles, such as operator or admin, are groups of people. A caller gets 404 for an item that they may not see, and 403 for
an action that they may not do.
"""

from typing import Annotated

from fastapi import Depends
from pydantic import BaseModel

from api.http.callers import Caller
from api.http.problems import Problem, forbidden, not_found
from domain.confirmation import Confirmation
from domain.gate import Gate
from domain.messages import Absent, Actor, Decision
from domain.names import ADMINS, DATA_STEWARDS, SECURITY
from domain.permissions import Requested, requesters
from domain.refusals import Refusal
from domain.ruling import GateRuling
from domain.scope import DATASETS_OF, DIRECTORY_OF, LEDGER_OF, RISKS_OF
from domain.task import TaskView
from store.cases import batches
from store.cases.batches import Batch
from store.cases.cases import CaseRow
from store.db.database import Database
from store.people.people import Person
from store.people.viewers import viewer as viewer


class CanDecide(BaseModel):
    """Whether the caller may decide a task now.

    `why` is the rule that allows the decision, or the reason against the decision.
    """

    allowed: bool
    why: str


def actor(person: Person) -> Actor:
    """Return the person as the actor of a message to a Workflow, with the person's present groups."""
    absent = [Absent(id=each.id, groups=each.groups) for each in person.stands_in_for]
    return Actor(id=person.id, kind=person.kind, groups=person.groups, stands_in_for=absent)


def is_in(person: Person, *groups: str) -> bool:
    """Return True if the person is a member of one of the groups."""
    return not set(groups).isdisjoint(person.groups)


async def requester(person: Caller) -> Person:
    """Return the caller if they may start cases of any process. Raises Problem 403 otherwise."""
    if not person.scope.starts:
        raise forbidden("You may not start cases: only requesters of a process and admins do.", "requesters or admins")
    return person


async def overseer(person: Caller) -> Person:
    """Return the caller if they may read audit events: of processes, or of the installation.

    Which events the caller reads depends on `Person.scope`. Raises Problem 404 otherwise.
    """
    if not (person.scope.audits or person.scope.oversees_installation):
        raise not_found("page")
    return person


async def policy_reader(person: Caller) -> Person:
    """Return the caller if they may read policy texts. Raises Problem 404 otherwise."""
    if not person.scope.audits_installation:
        raise not_found("policy")
    return person


async def people_reader(person: Caller) -> Person:
    """Return the caller if they may see the list of people. Raises Problem 404 otherwise."""
    if not person.scope.audits_installation:
        raise not_found("page")
    return person


async def admin(person: Caller) -> Person:
    """Return the caller if they may change the list of people.

    Raises Problem 403 if the caller may only read the list, 404 otherwise.
    """
    await people_reader(person)
    check_admin(person, f"Only members of {ADMINS} change people, groups and tokens.")
    return person


async def operator(person: Caller) -> Person:
    """Return the caller if they may handle incidents of any process. Raises Problem 404 otherwise."""
    if not person.scope.operates:
        raise not_found("page")
    return person


async def ledger_reader(person: Caller) -> Person:
    """Return the caller if they may read the ledger, in which payments are entered. Raises Problem 404 otherwise."""
    if LEDGER_OF not in person.scope.audits:
        raise not_found("page")
    return person


async def directory_reader(person: Caller) -> Person:
    """Return the caller if they may read the directory of accounts. Raises Problem 404 otherwise."""
    if DIRECTORY_OF not in person.scope.audits:
        raise not_found("page")
    return person


async def data_reader(person: Caller) -> Person:
    """Return the caller if they may read published datasets. Raises Problem 404 otherwise."""
    scope = person.scope
    if not (DATASETS_OF in scope.starts or DATASETS_OF in scope.sees or is_in(person, DATA_STEWARDS)):
        raise not_found("dataset")
    return person


async def risk_reader(person: Caller) -> Person:
    """Return the caller if they may read accepted risks. Raises Problem 404 otherwise."""
    if not (RISKS_OF in person.scope.sees or is_in(person, SECURITY)):
        raise not_found("risk")
    return person


LedgerReader = Annotated[Person, Depends(ledger_reader)]
DirectoryReader = Annotated[Person, Depends(directory_reader)]
RiskReader = Annotated[Person, Depends(risk_reader)]
DataReader = Annotated[Person, Depends(data_reader)]
PeopleReader = Annotated[Person, Depends(people_reader)]
Admin = Annotated[Person, Depends(admin)]
Operator = Annotated[Person, Depends(operator)]
Requester = Annotated[Person, Depends(requester)]
Overseer = Annotated[Person, Depends(overseer)]
PolicyReader = Annotated[Person, Depends(policy_reader)]


def check_for_another(person: Person, id: str | None, what: str) -> None:
    """Raise Problem 403 if the administrator `person` is the person with this id.

    `what` is the action in words, as they follow "You cannot".
    """
    if id is not None and id.casefold() == person.id.casefold():
        raise forbidden(
            f"You cannot {what} by yourself. Ask another administrator. If there is no other, use the command line.",
            "two administrators: nobody gives themselves groups, reports, substitutions or an address, or leaves",
        )


def check_admin(person: Person, message: str) -> None:
    """Raise Problem 403 with the message if the person is no admin."""
    if not is_in(person, ADMINS):
        raise forbidden(message, f"members of {ADMINS}")


def asks(person: Person, requested: Requested) -> bool:
    """Return True if the person, or a person whose successor they are, counts as requester of a case or upload."""
    return not set(requesters(requested)).isdisjoint(person.asks_as)


async def may_see_batch(db: Database, person: Person, batch: Batch) -> bool:
    """Return True if the person may see a batch.

    These people may see a batch: everybody who counts as requester, and people who oversee the processes of all its
    rows.
    """
    if asks(person, batch) or person.scope.sees.everywhere:
        return True
    async with db.read() as conn:
        return await batches.is_within(conn, batch.batch_id, person.scope.sees)


async def operates_batch(db: Database, person: Person, batch: Batch) -> bool:
    """Return True if the person operates the processes of all rows of a batch, or is an admin."""
    if person.scope.operates.everywhere:
        return True
    async with db.read() as conn:
        return await batches.is_within(conn, batch.batch_id, person.scope.operates)


async def check_own_batch(db: Database, person: Person, batch: Batch, what: str) -> None:
    """Raise Problem 403 unless the person is the uploader of the batch or their successor, operates it, or is an admin.

    `what` is the action in words, as in `check_own`.
    """
    if not asks(person, batch) and not await operates_batch(db, person, batch):
        raise _not_own(what)


def check_own(person: Person, case: CaseRow, what: str) -> None:
    """Raise Problem 403 unless the person counts as requester of the case, operates its process, or is an admin.

    `what` is the action in words, as they follow "operators of the process and admins".
    """
    if not asks(person, case) and case.process not in person.scope.operates:
        raise _not_own(what)


def _not_own(what: str) -> Problem:
    return forbidden(
        f"Only the requester (or the successor of the requester), operators of the process and admins {what}.",
        "the requester or the successor of the requester, operators of the process, or admins",
    )


def check_may_nudge(person: Person, task: TaskView) -> None:
    """Raise Problem 403 unless the person counts as requester of the case."""
    if not asks(person, task):
        raise forbidden(
            "Only the requester of a case, or the successor of the requester, can send a reminder.",
            "the requester or the successor of the requester",
        )


def check_may_operate(person: Person, process: str, what: str) -> None:
    """Raise Problem 403 unless the person is an operator of the process or an admin.

    `what` is the action in words, as they follow "operators of the process and admins".
    """
    if process not in person.scope.operates:
        raise forbidden(f"Only operators of the process and admins {what}.", "operators of the process, or admins")


def can_decide(task: TaskView, by: Actor) -> CanDecide:
    """Return whether the person may decide the task now, by the rules that the Workflow of the task applies.

    The person need not have confirmed anything yet.
    """
    probe = Decision(
        id="probe",
        task_id=task.task_id,
        verdict=task.verdicts[0],
        by=by,
        comment="-",
        revision=task.revision,
        confirmation=Confirmation(method=task.confirm),
        at=task.opened_at,
    )
    try:
        rule = Gate(task, GateRuling(needed=True, rule=task.rule)).check(probe)
    except Refusal as no:
        return CanDecide(allowed=False, why=no.message)
    return CanDecide(allowed=True, why=rule)
