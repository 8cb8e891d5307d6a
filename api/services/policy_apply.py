"""Apply the policy in force to open gates, or only report what would change.

Decided gates never change. Gates that open later use the policy that is pinned to their case.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, Field, ValidationError

from api.container import Services
from api.gateway.requests import ActionRequest
from api.http.exception_handlers import ANSWERED_ERRORS, problem_of_error
from api.http.problems import Problem, ProblemBody
from domain.gate import Gate
from domain.messages import Act
from domain.ruling import GateRuling
from domain.task import TaskView
from policy.candidates import with_people
from policy.model import Policy, UnknownGate
from policy.rules import rule
from store.cases import cases, policies
from store.people.people import PeopleDirectory, Person
from workflows.registry import INPUTS


class GateChange(BaseModel):
    """What the policy in force changes at one open gate, and whether it was applied."""

    task_id: str
    case_id: str
    gate: str
    title: str
    difference: str = Field(description="In words", examples=["approvals needed: 1 became 2"])
    status: str = Field(description="`would_change`, `changed`, `refused`, or `pending`: stored until a worker is back")
    problem: ProblemBody | None = None


async def gate_changes(
    services: Services,
    person: Person,
    found: Sequence[TaskView],
    policy: Policy,
    reason: str,
    *,
    dry_run: bool,
    times: bool,
) -> list[GateChange]:
    """Return the open gates for which this policy makes a difference; unless `dry_run`, apply the policy to them.

    With `times`, the due time and the expiry of the policy also replace times that an admin set.
    """
    if not dry_run:
        async with services.db.write() as conn:
            await policies.keep(conn, policy.hash, policy.text)
    answers = []
    for task in found:
        shift = GateChange(
            task_id=task.task_id,
            case_id=task.case_id,
            gate=task.gate,
            title=task.title,
            difference="",
            status="would_change",
        )
        try:
            ruling = await _ruling(services, policy, task)
        except ValidationError:
            why = (
                f"The input of {task.case_id} no longer fits its process, so the policy cannot be applied to the case. "
                "Correct the code of the process, then apply the policy again."
            )
            answers.append(_refused(shift, Problem(409, why, kind="cannot-rule")))
            continue
        if ruling is None or not (difference := _difference(task, ruling, times)):
            continue
        shift = shift.model_copy(update={"difference": difference})
        wish = ActionRequest(
            act=Act.NEW_RULES,
            ruling=ruling,
            policy_hash=policy.hash,
            text=reason,
            times=times,
            revision=task.revision,
        )
        answers.append(shift if dry_run else await _shifted(services, person, task, wish, shift))
    return answers


async def _shifted(
    services: Services, person: Person, task: TaskView, wish: ActionRequest, shift: GateChange
) -> GateChange:
    try:
        acted = await services.gateway.act(person, task, wish)
    except (Problem, *ANSWERED_ERRORS) as no:
        return _refused(shift, no if isinstance(no, Problem) else problem_of_error(no))
    return shift.model_copy(update={"status": "changed" if acted.task else "pending"})


def _refused(shift: GateChange, no: Problem) -> GateChange:
    return shift.model_copy(update={"status": "refused", "problem": ProblemBody(**no.body)})


async def _ruling(services: Services, policy: Policy, task: TaskView) -> GateRuling | None:
    """Return what the policy says about an open gate; None if the policy has no such gate.

    Conditions of the policy are evaluated with the values that the gate had when it opened.
    """
    async with services.db.read() as conn:
        case = await cases.get(conn, task.case_id)
    if case is None or case.process not in INPUTS or not policy.has(case.process):
        return None
    seen = {
        "reference": case.reference,
        "requester": case.requester,
        "priority": case.priority,
        "batch_id": case.batch_id or "",
    }
    try:
        ruling = rule(
            policy,
            case.process,
            task.gate,
            input=INPUTS[case.process].model_validate(case.input),
            facts=task.facts,
            case=seen,
            at=task.opened_at,
        )
    except UnknownGate:
        return None
    return (await with_people(task, ruling, PeopleDirectory(services.db))).ruling


def _difference(task: TaskView, ruling: GateRuling, times: bool) -> str:
    """Return in words what the ruling would change at the task's gate; empty if it would change nothing."""
    probe = Gate(task, ruling)
    happened = probe.adopt(ruling, datetime.now(UTC), times=times)
    return probe.closed_because or "; ".join(happened.data["changed"])
