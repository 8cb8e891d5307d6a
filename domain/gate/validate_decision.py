"""Check whether a decision is valid. Update validator, Signal handler and gateway all call `check_decision`."""

from domain.confirmation import Confirm
from domain.gate.state import GateState
from domain.messages import Decision
from domain.permissions import among, place_of, voters
from domain.refusals import Refusal, RefusalCode, not_allowed
from domain.status import Verdict
from domain.task import TaskView

REASONS = {
    Verdict.SKIP: "Say in the comment why the step may be skipped.",
    Verdict.DONE_BY_HAND: "Say in the comment what was done by hand, and where that can be seen.",
}
"""For each verdict after which Holdgate does not carry out the step: the message that asks for a comment."""
CONFIRM = {
    Confirm.PASSWORD: "Confirm this decision with your password.",
    Confirm.PASSKEY: "Confirm this decision with your passkey.",
}
"""For each way to confirm a decision: the message that asks for a confirmation."""
EDITING = (Verdict.APPROVE, Verdict.RESUBMIT, Verdict.RETRY)
"""Verdicts with which a person may also edit the input."""


def check_decision(state: GateState, decision: Decision) -> str:
    """Return the name of the rule that allows a decision. Raises Refusal if the decision is not valid.

    The check changes nothing.

    Rules about people are checked first, so that a person who must not decide gets the refusal NOT_ALLOWED in every
    state of the task.
    """
    task = state.task
    rule, behalf = place_of(task, decision.by)
    check_open(state, decision.revision, required=task.revision_required)
    _check_first_vote(task, decision.by.id, behalf)
    if decision.verdict not in task.verdicts:
        raise wrong_verdict(task, decision.verdict)
    _check_comment(task, decision)
    _check_edits(task, decision)
    _check_confirmed(task, decision)
    return rule


def wrong_verdict(task: TaskView, verdict: str) -> Refusal:
    """Return the refusal of a verdict that this task does not accept."""
    return Refusal(
        RefusalCode.WRONG_VERDICT,
        f"This task does not accept the verdict '{verdict}'. Accepted verdicts: {', '.join(task.verdicts)}.",
        allowed=list(task.verdicts),
    )


def check_open(state: GateState, revision: int | None, *, required: bool = False) -> None:
    """Raise Refusal if the gate is closed, waits for its rules, or if the person did not see the latest revision.

    `revision` is None if the message names no revision. If `required` is True, a message without a revision is refused.
    """
    task = state.task
    if task.outcome is not None:
        raise Refusal(
            RefusalCode.ALREADY_CLOSED,
            f"This task is closed already: {task.outcome.value.replace('_', ' ')}.",
            outcome=task.outcome.value,
        )
    if revision is None and required:
        raise Refusal(
            RefusalCode.REVISION_NEEDED,
            f"Send the revision of the task that you have seen. The latest revision is {task.revision}.",
            revision=task.revision,
        )
    if revision is not None and revision != task.revision:
        raise Refusal(
            RefusalCode.STALE,
            f"The task has changed since you looked at it. You saw revision {revision}, the latest is {task.revision}. "
            "Load the task again, then decide or act.",
            revision=task.revision,
            changed=list(dict.fromkeys(what for at, what in state.revised if at > revision)),
        )
    if state.edited:
        raise Refusal(RefusalCode.NOT_READY, "The task was edited a moment ago. Try again.")


def _check_first_vote(task: TaskView, person: str, behalf: str | None) -> None:
    """Raise Refusal if the person, or `behalf`, in whose place the person decides, has decided already."""
    done = voters(task)
    if among(person, done):
        raise not_allowed(
            "You have decided this task already, or somebody has decided on your behalf. "
            "The other decisions must come from other people.",
            "quorum: each person counts once",
        )
    if behalf and among(behalf, done):
        raise not_allowed(
            f"{behalf} has decided this task already, or somebody has decided on behalf of {behalf}. "
            "Another person must decide.",
            "quorum: each person counts once",
        )


def _check_comment(task: TaskView, decision: Decision) -> None:
    verdict = decision.verdict
    if decision.comment.strip():
        return
    if verdict in REASONS:
        raise Refusal(RefusalCode.COMMENT_NEEDED, REASONS[verdict])
    if verdict in task.comment_needed:
        raise Refusal(RefusalCode.COMMENT_NEEDED, f"To {verdict.replace('_', ' ')}, say why in the comment.")


def _check_edits(task: TaskView, decision: Decision) -> None:
    """Raise Refusal if the decision edits a field that the task does not allow to edit.

    The case checks the new values later.
    """
    if not decision.edits:
        return
    if decision.verdict not in EDITING:
        raise Refusal(
            RefusalCode.INVALID_EDITS, "You can edit the input only when you approve, submit again or retry.", fields=[]
        )
    wrong = sorted(set(decision.edits) - set(task.editable))
    if wrong:
        may = ", ".join(task.editable) or "none"
        raise Refusal(RefusalCode.INVALID_EDITS, f"In this task you can edit only these fields: {may}.", fields=wrong)


def _check_confirmed(task: TaskView, decision: Decision) -> None:
    """Raise Refusal if the person has not confirmed the decision as the policy asks.

    This is the last check: the gateway asks people to confirm only a decision that is valid otherwise.
    """
    if not task.confirm.met_by(decision.confirmed):
        raise Refusal(RefusalCode.CONFIRM_NEEDED, CONFIRM[task.confirm], method=task.confirm.value)
