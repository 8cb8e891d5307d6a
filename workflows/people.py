"""Who may do what with a task: the people rules, as plain functions of the task and of what the gateway asserts.

Ids are compared folded: somebody who got a second id in other letters is still one person.
"""

from typing import Any

from temporalio.exceptions import ApplicationError

from workflows.folding import fold
from workflows.models import ADMINS, Actor, TaskView


def refusal(code: str, message: str, **details: Any) -> ApplicationError:
    """A refused message: `code` for programs, one sentence for people, details for the problem document."""
    return ApplicationError(message, details, type=code, non_retryable=True)


def not_allowed(message: str, rule: str) -> ApplicationError:
    """A refusal by a people rule."""
    return refusal("NotAllowed", message, rule=rule)


def same(one: str | None, other: str | None) -> bool:
    """Whether two ids are of one person."""
    return one is not None and other is not None and fold(one) == fold(other)


def among(person: str, people: list[str]) -> bool:
    """Whether the person is one of the people."""
    return any(same(person, each) for each in people)


def voters(task: TaskView) -> list[str]:
    """All whose place on this task is taken: who decided, and on whose behalf."""
    return [name for view in task.decisions for name in (view.by, view.on_behalf_of) if name]


def may_answer(task: TaskView, by: Actor) -> tuple[str, str | None]:
    """The rule by which a person may decide the task, and on whose behalf. Raises NotAllowed.

    Whether it is open, and whether the person has decided it already, are other questions.
    """
    if task.kind != "changes" and same(by.id, task.requester):
        raise not_allowed(
            "You asked for this case, so somebody else must decide it.",
            "separation of duties: the requester never decides",
        )
    rule, behalf = _place(task, by)
    if among(by.id, task.excluded_users) or (behalf and among(behalf, task.excluded_users)):
        raise not_allowed(
            "You decided another step of this case, or the policy excludes you: somebody else must decide this one."
            if among(by.id, task.excluded_users)
            else f"{behalf} must not decide this one, so nobody does in their place.",
            "separation of duties: one person, one gate of a case; people whom the policy excludes",
        )
    return rule, behalf


def _place(task: TaskView, by: Actor) -> tuple[str, str | None]:
    mine = same(by.id, task.assignee)
    if mine and task.owner:
        # Delegated, or taken for somebody who is away: as long as that person may decide.
        owner = next((each for each in by.stands_in_for if same(each.id, task.owner)), None)
        rule = candidacy(task, owner.id, owner.groups) if owner and not same(owner.id, task.requester) else None
        if owner and rule:
            return f"on behalf of {owner.id}, {rule}", owner.id
        raise not_allowed(
            f"{task.owner}, who handed you this task, may no longer decide it.", "delegation: as far as its giver may"
        )
    own = candidacy(task, by.id, by.groups)
    if own and (mine or task.assignee is None):
        return own, None
    for absent in by.stands_in_for:
        free = mine or task.assignee is None or same(task.assignee, absent.id)
        if free and not same(absent.id, task.requester) and (rule := candidacy(task, absent.id, absent.groups)):
            return f"stands in for {absent.id}, {rule}", absent.id
    if own:
        raise not_allowed(
            f"{task.assignee} has claimed this task.", "claims: a claimed task is decided by its assignee"
        )
    names = ", ".join(task.candidate_groups + task.candidate_users) or "nobody"
    raise not_allowed(f"You are not among those who may decide this task: {names}.", "candidates: " + names)


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
