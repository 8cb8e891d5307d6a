"""Find the people who can decide, from the groups and names of a ruling."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from domain.messages import Absent, Actor
from domain.normalization import fold
from domain.permissions import among, is_requester, places, requesters, same, voters
from domain.quorum import decisions_left
from domain.records import Present
from domain.ruling import GateRuling
from domain.task import TaskView
from policy.model import MANAGER_OF_REQUESTER

SPARE = 50
"""How many more people than the quorum needs a Workflow gets, because some of them may be excluded later."""


class Candidate(Protocol):
    """A person who is a candidate by name or by group."""

    @property
    def id(self) -> str: ...

    @property
    def groups(self) -> list[str]: ...

    @property
    def away(self) -> bool: ...

    @property
    def substitute(self) -> str | None:
        """Return the person who substitutes this candidate now.

        None if the candidate is not absent or has no substitute.
        """


class PeopleDirectory(Protocol):
    """The interface to people, groups and absences."""

    async def candidates(self, groups: Sequence[str], users: Sequence[str]) -> Sequence[Candidate]:
        """Return all active people in these groups or with these ids."""

    async def groups_among(self, names: Sequence[str]) -> Collection[str]:
        """Return those of the names that are names of groups."""

    async def manager_of(self, person: str) -> str | None:
        """Return the active manager of a person; None without one, and for a service account."""

    async def owners_of(self, account: str) -> Sequence[str]:
        """Return the present owners of a service account; none for a person."""

    async def left(self, names: Sequence[str]) -> Mapping[str, str | None]:
        """Return the people who have left, each with their successor or None."""


@dataclass(frozen=True)
class RulingWithPeople:
    """A ruling on a gate, after the people who can decide the gate were looked up."""

    ruling: GateRuling
    excluded: Sequence[str] = ()
    """People who must not decide the gate."""
    said: str = ""
    """Text about the levels of escalation that were added at once because too few people could decide; may be empty."""
    short: str = ""
    """Why too few people can decide the gate; empty if enough people can decide."""


async def with_people(
    task: TaskView, ruling: GateRuling, people: PeopleDirectory, *, escalate: bool = False
) -> RulingWithPeople:
    """Find the people who can decide a gate by this ruling.

    If `escalate` is True, add levels of escalation until enough people can decide.

    In the ruling, fill in `members`, the quorum for `everyone`, and the manager of the requester. If the ruling says
    that no people are needed, return the ruling without people.
    """
    if not ruling.needed:
        return RulingWithPeople(ruling)
    asker = task.on_behalf_of or task.requester
    ruling = await _with_manager(await _with_names(ruling, asker, people), asker, people)
    unanswered = task.model_copy(update={"decisions": [], "assignee": None, "owner": None})
    said = ""
    while True:
        # Requesters are looked up together with them, because the successor of a requester who left must not decide
        # either.
        found = await people.candidates(ruling.groups, [*ruling.users, *requesters(task)])
        if task.kind == "gate":
            ruling = await _without_others(ruling, task, [each.id for each in found], people)
        members, never = _members(ruling, found), _excluded(task, ruling)
        asked = {
            "candidate_groups": ruling.groups,
            "candidate_users": ruling.users,
            "members": members,
            "excluded_users": never,
            "substitutes": ruling.substitutes,
        }
        there = await _present_people(found, people)
        can = decisions_left(unanswered.model_copy(update=asked), Present(there=there))
        quorum = max(can, 1) if ruling.everyone else ruling.quorum
        names = ", ".join(ruling.groups + ruling.users) or "nobody"
        short = "" if can >= quorum else f"{quorum} must approve, and {can} of {names} can"
        if not short or not escalate or not ruling.escalations:
            filled = ruling.model_copy(update={"members": members, "quorum": quorum})
            return RulingWithPeople(filled, never, said, short)
        level, *later = ruling.escalations
        said += f". {short}, so it went to {', '.join(level.groups + level.users)} at once"
        groups = level.groups if level.replace else [*ruling.groups, *level.groups]
        users = level.users if level.replace else [*ruling.users, *level.users]
        changes: dict[str, Any] = {"groups": list(dict.fromkeys(groups)), "users": list(dict.fromkeys(users))}
        ruling = ruling.model_copy(update=changes | {"escalations": later})


def _excluded(task: TaskView, ruling: GateRuling) -> list[str]:
    """Return the people who must not decide the gate.

    The policy excludes them, they decided another gate of the case, or they changed the request.
    """
    before = task.excluded_users if ruling.separation_of_duties else []
    return list(dict.fromkeys([*before, *ruling.excluded]))


async def present(task: TaskView, people: PeopleDirectory) -> Present:
    """Find the people who can act on a task now.

    From them, `domain.quorum` computes whether the quorum can be reached.
    """
    asked = [question.to for question in task.questions if question.open]
    members = [person for group in task.members.values() for person in group]
    held = [name for name in (task.assignee, task.owner) if name]
    named = list(dict.fromkeys([*task.candidate_users, *members, *held, *asked]))
    found = await people.candidates(task.candidate_groups, named)
    there = await _present_people(found, people)
    giver = next((each for each in found if same(each.id, task.owner)), None)
    answering = {name for each in there for name in (each.id, *(absent.id for absent in each.stands_in_for))}
    return Present(
        there=_needed(task, there),
        giver=Absent(id=giver.id, groups=giver.groups) if giver else None,
        silent=[name for name in asked if not among(name, [*answering])],
        owners=list(await people.owners_of(task.requester)) if task.asked_for else [],
    )


def _needed(task: TaskView, there: list[Actor]) -> list[Actor]:
    """Return those people who are needed to compute whether the task can be decided.

    Further people of a large group are left out, to keep the Temporal history of the case small.
    """
    free, done = task.model_copy(update={"assignee": None, "owner": None}), voters(task)
    can = [each for each in there if places(free, each, done)]
    held = [each for each in there if _has_claimed(task, each)]
    return [*held, *[each for each in can if each not in held][: task.quorum.needed + SPARE]]


def _has_claimed(task: TaskView, person: Actor) -> bool:
    """Return True if this person, or a person they substitute, is the assignee of the task."""
    names = (person.id, *(absent.id for absent in person.stands_in_for))
    return any(same(name, holder) for name in names for holder in (task.assignee, task.owner))


async def _present_people(found: Sequence[Candidate], people: PeopleDirectory) -> list[Actor]:
    """Return the people in `found` who are not away, and the substitutes of the people in `found` who are away."""
    by_id = {each.id: each for each in found}
    instead = {each.substitute for each in found if each.away and each.substitute} - by_id.keys()
    if instead:
        by_id |= {each.id: each for each in await people.candidates([], sorted(instead))}
    absent: dict[str, list[Absent]] = {}
    for each in found:
        if each.away and each.substitute:
            absent.setdefault(each.substitute, []).append(Absent(id=each.id, groups=each.groups))
    return [
        Actor(id=each.id, groups=each.groups, stands_in_for=absent.get(each.id, []))
        for each in by_id.values()
        if not each.away
    ]


def _members(ruling: GateRuling, found: Sequence[Candidate]) -> dict[str, list[str]]:
    """Return the current members of each group if the policy says `membership = "snapshot"`; otherwise {}."""
    if not ruling.snapshot:
        return {}
    return {group: [each.id for each in found if group in each.groups] for group in ruling.groups}


async def _with_names(ruling: GateRuling, requester: str, people: PeopleDirectory) -> GateRuling:
    """Return the ruling with the names from its `candidates` expression added to its groups and people.

    If the ruling has `choose_from`, names that it does not allow are left out, and `problem` says so.
    """
    if not ruling.named:
        return ruling
    as_group = {name: fold(name) for name in ruling.named}
    found = await people.groups_among(list(as_group.values()))
    groups = [group for group in as_group.values() if group in found]
    users = [name for name, group in as_group.items() if group not in found]
    if ruling.choose_from is not None:
        wrong = await not_to_choose(ruling.choose_from, ruling.named, requester, people)
        groups = [group for group in groups if group not in wrong]
        users = [name for name in users if name not in wrong]
        if wrong:
            from_ = ", ".join(ruling.choose_from)
            told = f"{', '.join(wrong)} cannot be chosen to decide (choose_from: {from_}), so they are not asked"
            problem = f"{ruling.problem}; {told}" if ruling.problem else told
            ruling = ruling.model_copy(update={"problem": problem})
    return ruling.model_copy(
        update={
            "groups": list(dict.fromkeys([*ruling.groups, *groups])),
            "users": list(dict.fromkeys([*ruling.users, *users])),
            "named": [],
        }
    )


async def not_to_choose(
    choose_from: Sequence[str], named: Sequence[str], requester: str, people: PeopleDirectory
) -> list[str]:
    """Return those of the names in `named` that `choose_from` does not allow."""
    allowed = [group for group in choose_from if group != MANAGER_OF_REQUESTER]
    found = await people.candidates(allowed, [])
    ids = [each.id for each in found]
    if MANAGER_OF_REQUESTER in choose_from and (manager := await people.manager_of(requester)):
        ids.append(manager)
    return [
        name for name in named if fold(name) not in allowed and not among(name, ids) and name != MANAGER_OF_REQUESTER
    ]


async def _without_others(
    ruling: GateRuling, task: TaskView, there: Sequence[str], people: PeopleDirectory
) -> GateRuling:
    """Return the ruling, which then also excludes people who have come to answer for the request.

    These are the successors of requesters who are not in `there` because they left, and, if a service account made the
    request, people who became owners of the account later.
    """
    gone = [each for each in requesters(task) if not among(each, there)]
    others = [successor for successor in (await people.left(gone)).values() if successor] if gone else []
    if task.asked_for:
        others += [owner for owner in await people.owners_of(task.requester) if not is_requester(task, owner)]
    more = [each for each in dict.fromkeys(others) if not among(each, ruling.excluded)]
    return ruling.model_copy(update={"excluded": [*ruling.excluded, *more]}) if more else ruling


async def _with_manager(ruling: GateRuling, requester: str, people: PeopleDirectory) -> GateRuling:
    """Return the ruling with the id of the requester's manager in place of `manager_of(requester)`."""
    if not any(
        MANAGER_OF_REQUESTER in users for users in (ruling.users, *(level.users for level in ruling.escalations))
    ):
        return ruling
    manager = await people.manager_of(requester)

    def resolved(users: list[str]) -> list[str]:
        named = (manager if user == MANAGER_OF_REQUESTER else user for user in users)
        return list(dict.fromkeys(user for user in named if user))

    levels = [level.model_copy(update={"users": resolved(level.users)}) for level in ruling.escalations]
    kept = [level for level in levels if level.groups or level.users]
    return ruling.model_copy(update={"users": resolved(ruling.users), "escalations": kept})
