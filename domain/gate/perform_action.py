"""Change the state of a gate as an allowed action says. Decisions are in `count_decision.py`."""

from datetime import datetime
from typing import assert_never

from domain.gate.clock import set_clock
from domain.gate.count_decision import close_if_approved
from domain.gate.follow_ruling import follow_ruling
from domain.gate.questions import answer, ask, withdraw_question
from domain.gate.replace_person import replace_person
from domain.gate.separation_of_duties import changes_deciders
from domain.gate.state import GateEvent, GateState, joined
from domain.messages import Act, Action
from domain.permissions import candidacy, place_of, same
from domain.task import DecisionView


def perform_action(state: GateState, action: Action, now: datetime) -> tuple[GateEvent | None, list[DecisionView]]:
    """Perform an allowed action. Return its audit event, or None, and the decisions that the action takes back."""
    before, excludes = state.task, changes_deciders(state.task, state.ruling, action)
    event = _perform(state, action, now)
    if event and action.to and action.act is not Act.REPLACE:  # the event of a replacement says who has the task now
        event.data["to"] = action.to.id
    if excludes and state.open:
        _exclude_who_changed_deciders(state, action.by.id)
    return event, [view for view in before.decisions if view not in state.task.decisions]


def _perform(state: GateState, action: Action, now: datetime) -> GateEvent | None:
    match action.act:
        case Act.CLAIM:
            return _claim(state, action)
        case Act.RELEASE:
            return _release(state, action)
        case Act.REASSIGN:
            return _reassign(state, action)
        case Act.DELEGATE:
            return _delegate(state, action)
        case Act.WITHDRAW:
            return _withdraw_decisions(state, action, now)
        case Act.ASK:
            return ask(state, action, now)
        case Act.ANSWER:
            return answer(state, action, now)
        case Act.WITHDRAW_QUESTION:
            return withdraw_question(state, action, now)
        case Act.SET_CLOCK:
            return set_clock(state, action)
        case Act.REPLACE:
            return replace_person(state, action.replaces or "", action.to.id if action.to else None, now)
        case Act.NEW_RULES:
            assert action.ruling is not None, "the gateway sends the ruling"
            event = follow_ruling(state, action.ruling, now, times=action.times)
            event.data.update(reason=action.text, policy=action.policy_hash)
            return event
        case Act.RECOUNT:
            state.uncertain = True
            return None
    assert_never(action.act)


def _claim(state: GateState, action: Action) -> GateEvent | None:
    if same(state.task.assignee, action.by.id):
        return None
    _, behalf = place_of(state.task, action.by)
    state.change(assignee=action.by.id, owner=None)
    return GateEvent("task_claimed", f"{action.by.id} claimed the task{_on_behalf(behalf)}")


def _release(state: GateState, action: Action) -> GateEvent:
    """End the claim of a task.

    A delegated task goes back to the person who delegated it, unless an admin who is neither of the two releases it.
    """
    task, by = state.task, action.by
    one_of_them = same(by.id, task.assignee) or same(by.id, task.owner)
    back = task.owner if one_of_them else None
    state.change(assignee=back, owner=None)
    state.uncertain = True
    summary = f"{by.id} gave the task back" + (f" to {back}" if back else "")
    return GateEvent("task_released", summary, {"from": task.assignee, "to": back})


def _reassign(state: GateState, action: Action) -> GateEvent:
    """Give the task to another person permanently, and make this person a candidate."""
    assert action.to is not None, "check_action refuses it"
    before, to = state.task, action.to.id
    candidate = candidacy(before, to, action.to.groups) is not None
    state.change(
        assignee=to,
        owner=None,
        candidate_users=before.candidate_users if candidate else [*before.candidate_users, to],
        given_by_hand=joined(before.given_by_hand, [to]),
    )
    state.uncertain = True
    if not candidate:
        state.revise("candidates")
    return GateEvent("task_reassigned", f"{action.by.id} gave the task to {to}", {"from": before.assignee})


def _delegate(state: GateState, action: Action) -> GateEvent:
    """Delegate the task: another person then decides on behalf of the person who delegates."""
    assert action.to is not None, "check_action refuses it"
    _, behalf = place_of(state.task, action.by)
    owner = behalf or action.by.id
    state.change(assignee=action.to.id, owner=owner)
    state.uncertain = True
    summary = f"{action.by.id} delegated the task to {action.to.id}{_on_behalf(behalf)}"
    return GateEvent("task_delegated", summary, {"owner": owner})


def _withdraw_decisions(state: GateState, action: Action, now: datetime) -> GateEvent:
    """Take back all decisions on the task that the person of the action has made. Return the event."""
    void = [view for view in state.task.decisions if same(view.by, action.by.id)]
    state.change(decisions=[view for view in state.task.decisions if view not in void])
    close_if_approved(state, now)
    state.uncertain = True
    verdicts = ", ".join(view.verdict.replace("_", " ") for view in void)
    data = {"decisions": [view.decision_id for view in void]}
    return GateEvent("decision_withdrawn", f"{action.by.id} took back: {verdicts}", data)


def _exclude_who_changed_deciders(state: GateState, person: str) -> None:
    state.change(arranged_by=joined(state.task.arranged_by, [person]))
    state.exclude_for_good([person])


def _on_behalf(person: str | None) -> str:
    return f" on behalf of {person}" if person else ""
