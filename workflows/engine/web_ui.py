"""Texts for the Temporal Web UI: search attributes and current details of a case."""

from collections.abc import Iterable, Sequence
from typing import Any

from temporalio.common import SearchAttributeUpdate

from domain.moments import moment_text
from domain.names import DUE_ATTRIBUTE, GATE_ATTRIBUTE, STATUS_ATTRIBUTE
from domain.state_words import state
from domain.status import Status
from domain.task import TaskView
from domain.undo import UndoView


def attributes(status: Status, task: TaskView | None) -> Sequence[SearchAttributeUpdate[Any]]:
    """Return the search attributes of a case that waits at this task, or at none."""
    due = task.due_at if task else None
    return [
        STATUS_ATTRIBUTE.value_set(status.value),
        GATE_ATTRIBUTE.value_set(task.gate) if task else GATE_ATTRIBUTE.value_unset(),
        DUE_ATTRIBUTE.value_set(due) if due else DUE_ATTRIBUTE.value_unset(),
    ]


def details(status: Status, doing: str, tasks: Iterable[TaskView], plan: Sequence[UndoView]) -> str:
    """Return the status of a case, its open tasks and its rollback plan, in Markdown."""
    lines = [f"**{state(status)}**: {doing}", ""]
    for task in tasks:
        if task.status == "open":
            who = ", ".join(task.candidate_groups + task.candidate_users)
            lines += [f"- waiting for **{who}** ({task.quorum.given} of {task.quorum.needed} approvals)"]
            lines += [f"- due {moment_text(task.due_at)}"] if task.due_at else []
            lines += [f"- expires {moment_text(task.expires_at)}"] if task.expires_at else []
    if plan:
        when = "Still to roll back" if status is Status.ROLLING_BACK else "Rolled back if this case is rejected"
        lines += ["", f"{when}, in this order:", "", *(f"1. {undo.summary}" for undo in plan)]
    return "\n".join(lines)
