"""Separation of duties: a person who changes who can decide a task must not decide this task.

Without this rule, admins could give tasks to themselves.

The rule applies to an admin who reassigns a task, ends the claim of another person, replaces a person, applies another
policy, or sets an earlier or first expiry of a gate that escalates. The rule does not apply to a person who delegates
or releases their own task.
"""

from typing import assert_never

from domain.messages import Act, Action
from domain.permissions import same
from domain.refusals import not_allowed
from domain.ruling import GateRuling
from domain.task import TaskView

RULE = "separation of duties: who changed who decides a task does not decide it"


def changes_deciders(task: TaskView, ruling: GateRuling, action: Action) -> bool:
    """Return True if the person who takes this action must not decide the task after the action."""
    match action.act:
        case Act.REASSIGN | Act.REPLACE | Act.NEW_RULES:
            return True
        case Act.RELEASE:
            return not (same(action.by.id, task.assignee) or same(action.by.id, task.owner))
        case Act.SET_CLOCK:
            end, escalates = task.expires_at, ruling.on_expiry == "escalate"
            return escalates and action.expires_at is not None and (end is None or action.expires_at < end)
        case Act.CLAIM | Act.DELEGATE | Act.WITHDRAW | Act.ASK | Act.ANSWER | Act.WITHDRAW_QUESTION | Act.RECOUNT:
            return False
    assert_never(action.act)


def check_not_to_self(action: Action) -> None:
    """Raise Refusal if an admin takes a task, or the place of another person on a task, for themselves."""
    if action.to and same(action.to.id, action.by.id):
        raise not_allowed("You cannot put yourself on a task. Ask another admin to do that.", RULE)
