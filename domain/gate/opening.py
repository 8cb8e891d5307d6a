"""A gate as it opens: its task with the people and times of the ruling, and the event of the opening.

The activity that opens a gate computes the task and the event, to write both. The Workflow computes both again from the
answer of the activity. Therefore this answer does not repeat in the history what the Workflow knows.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from domain.case import CaseEvent
from domain.confirmation import Confirm
from domain.records import GateOpening, GateRequest
from domain.ruling import GateRuling
from domain.status import Verdict
from domain.task import Quorum, TaskView


class OpenedGate(NamedTuple):
    """A gate after its opening. `task` is None if no person has to decide."""

    ruling: GateRuling
    task: TaskView | None
    event: CaseEvent


def opened_gate(request: GateRequest, opening: GateOpening) -> OpenedGate:
    """Return the gate of a request after its opening. `opening` is the answer of the activity that opens gates."""
    task, ruling = request.task, opening.ruling
    opened = _with_people(task, ruling, opening.excluded) if ruling.needed else None
    intervenes = task.kind == "intervention"
    kind = "intervention_opened" if intervenes else "gate_opened"
    event = CaseEvent(
        event_id=request.event_id,
        case_id=task.case_id,
        at=task.opened_at,
        kind=kind if opened else "gate_decided_by_rule" if ruling.decided else "gate_skipped",
        actor="holdgate",
        summary=opening_in_words(task, ruling) + opening.said,
        data={
            "gate": task.gate,
            "task_id": opened.task_id if opened else None,
            "groups": ruling.groups,
            "users": ruling.users,
            "needed": ruling.quorum,
            "escalated": bool(opening.said),
            "decided": ruling.decided,
            "rule": ruling.rule,
            "names": ruling.names,
            "problem": ruling.problem,
            "policy": request.policy_hash,
            **({"confirm": ruling.confirm.value} if ruling.confirm is not Confirm.NONE else {}),
        },
    )
    return OpenedGate(ruling, opened, event)


def _with_people(task: TaskView, ruling: GateRuling, excluded: list[str]) -> TaskView:
    return task.model_copy(
        update={
            "candidate_groups": ruling.groups,
            "candidate_users": ruling.users,
            "excluded_users": excluded,
            "members": ruling.members,
            "quorum": Quorum(needed=ruling.quorum),
            "veto": ruling.veto,
            "verdicts": [
                verdict
                for verdict in task.verdicts
                if verdict is not Verdict.REQUEST_CHANGES or task.round < ruling.max_rounds
            ],
            "comment_needed": ruling.comment_needed,
            "revision_required": ruling.revision_required,
            "confirm": ruling.confirm,
            "substitutes": ruling.substitutes,
            # Operators may change every field of the input, unless the policy names some.
            "editable": [name for name in ruling.editable if name in task.editable]
            if ruling.editable or task.kind != "intervention"
            else task.editable,
            "due_at": ruling.due_at,
            "expires_at": ruling.expires_at,
            "rule": ruling.problem or ruling.rule,
        }
    )


def opening_in_words(task: TaskView, ruling: GateRuling) -> str:
    """Return a sentence about what the ruling says: who must decide, or which rule decided or made it unnecessary."""
    name = task.gate.replace("-", " ").capitalize()
    if ruling.decided:
        said = "approved" if ruling.decided == "approve" else "rejected"
        return f"{name}: {said} by rule, {ruling.rule} holds ({_values(ruling.names)})"
    if not ruling.needed:
        return f"{name} was not needed: {ruling.rule} does not hold ({_values(ruling.names)})"
    names = ", ".join(ruling.groups + ruling.users)
    if ruling.problem:
        return f"{name} waits for {names}, because a rule could not be evaluated: {ruling.problem}"
    many = f" ({ruling.quorum} people)" if ruling.quorum > 1 else ""
    return f"{name} waits for {names}{many}"


def _values(names: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} = {value if isinstance(value, str) else json.dumps(value)}" for name, value in names.items()
    )
