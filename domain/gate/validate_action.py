"""Check whether an action other than a decision is allowed.

Update validator, Signal handler and gateway call `check_action`.
"""

from typing import assert_never

from domain.gate.questions import check_asked, check_asker, check_question, check_unanswered
from domain.gate.separation_of_duties import check_not_to_self
from domain.gate.state import GateState
from domain.gate.validate_decision import check_open
from domain.messages import Act, Action
from domain.moments import LAST_MOMENT, moment_text
from domain.names import ADMINS
from domain.permissions import (
    among,
    check_admin,
    check_can_receive,
    check_operates,
    check_people,
    place_of,
    same,
    voters,
)
from domain.refusals import Refusal, RefusalCode, not_allowed


def check_action(state: GateState, action: Action) -> None:
    """Raise Refusal when the action is not allowed. The check changes nothing."""
    task = state.task
    check_people(action.by, action.to)
    match action.act:
        case Act.CLAIM:
            _check_claim(state, action)
        case Act.RELEASE:
            _check_release(state, action)
        case Act.REASSIGN:
            check_operates(task, action.by, "reassign tasks")
            check_not_to_self(action)
            _check_handover(state, action)
        case Act.DELEGATE:
            _check_delegation(state, action)
        case Act.WITHDRAW:
            if not any(same(view.by, action.by.id) for view in task.decisions):
                raise not_allowed(
                    "You have not decided this task, so there is nothing to take back.",
                    "withdrawing: a person takes back only their own decision",
                )
            check_open(state, action.revision)
        case Act.ASK:
            _check_could_decide(state, action)
            check_question(task, action)
        case Act.ANSWER:
            check_asked(task, action)
            check_open(state, action.revision)
            check_unanswered(task, action)
            if not action.text.strip():
                raise Refusal(RefusalCode.MISSING, "Write an answer.")
        case Act.WITHDRAW_QUESTION:
            check_asker(task, action)
            check_open(state, action.revision)
            check_unanswered(task, action)
        case Act.SET_CLOCK:
            _check_set_clock(state, action)
        case Act.REPLACE:
            check_admin(action.by, "replace people on a task")
            check_not_to_self(action)
            check_open(state, action.revision)
        case Act.NEW_RULES:
            check_admin(action.by, "apply another policy to a task")
            check_open(state, action.revision)
            if task.kind != "gate":
                raise Refusal(
                    RefusalCode.NOTHING_TO_DO,
                    "You can apply another policy only to an approval step, and this task is not one.",
                )
        case Act.RECOUNT:
            check_open(state, None)
        case _:
            assert_never(action.act)


def _check_claim(state: GateState, action: Action) -> None:
    task, by = state.task, action.by
    if task.kind == "changes":
        raise not_allowed(
            "You cannot claim a task that asks for changes. The requester, or the requester's substitute or successor, "
            "makes the changes.",
            "changes: made by the requester, or by the substitute or successor of the requester",
        )
    if task.assignee and not same(task.assignee, by.id):
        place_of(task.model_copy(update={"assignee": None, "owner": None}), by)
        check_open(state, action.revision)
        raise Refusal(
            RefusalCode.ALREADY_CLAIMED,
            f"{task.assignee} has this task. Ask {task.assignee} or an admin to release it.",
            assignee=task.assignee,
        )
    _check_could_decide(state, action)


def _check_release(state: GateState, action: Action) -> None:
    task, by = state.task, action.by
    if not (same(by.id, task.assignee) or same(by.id, task.owner) or ADMINS in by.groups):
        raise not_allowed(
            "Only the person who has this task, the person who delegated it, or an admin can release it.",
            "claims: released by the assignee, by the person who delegated the task, or by an admin",
        )
    check_open(state, action.revision)
    if task.assignee is None:
        raise Refusal(RefusalCode.NOTHING_TO_DO, "Nobody has claimed this task, so there is nothing to release.")


def _check_delegation(state: GateState, action: Action) -> None:
    task, by = state.task, action.by
    if same(by.id, task.assignee) and task.owner:
        raise not_allowed(
            f"{task.owner} delegated this task to you, so you cannot delegate it. Release it instead.",
            "delegation: one step only",
        )
    _check_could_decide(state, action)
    _check_handover(state, action)
    if action.to and same(action.to.id, by.id):
        raise not_allowed(
            "You cannot delegate a task to yourself. Name another person.", "delegation: to somebody else"
        )


def _check_could_decide(state: GateState, action: Action) -> None:
    """Raise Refusal unless the person could decide the task now."""
    _, behalf = place_of(state.task, action.by)
    check_open(state, action.revision)
    for person in (action.by.id, behalf):
        if person and among(person, voters(state.task)):
            raise not_allowed(
                f"{person} has decided this task already, or a substitute has decided on behalf of {person}. "
                "Another person must decide.",
                "quorum: each person counts once",
            )


def _check_handover(state: GateState, action: Action) -> None:
    """Raise Refusal if the person whom the action names cannot get the task."""
    if state.task.kind == "changes":
        raise not_allowed(
            "You cannot give away a task that asks for changes. The requester, or the requester's substitute or "
            "successor, makes the changes.",
            "changes: made by the requester, or by the substitute or successor of the requester",
        )
    check_open(state, action.revision)
    if action.to is None:
        raise Refusal(RefusalCode.MISSING, "Name the person who shall decide the task.", field="to")
    check_can_receive(state.task, action.to.id)


def _check_set_clock(state: GateState, action: Action) -> None:
    """Raise Refusal unless an admin sets times with a reason.

    The times must be in the future, and the due time must not be after the expiry.
    """
    task = state.task
    check_admin(action.by, "set the times of a task")
    check_open(state, action.revision)
    if not action.text.strip():
        raise Refusal(RefusalCode.MISSING, "Say why you change the times.", field="reason")
    if action.due_at is None and action.expires_at is None:
        raise Refusal(RefusalCode.MISSING, "Set a new due time, a new expiry, or both.", field="due_at")
    for name, at in (("due_at", action.due_at), ("expires_at", action.expires_at)):
        if at and at >= LAST_MOMENT:
            raise Refusal(
                RefusalCode.MISSING, "The new time must be before the year 3000. Set an earlier time.", field=name
            )
        if at and at <= action.at:
            raise Refusal(RefusalCode.MISSING, "The new time must be in the future.", field=name)
    due, end = action.due_at or task.due_at, action.expires_at or task.expires_at
    if due and end and due > end:
        raise Refusal(
            RefusalCode.MISSING,
            f"The task would be due at {moment_text(due)}, after it expires at {moment_text(end)}. "
            "Set both times, so that the task is due before it expires.",
            field="due_at" if action.due_at else "expires_at",
        )
