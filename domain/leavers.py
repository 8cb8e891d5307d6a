"""Compute how a task changes when people on it have left: the successor takes over the roles of the person who left."""

from collections.abc import Mapping
from typing import Any

from domain.permissions import among, is_requester, same, voters
from domain.task import Question, TaskView


def takes_over_request(task: TaskView, leaver: str, successor: str | None) -> bool:
    """Return True if `leaver`, who has left, counts as requester of the case of this task and has a successor.

    The successor then takes over the request, and so must not decide the task.
    """
    return successor is not None and task.kind == "gate" and is_requester(task, leaver)


def leavers_to_replace(task: TaskView, left: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return those people in `left` who still have a role on this task, with their successors."""
    return {
        leaver: successor
        for leaver, successor in left.items()
        if among(leaver, task.names)
        or (takes_over_request(task, leaver, successor) and not among(successor or "", task.excluded_users))
    }


def eligible_successor(task: TaskView, successor: str | None) -> str | None:
    """Return the successor if this person may decide the task; None otherwise."""
    if successor is None or among(successor, task.excluded_users) or among(successor, voters(task)):
        return None
    return None if task.kind == "gate" and is_requester(task, successor) else successor


def fields_after_replacing(task: TaskView, leaver: str, successor: str | None) -> dict[str, Any]:
    """Return the fields of the task after the successor has replaced a person who left, with their new values.

    Without a successor who may decide the task, the person is removed.
    """
    heir = eligible_successor(task, successor)
    held = same(task.assignee, leaver) or same(task.owner, leaver)
    assignee = heir if same(task.assignee, leaver) else task.assignee
    owner = heir if same(task.owner, leaver) else task.owner
    if held and (heir is None or same(assignee, owner)):
        # A delegation needs both people, and a claim ends with its holder.
        assignee, owner = (heir, None) if heir else (task.owner if same(task.assignee, leaver) else None, None)
    users = with_successor(task.candidate_users, leaver, heir)
    groups = task.candidate_groups
    if task.kind != "gate" and not (users or groups):
        groups = task.operators  # A task without candidates could never be decided.
    return {
        "candidate_users": users,
        "candidate_groups": groups,
        "assignee": assignee,
        "owner": owner,
        "given_by_hand": with_successor(task.given_by_hand, leaver, heir),
        "questions": [_question(each, leaver, successor) for each in task.questions],
    }


def with_successor(names: list[str], leaver: str, successor: str | None) -> list[str]:
    """Return the names with the successor in place of the person who left. Without a successor, the name is removed."""
    put = [successor if same(name, leaver) else name for name in names]
    return list(dict.fromkeys(name for name in put if name))


def _question(asked: Question, leaver: str, successor: str | None) -> Question:
    if not asked.pending or not same(asked.to, leaver):
        return asked
    if successor is None or same(successor, asked.by):
        return asked.model_copy(update={"lapsed": True})
    return asked.model_copy(update={"to": successor})
