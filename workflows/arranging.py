"""Who arranged that a task is decided by somebody does not decide it: otherwise one person could give it to themselves.

To arrange is to hand the task of others to somebody, to end the claim of somebody else, to put a person in the place of
another, to apply another policy to it, or to bring forward the end at which it opens to more people. Who delegates a
place of their own, or gives it back, arranges nothing: it was theirs.
"""

from domain.messages import Act, Action
from domain.ruling import GateRuling
from domain.task import TaskView
from workflows.people import not_allowed, same

RULE = "separation of duties: who changed who decides a task does not decide it"


def arranges(task: TaskView, ruling: GateRuling, action: Action) -> bool:
    """Return whether who does this must not decide the task from then on."""
    match action.act:
        case Act.REASSIGN | Act.REPLACE | Act.NEW_RULES:
            return True
        case Act.RELEASE:
            return not (same(action.by.id, task.assignee) or same(action.by.id, task.owner))
        case Act.SET_CLOCK:
            end, opens = task.expires_at, ruling.on_expiry == "escalate"
            return opens and action.expires_at is not None and (end is None or action.expires_at < end)
    return False


def check_arranger(action: Action) -> None:
    """Raise NotAllowed where somebody gives a task, or the place of another person, to themselves."""
    if action.act in (Act.REASSIGN, Act.REPLACE) and action.to and same(action.to.id, action.by.id):
        raise not_allowed("You cannot give a task to yourself: another admin must do that.", RULE)
