"""Who may do what with a task: the people rules, as plain functions of the task and of what the gateway asserts.

Ids are compared folded: somebody who got a second id in other letters is still one person.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from temporalio.exceptions import ApplicationError

from domain.messages import Absent, Actor
from domain.names import ADMINS, REQUESTERS
from domain.normalization import fold
from domain.task import TaskView


def refusal(code: str, message: str, **details: Any) -> ApplicationError:
    """A refused message: `code` for programs, one sentence for people, details for the problem document."""
    return ApplicationError(message, details, type=code, non_retryable=True)


def not_allowed(message: str, rule: str) -> ApplicationError:
    """A refusal by a people rule."""
    return refusal("NotAllowed", message, rule=rule)


def same(one: str | None, other: str | None) -> bool:
    """Whether two ids are of one person."""
    return one is not None and other is not None and fold(one) == fold(other)


def among(person: str, people: Sequence[str]) -> bool:
    """Whether the person is one of the people."""
    return any(same(person, each) for each in people)


def voters(task: TaskView) -> list[str]:
    """All whose place on this task is taken: who decided, and on whose behalf."""
    return [name for view in task.decisions for name in (view.by, view.on_behalf_of) if name]


class Place(NamedTuple):
    """A place on a task that a person may answer from."""

    rule: str
    behalf: str | None = None
    """Whose place it is, where it is not their own."""


def places(task: TaskView, by: Actor, done: Sequence[str] = ()) -> list[Place]:
    """Return every place from which a person may decide the task, the one that the rules take first in front.

    This is the one authority on who may decide: validation, lists, notifications and "can this still be decided?" ask
    it. `done`: names whose place is taken already. Whether the task is open is another question.
    """

    def barred(person: str) -> bool:
        asked_for_it = task.kind != "changes" and same(person, task.requester)
        return asked_for_it or among(person, task.excluded_users) or among(person, done)

    if barred(by.id):
        return []
    mine = same(by.id, task.assignee)
    if mine and task.owner:
        # Delegated, or taken for somebody who is away: as long as that person may decide.
        return [
            Place(f"on behalf of {giver.id}, {rule}", giver.id)
            for giver in by.stands_in_for
            if same(giver.id, task.owner) and not barred(giver.id) and (rule := candidacy(task, giver.id, giver.groups))
        ]
    found = []
    if (mine or task.assignee is None) and (own := candidacy(task, by.id, by.groups)):
        found.append(Place(own))
    for absent in by.stands_in_for:
        free = mine or task.assignee is None or same(task.assignee, absent.id)
        rule = candidacy(task, absent.id, absent.groups) if free and not barred(absent.id) else None
        if rule and may_stand_in(task, by, absent):
            found.append(Place(f"stands in for {absent.id}, {rule}", absent.id))
    return found


def may_answer(task: TaskView, by: Actor) -> Place:
    """Return the place from which a person decides the task. Raises NotAllowed.

    Whether it is open, and whether the person has decided it already, are other questions.
    """
    if found := places(task, by, voters(task)) or places(task, by):
        return found[0]
    raise _no_place(task, by)


def _no_place(task: TaskView, by: Actor) -> ApplicationError:
    """Say why somebody has no place on a task."""
    if task.kind != "changes" and same(by.id, task.requester):
        return not_allowed(
            "You asked for this case, so somebody else must decide it.",
            "separation of duties: the requester never decides",
        )
    if among(by.id, task.arranged_by):
        return not_allowed(
            "You changed who decides this task, so somebody else must decide it.",
            "separation of duties: who changed who decides a task does not decide it",
        )
    freed = task.model_copy(update={"excluded_users": []})
    if own := places(freed, by):  # only an exclusion stands in the way
        excluded = among(by.id, task.excluded_users)
        return not_allowed(
            "You decided another step of this case, or the policy excludes you: somebody else must decide this one."
            if excluded
            else f"{own[0].behalf} must not decide this one, so nobody does in their place.",
            "separation of duties: one person, one gate of a case; people whom the policy excludes",
        )
    if same(by.id, task.assignee) and task.owner:
        return not_allowed(
            f"{task.owner}, who handed you this task, may no longer decide it.", "delegation: as far as its giver may"
        )
    if task.assignee is not None and candidacy(task, by.id, by.groups):
        return not_allowed(
            f"{task.assignee} has claimed this task.", "claims: a claimed task is decided by its assignee"
        )
    anyone = task.model_copy(update={"substitutes": "anyone"})
    if others := places(anyone, by):
        return not_allowed(
            f"You stand in for {others[0].behalf}, but this task needs a substitute from a group that decides it.",
            "substitutes: same-group",
        )
    names = ", ".join(task.candidate_groups + task.candidate_users) or "nobody"
    return not_allowed(f"You are not among those who may decide this task: {names}.", "candidates: " + names)


def candidacy(task: TaskView, person: str, groups: list[str]) -> str | None:
    """The rule by which a person with these groups is a candidate of the task; None when there is none."""
    if among(person, task.candidate_users):
        return f"candidate user {person}"
    for group in task.candidate_groups:
        if group in task.members:
            if among(person, task.members[group]):
                return f"member of {group} when the task opened"
        elif group in groups:
            return f"member of {group}"
    return None


def may_stand_in(task: TaskView, by: Actor, absent: Absent) -> bool:
    """Return whether the policy lets a person decide in the place of a candidate who is away and named them."""
    if task.substitutes == "anyone" or candidacy(task, by.id, by.groups) is not None:
        return True
    return among(absent.id, task.candidate_users) and shares_group(by.groups, absent.groups)


def shares_group(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether two people who decide by name are in one group, other than that of everybody who asks."""
    return not (set(one) & set(other)).issubset({REQUESTERS})


def check_fit(task: TaskView, person: str) -> None:
    """Raise NotAllowed when a task must not be handed to this person."""
    if same(person, task.requester):
        raise not_allowed(
            f"{person} asked for this case, so it cannot be handed to them.",
            "separation of duties: the requester never decides",
        )
    if among(person, task.excluded_users):
        raise not_allowed(
            f"{person} must not decide this one, so it cannot be handed to them.",
            "separation of duties: one person, one gate of a case; people whom the policy excludes",
        )
    if among(person, voters(task)):
        raise not_allowed(f"{person} has decided this task already.", "quorum: each person counts once")


def check_admin(by: Actor, what: str) -> None:
    """Raise NotAllowed for who is no admin."""
    if ADMINS not in by.groups:
        raise not_allowed(f"Only admins {what}.", f"members of {ADMINS}")
