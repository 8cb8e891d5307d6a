"""Reveal a masked field of a case to a person whom the policy in force allows, and record who saw it, when and why.

The policy in force counts, and not the policy of the case: a right that is taken away must count at once, also for open
cases. The event is committed before the value is answered, so nobody sees a value without an event.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, Field

from api.container import Services
from api.http.problems import FieldError, Problem, forbidden, invalid, not_found
from domain.case import CaseEvent
from domain.erasure import check_content
from domain.event_kinds import EventKind
from domain.masking import Masking, hidden_values, without
from domain.task import TaskView
from policy.model import Policy
from store.audit import audit_log, refusal_counts
from store.cases import cases
from store.cases.cases import CaseRow
from store.db.connection import AsyncConnection
from store.people.people import Person
from workflows.registry import PROCESSES


class Revealed(BaseModel):
    """The whole value of a masked field."""

    field: str = Field(examples=["payee_account"])
    value: Any = Field(
        description="The value as it is now; null if the field is empty", examples=["GB82WEST12345698765432"]
    )


class AlreadyRevealed(Exception):
    """Raised if a form that reveals a field is sent a second time, as by loading its answer again."""


def revealable(policy: Policy, person: Person, process: str) -> list[str]:
    """Return the masked fields of a process that the person may reveal, in the order of the policy."""
    masked = _masking(process).fields
    return [field for field in policy.reveal(process) if field in masked and _may(policy, person, process, field)]


async def reveal(
    services: Services,
    person: Person,
    task: TaskView,
    field: str,
    reason: str,
    *,
    via: str = "api",
    key: str | None = None,
) -> Revealed:
    """Record the reveal, and return the whole value of the field in the current input of the case of the task.

    `person` may see the task. `key` is the id of a form. Raises AlreadyRevealed if a form with this id was answered;
    Problem 422 if the field is not masked, and 403 without the right, which is recorded; ContentErased if the case was
    erased.
    """
    masking, policy = _masking(task.process), services.policy.current
    if field not in masking.fields:
        raise _not_masked(field, masking)
    data = {"task_id": task.task_id, "gate": task.gate, "field": field, "via": via}
    if not _may(policy, person, task.process, field):
        # Without the reason. It can contain the value, and masking the value there would confirm a guess.
        async with services.db.write() as conn:
            await refusal_counts.record(conn, _refused(task, person, data), person.id)
        raise _not_allowed(policy, task.process, field)
    async with services.db.write() as conn:
        case = await _unerased(conn, task)
        hidden = list(hidden_values(case.input, masking.input(case.input)))
        event = CaseEvent(
            event_id=f"reveal/{task.task_id}/{key or uuid4()}",
            case_id=task.case_id,
            at=datetime.now(UTC),
            kind=EventKind.FIELD_REVEALED,
            actor=person.id,
            summary=f"{person.id} revealed {field}",
            data=data | {"reason": without(reason, hidden)},
        )
        if not (await audit_log.add(conn, [event])).added:
            raise AlreadyRevealed
        case = await _unerased(conn, task)  # read again, because the event has locked the row of the case
    return Revealed(field=field, value=masking.found(case.input, field))


async def _unerased(conn: AsyncConnection, task: TaskView) -> CaseRow:
    """Return the case of a task. Raises ContentErased if its content was erased."""
    case = await cases.get(conn, task.case_id)
    if case is None:
        raise not_found("task")
    check_content(case)
    return case


def _may(policy: Policy, person: Person, process: str, field: str) -> bool:
    if person.kind == "service":
        return False
    return not set(policy.reveal(process).get(field, ())).isdisjoint(person.groups)


def _masking(process: str) -> Masking:
    known = PROCESSES.get(process)
    return known.words.masking if known else Masking()


def _not_masked(field: str, masking: Masking) -> Problem:
    masked = sorted(masking.fields)
    said = f"choose one of {', '.join(masked)}" if masked else "this request type has no masked field"
    told = f"'{field[:100]}' is not a masked field: {said}"
    return invalid(
        "The field cannot be revealed, because it is not a masked field.",
        [FieldError(field="field", message=told)],
        masked=masked,
    )


def _not_allowed(policy: Policy, process: str, field: str) -> Problem:
    groups = policy.reveal(process).get(field, [])
    who = f"members of {', '.join(groups)}" if groups else "nobody"
    rule = f"the key 'reveal' of {process} in the policy: {who}"
    return forbidden(f"You may not reveal {field}. The policy allows this to {who}.", rule)


def _refused(task: TaskView, person: Person, data: dict[str, Any]) -> CaseEvent:
    return CaseEvent(
        event_id=f"refusal/{uuid4()}",
        case_id=task.case_id,
        at=datetime.now(UTC),
        kind=EventKind.REVEAL_REFUSED,
        actor=person.id,
        summary=f"{person.id} was refused to reveal {data['field']}",
        data=data,
    )
