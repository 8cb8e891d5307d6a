"""Record each refused message in the audit log of its case, and make the problem that answers it."""

import uuid

from api.gateway.refusal_problems import problem_of_refusal
from api.http.problems import Problem
from domain.case import CaseEvent
from domain.messages import Action, Decision
from domain.refusals import Refusal, RefusalCode
from domain.task import TaskView
from store.audit import refusal_counts
from store.cases.actions import ActionRow
from store.cases.cases import CaseRow
from store.cases.tasks import DecisionRow
from store.db.database import Database

CERTAIN_REFUSALS = frozenset(
    {
        RefusalCode.NOT_ALLOWED,
        RefusalCode.ALREADY_CLOSED,
        RefusalCode.REVISION_NEEDED,
        RefusalCode.MISSING,
        RefusalCode.CONFIRM_NEEDED,
    }
)
"""The codes of refusals that follow from the stored task alone, so that the gateway can refuse without a worker."""


class RefusalLog:
    """Records refused messages, because Temporal does not store a refused Update."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def refuse(self, task: TaskView, sent: Decision | Action, refusal: Refusal) -> Problem:
        """Record that a message about a task was refused, and return the problem to raise.

        Many refusals of the same person are counted, without an event for each.
        """
        async with self._db.write() as conn:
            await refusal_counts.record(conn, _event(task, sent, refusal), sent.by.id)
        return problem_of_refusal(sent.id, refusal)


def recorded(known: DecisionRow | ActionRow, task: TaskView) -> Refusal:
    """Return the refusal of a decision or an action that was refused earlier, with the outcome of its task."""
    return Refusal(RefusalCode.of(known.code), known.refusal, outcome=task.outcome)


def ended(case: CaseRow) -> Problem:
    """Return the problem for a message to a case that has ended: 409 with the outcome of the case."""
    return Problem(
        409,
        f"The case has ended already: {case.status.replace('_', ' ')}.",
        kind="already-closed",
        case_id=case.case_id,
        outcome=case.status,
    )


def _event(task: TaskView, sent: Decision | Action, refusal: Refusal) -> CaseEvent:
    if isinstance(sent, Decision):
        kind, wanted, text = "decision_refused", sent.verdict.value, {"comment": sent.comment}
    else:
        kind, wanted = "action_refused", sent.act.value
        text = {"text": sent.text, "to": sent.to.id if sent.to else ""}
    return CaseEvent(
        event_id=f"refusal/{uuid.uuid4()}",
        case_id=task.case_id,
        at=sent.at,
        kind=kind,
        actor=sent.by.id,
        summary=f"{sent.by.id} was refused to {wanted.replace('_', ' ')}: {refusal.message}",
        data={
            "task_id": task.task_id,
            "gate": task.gate,
            "decision_id": sent.id,
            "verdict": wanted,
            **text,
            "groups": sent.by.groups,
            "revision": sent.revision,
            "code": refusal.code.value,
            "via": sent.via,
        },
    )
