"""The rules about who may do what with a task.

The functions receive the task and the person; the gateway has filled in the person and their groups.

Only the function `places` says who may decide, and only the function `is_requester` who counts as requester. Ids are
compared without case and similar differences, so two spellings of one id are one person.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from domain.messages import Absent, Actor
from domain.names import ADMINS, REQUESTERS
from domain.normalization import fold
from domain.refusals import Refusal, not_allowed
from domain.task import TaskView


def same(one: str | None, other: str | None) -> bool:
    """Return True if two ids belong to one person."""
    return one is not None and other is not None and fold(one) == fold(other)


def among(person: str, people: Sequence[str]) -> bool:
    """Return True if the person is one of the people."""
    return any(same(person, each) for each in people)


class Requested(Protocol):
    """A case, a task or an upload: it has a requester, and perhaps people for whom a service account asks."""

    @property
    def requester(self) -> str: ...

    @property
    def asked_for(self) -> Sequence[str]: ...


def requesters(of: Requested) -> list[str]:
    """Return everybody who counts as requester: the requester, and the people for whom a service account asks."""
    return [of.requester, *of.asked_for]


def is_requester(of: Requested, person: str | None) -> bool:
    """Return True if the person counts as requester."""
    return person is not None and among(person, requesters(of))


def voters(task: TaskView) -> list[str]:
    """Return the people who cannot decide this task again.

    These people have decided the task, or somebody has decided the task on their behalf.
    """
    return [name for view in task.decisions for name in (view.by, view.on_behalf_of) if name]


class Place(NamedTuple):
    """The right of a person to decide a task once: in their own place, or in the place of another person."""

    rule: str
    """The rule that gives the right, for the audit log."""
    behalf: str | None = None
    """The person in whose place the decision is made; None if people decide in their own place."""


def places(task: TaskView, by: Actor, done: Sequence[str] = ()) -> list[Place]:
    """Return every right (place) of a person to decide the task, the preferred one first.

    Validation, lists, notifications and "can this still be decided?" all ask this function. `done` are the people who
    have decided, or for whom somebody has decided. This function does not check whether the task is open.
    """

    def barred(person: str) -> bool:
        asked_for_it = task.kind != "changes" and is_requester(task, person)
        return asked_for_it or among(person, task.excluded_users) or among(person, done)

    if by.kind == "service" or barred(by.id):
        return []
    mine = same(by.id, task.assignee)
    if mine and task.owner:
        # A delegate decides only as long as the person who delegated may decide.
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
        if rule and may_substitute(task, by, absent):
            found.append(Place(f"stands in for {absent.id}, {rule}", absent.id))
    return found


def place_of(task: TaskView, by: Actor) -> Place:
    """Return the place in which a person decides the task: their own or that of another person.

    Raises the refusal NOT_ALLOWED if the person has no such place.

    Whether the task is open, and whether the person has decided it already, is not checked here.
    """
    if found := places(task, by, voters(task)) or places(task, by):
        return found[0]
    raise _no_place(task, by)


def _no_place(task: TaskView, by: Actor) -> Refusal:
    """Return the refusal that says why a person cannot decide a task."""
    if by.kind == "service":
        return service_refused()
    if task.kind != "changes" and is_requester(task, by.id):
        return not_allowed(
            "You made this request, so somebody else must decide it."
            if same(by.id, task.requester)
            else f"{task.requester} made this request for you or under your responsibility, so somebody else must "
            "decide it.",
            "separation of duties: the requester never decides",
        )
    if among(by.id, task.arranged_by):
        return not_allowed(
            "You changed who decides this task, so somebody else must decide it.",
            "separation of duties: who changed who decides a task does not decide it",
        )
    freed = task.model_copy(update={"excluded_users": []})
    if own := places(freed, by):  # Only an exclusion prevents the decision.
        excluded = among(by.id, task.excluded_users)
        return not_allowed(
            "You decided another step of this request or changed its input, or the policy excludes you. Somebody else "
            "must decide this step."
            if excluded
            else f"{own[0].behalf} must not decide this step, so nobody can decide in their place.",
            "separation of duties: one person, one gate of a case; people whom the policy excludes",
        )
    if same(by.id, task.assignee) and task.owner:
        return not_allowed(
            f"{task.owner} delegated this task to you, but can no longer decide it. Release the task, so that other "
            "people can decide it.",
            "delegation: a delegate can decide only what the person who delegated can decide",
        )
    if task.assignee is not None and candidacy(task, by.id, by.groups):
        return not_allowed(
            f"{task.assignee} has this task. Ask {task.assignee} or an admin to release it.",
            "claims: a task with an assignee is decided by the assignee, or by a substitute of the assignee",
        )
    anyone = task.model_copy(update={"substitutes": "anyone"})
    if others := places(anyone, by):
        return not_allowed(
            f"You are the substitute of {others[0].behalf}, but the policy does not allow you to decide this task. The "
            "task needs a substitute who can decide it too, or who shares a group with a candidate named personally.",
            "substitutes: same-group",
        )
    names = ", ".join(task.candidate_groups + task.candidate_users) or "nobody"
    return not_allowed(f"You cannot decide this task. Who can decide: {names}.", "candidates: " + names)


def candidacy(task: TaskView, person: str, groups: list[str]) -> str | None:
    """Return the rule by which a person with these groups is a candidate of the task, such as `member of managers`.

    None if the person is no candidate.
    """
    if among(person, task.candidate_users):
        return f"candidate user {person}"
    for group in task.candidate_groups:
        if group in task.members:
            if among(person, task.members[group]):
                return f"member of {group} when the task opened"
        elif group in groups:
            return f"member of {group}"
    return None


def may_substitute(task: TaskView, by: Actor, absent: Absent) -> bool:
    """Return True if the policy allows this person to decide as the substitute of `absent`.

    `absent` is a candidate who is away and has named this person as substitute.
    """
    if task.substitutes == "anyone" or candidacy(task, by.id, by.groups) is not None:
        return True
    return among(absent.id, task.candidate_users) and shares_group(by.groups, absent.groups)


def shares_group(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return True if two people have a group in common, other than the group of all requesters."""
    return not (set(one) & set(other)).issubset({REQUESTERS})


SERVICES = "service accounts: a service account never decides, claims, acts or gets a task"


def service_refused() -> Refusal:
    """Return the refusal of a decision or an action of a service account."""
    return not_allowed("A service account asks, and never decides or acts on a task. A person must do this.", SERVICES)


def check_own_case(by: Actor, requester: str) -> None:
    """Raise the refusal NOT_ALLOWED if a service account cancels a case or an upload that it has not started itself."""
    if by.kind == "service" and not same(by.id, requester):
        raise not_allowed(
            "A service account can cancel only what it started itself. A person must do this.",
            "service accounts: a service account cancels only its own cases and uploads",
        )


def check_people(by: Actor, to: Actor | None) -> None:
    """Raise the refusal NOT_ALLOWED if a service account acts on a task, or would get a task or a question."""
    if by.kind == "service":
        raise service_refused()
    if to is not None and to.kind == "service":
        raise not_allowed(f"{to.id} is a service account, which cannot decide or answer. Name a person.", SERVICES)


def check_can_receive(task: TaskView, person: str) -> None:
    """Raise the refusal NOT_ALLOWED if the task must not be given to this person."""
    if is_requester(task, person):
        raise not_allowed(
            f"{person} made this request, or it was made for them, so you cannot give them the task.",
            "separation of duties: the requester never decides",
        )
    if among(person, task.excluded_users):
        raise not_allowed(
            f"{person} must not decide this step, so you cannot give them the task.",
            "separation of duties: one person, one gate of a case; people whom the policy excludes",
        )
    if among(person, voters(task)):
        raise not_allowed(
            f"{person} has decided this task already, or somebody has decided on behalf of {person}. "
            "Name another person.",
            "quorum: each person counts once",
        )


def check_admin(by: Actor, what: str) -> None:
    """Raise the refusal NOT_ALLOWED unless the person is an admin. `what` is the action, as a verb phrase."""
    if ADMINS not in by.groups:
        raise not_allowed(f"Only admins {what}.", f"members of {ADMINS}")


def operates(task: TaskView, by: Actor) -> bool:
    """Return True if the person operates the process of the task, by the policy of its case, or is an admin."""
    return not {ADMINS, *task.operators}.isdisjoint(by.groups)


def operators_of(task: TaskView) -> str:
    """Return the groups whose members operate the process of the task, as a rule names them."""
    return " or ".join([*task.operators, ADMINS])


def check_operates(task: TaskView, by: Actor, what: str) -> None:
    """Raise the refusal NOT_ALLOWED unless the person operates the process of the task, or is an admin.

    `what` is the action, as a verb phrase.
    """
    if not operates(task, by):
        raise not_allowed(f"Only operators of the process and admins {what}.", f"members of {operators_of(task)}")
