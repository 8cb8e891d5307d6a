"""Count a valid decision: its effect on quorum, veto, edits and outcome."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from domain.base import FieldChange
from domain.gate.state import GateState
from domain.messages import Decision
from domain.permissions import place_of
from domain.status import Outcome, Verdict
from domain.task import DecisionView, Quorum, TaskView

OUTCOMES = {
    Verdict.REQUEST_CHANGES: Outcome.CHANGES_REQUESTED,
    Verdict.RESUBMIT: Outcome.RESUBMITTED,
    Verdict.RETRY: Outcome.RETRY,
    Verdict.SKIP: Outcome.SKIP,
    Verdict.DONE_BY_HAND: Outcome.DONE_BY_HAND,
    Verdict.ROLL_BACK: Outcome.ROLL_BACK,
}
"""The outcome of each verdict that ends a gate without a quorum.

On an intervention task, a verdict ends the gate only when as many people as its quorum says have given the same verdict
with the same edits.
"""


def count_decision(
    state: GateState, decision: Decision, now: datetime, edits: Sequence[FieldChange], **edited: Any
) -> list[DecisionView]:
    """Count a decision that `check_decision` has allowed. Return the earlier decisions that this decision makes void.

    `edits` are the fields of the input that the decision changes. `edited` are the fields of the task that show the new
    input. An approval with edits replaces all earlier decisions, because they concern the old input. After an approval
    with edits, the gate stays open until the rules for the new input are known (`follow_ruling`).
    """
    assert state.open, "check_decision refuses decisions on a closed gate"
    verdict = decision.verdict
    _, behalf = place_of(state.task, decision.by)
    # A delegate's decision uses up two people: the delegate, and who delegated. On a gate that asks operators for help,
    # the decision of a person who was counted as away can make the quorum possible again.
    state.uncertain |= state.task.owner is not None or bool(state.short)
    view = DecisionView(
        decision_id=decision.id,
        verdict=verdict,
        by=decision.by.id,
        at=decision.at,
        comment=decision.comment,
        on_behalf_of=behalf,
        edits=list(edits),
        confirmed=decision.confirmed,
        name=decision.confirmation.name if decision.confirmation else "",
    )
    # A claim ends with the decision of its holder; other people may be needed.
    state.change(decisions=[*state.task.decisions, view], assignee=None, owner=None)
    if state.task.kind == "intervention":
        _count_alike(state, view, now)
    elif verdict in OUTCOMES:
        state.close(OUTCOMES[verdict], now)
    elif verdict is Verdict.REJECT and state.task.veto:
        state.close(Outcome.REJECTED, now)
    elif verdict is Verdict.APPROVE and edits:
        void = state.task.decisions[:-1]
        state.edited = True
        state.change(decisions=[view], changes=_joined_changes(state.task.changes, edits), **edited)
        state.revise("input")
        count_approvals(state)
        return void
    elif verdict is Verdict.APPROVE:
        close_if_approved(state, now)
    else:
        state.uncertain = True
    return []


def close_if_approved(state: GateState, now: datetime) -> None:
    """Count the approvals. If the approvals reach the quorum, close the gate as approved."""
    count_approvals(state)
    if state.task.quorum.given >= state.task.quorum.needed:
        state.close(Outcome.APPROVED, now)


def count_approvals(state: GateState) -> None:
    """Compute how many decisions count towards the quorum, and store the number in the task."""
    state.change(quorum=Quorum(needed=state.task.quorum.needed, given=given(state.task)))


def given(task: TaskView) -> int:
    """Return how many decisions count towards the quorum.

    On an approval task, count the approvals. On an intervention task, count the equal decisions of operators: the
    result is the size of the largest group of equal decisions.
    """
    if task.kind == "intervention":
        return max((_alike(task, view) for view in task.decisions), default=0)
    return sum(view.verdict is Verdict.APPROVE for view in task.decisions)


def _count_alike(state: GateState, view: DecisionView, now: datetime) -> None:
    """Close an intervention if enough operators have given a decision that is equal to this decision."""
    count_approvals(state)
    if _alike(state.task, view) >= state.task.quorum.needed:
        state.close(OUTCOMES[view.verdict], now)
    else:
        state.uncertain = True


def _alike(task: TaskView, view: DecisionView) -> int:
    return sum((each.verdict, each.edits) == (view.verdict, view.edits) for each in task.decisions)


def _joined_changes(before: Sequence[FieldChange], now: Sequence[FieldChange]) -> list[FieldChange]:
    """Return the changes in `before` and then those in `now`, two lists of changes of the input, as one list.

    A field that changed twice is in the list once, from its first to its last value.
    """
    found = {change.field: change for change in before}
    for change in now:
        first = found[change.field].before if change.field in found else change.before
        found[change.field] = FieldChange(field=change.field, before=first, after=change.after)
    return [change for change in found.values() if change.before != change.after]
