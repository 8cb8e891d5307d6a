"""What becomes of a task that names somebody who has left: whoever came after them takes every place of theirs.

Pure functions of the task. A gate applies them when it is told that people changed.
"""

from collections.abc import Mapping
from typing import Any

from domain.names import OPERATORS
from domain.task import Question, TaskView
from workflows.people import among, same, voters


def asks_now(task: TaskView, leaver: str, successor: str | None) -> bool:
    """Whether the successor has the request of this task now, so that they decide as little as the requester."""
    return successor is not None and task.kind == "gate" and same(leaver, task.requester)


def to_settle(task: TaskView, left: Mapping[str, str | None]) -> dict[str, str | None]:
    """Those of the people who have left, each with their successor, from whom something of the task has to go on."""
    return {
        leaver: successor
        for leaver, successor in left.items()
        if among(leaver, task.names)
        or (asks_now(task, leaver, successor) and not among(successor or "", task.excluded_users))
    }


def heir_of(task: TaskView, successor: str | None) -> str | None:
    """The successor, if they may decide the task; None where the rules forbid it, or nobody came after."""
    if successor is None or among(successor, task.excluded_users) or among(successor, voters(task)):
        return None
    return None if task.kind == "gate" and same(successor, task.requester) else successor


def without(task: TaskView, leaver: str, successor: str | None) -> dict[str, Any]:
    """The fields of the task that change when a leaver's places go to who came after, or to nobody."""
    heir = heir_of(task, successor)
    held = same(task.assignee, leaver) or same(task.owner, leaver)
    assignee = heir if same(task.assignee, leaver) else task.assignee
    owner = heir if same(task.owner, leaver) else task.owner
    if held and (heir is None or same(assignee, owner)):
        # A delegation needs both who gave the task and who has it; a claim goes with its holder.
        assignee, owner = (heir, None) if heir else (task.owner if same(task.assignee, leaver) else None, None)
    users = in_place(task.candidate_users, leaver, heir)
    groups = task.candidate_groups
    if task.kind != "gate" and not (users or groups):
        groups = [OPERATORS]  # somebody has to be asked
    return {
        "candidate_users": users,
        "candidate_groups": groups,
        "assignee": assignee,
        "owner": owner,
        "given_by_hand": in_place(task.given_by_hand, leaver, heir),
        "questions": [_question(each, leaver, successor) for each in task.questions],
    }


def in_place(names: list[str], leaver: str, successor: str | None) -> list[str]:
    """The names with the successor where the leaver stood."""
    put = [successor if same(name, leaver) else name for name in names]
    return list(dict.fromkeys(name for name in put if name))


def _question(asked: Question, leaver: str, successor: str | None) -> Question:
    if not asked.pending or not same(asked.to, leaver):
        return asked
    if successor is None or same(successor, asked.by):
        return asked.model_copy(update={"lapsed": True})
    return asked.model_copy(update={"to": successor})
