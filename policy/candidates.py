"""From the groups and names of a ruling to the people who can decide."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from workflows.models import GateRuling, TaskView
from workflows.people import among, candidacy, same

MANAGER = "manager_of(requester)"
"""Stands in a policy for a person."""


class Candidate(Protocol):
    """Somebody who is a candidate by name or by group."""

    @property
    def id(self) -> str: ...

    @property
    def groups(self) -> list[str]: ...

    @property
    def away(self) -> bool: ...

    @property
    def substitute(self) -> str | None:
        """Who decides in their place while they are away."""


class People(Protocol):
    """Who is in which group, and who is there."""

    async def candidates(self, groups: Sequence[str], users: Sequence[str]) -> Sequence[Candidate]:
        """All active people in these groups or with these ids."""

    async def groups_among(self, names: Sequence[str]) -> Collection[str]:
        """Those of the names that are groups."""

    async def manager_of(self, person: str) -> str | None:
        """The manager of a person, if they have one who is active."""

    async def left(self, names: Sequence[str]) -> Mapping[str, str | None]:
        """Of these people those who have left, each with who came after; None where nobody did."""


@dataclass(frozen=True)
class Peopled:
    """A ruling with its people."""

    ruling: GateRuling
    said: str = ""
    """Which levels of escalation came at once because too few could decide."""
    short: str = ""
    """Why the gate cannot be decided by the people it has; empty when it can."""


async def peopled(task: TaskView, ruling: GateRuling, people: People, *, escalate: bool = False) -> Peopled:
    """Find the people whom a ruling means, and with `escalate` add levels until enough of them can decide.

    Fills `able`, `members`, the quorum of `everyone`, and whoever is the manager of the requester.
    """
    ruling = await _with_manager(await _with_named(ruling, people), task.requester, people)
    task = task.model_copy(update={"excluded_users": excluded(task, ruling)})
    said = ""
    while True:
        found = await people.candidates(ruling.groups, ruling.users)
        members = _members(ruling, found)
        asked = {"candidate_groups": ruling.groups, "candidate_users": ruling.users, "members": members}
        can = able(task.model_copy(update=asked), found)
        quorum = max(len(can), 1) if ruling.everyone else ruling.quorum
        names = ", ".join(ruling.groups + ruling.users) or "nobody"
        short = "" if len(can) >= quorum else f"{quorum} must approve, and {len(can)} of {names} can"
        if not short or not escalate or not ruling.escalations:
            filled = ruling.model_copy(update={"able": can, "members": members, "quorum": quorum})
            return Peopled(filled, said, short)
        level, *later = ruling.escalations
        said += f". {short}, so it went to {', '.join(level.groups + level.users)} at once"
        groups = level.groups if level.replace else [*ruling.groups, *level.groups]
        users = level.users if level.replace else [*ruling.users, *level.users]
        changes: dict[str, Any] = {"groups": list(dict.fromkeys(groups)), "users": list(dict.fromkeys(users))}
        ruling = ruling.model_copy(update=changes | {"escalations": later})


def excluded(task: TaskView, ruling: GateRuling) -> list[str]:
    """Who must not decide the gate: by the policy, and by having decided another where duties are separated."""
    before = task.excluded_users if ruling.separation_of_duties else []
    return list(dict.fromkeys([*before, *ruling.excluded]))


def able(task: TaskView, found: Sequence[Candidate]) -> list[str]:
    """Those of the people found who can decide the task now: in person, or by somebody who stands in for them."""

    def barred(person: str) -> bool:
        return same(person, task.requester) or among(person, task.excluded_users)

    return [
        each.id
        for each in found
        if candidacy(task, each.id, each.groups)
        and not barred(each.id)
        and (not each.away or (each.substitute is not None and not barred(each.substitute)))
    ]


def _members(ruling: GateRuling, found: Sequence[Candidate]) -> dict[str, list[str]]:
    """With `membership = "snapshot"`: the people of each group as they are now."""
    if not ruling.snapshot:
        return {}
    return {group: [each.id for each in found if group in each.groups] for group in ruling.groups}


async def _with_named(ruling: GateRuling, people: People) -> GateRuling:
    """The ruling with the names of its expression among its groups and people."""
    if not ruling.named:
        return ruling
    found = await people.groups_among(ruling.named)
    groups = [name for name in ruling.named if name in found]
    users = [name for name in ruling.named if name not in found]
    return ruling.model_copy(
        update={
            "groups": list(dict.fromkeys([*ruling.groups, *groups])),
            "users": list(dict.fromkeys([*ruling.users, *users])),
            "named": [],
        }
    )


async def _with_manager(ruling: GateRuling, requester: str, people: People) -> GateRuling:
    """The ruling with a person in the place of `manager_of(requester)`."""
    if not any(MANAGER in users for users in (ruling.users, *(level.users for level in ruling.escalations))):
        return ruling
    manager = await people.manager_of(requester)

    def resolved(users: list[str]) -> list[str]:
        named = (manager if user == MANAGER else user for user in users)
        return list(dict.fromkeys(user for user in named if user))

    levels = [level.model_copy(update={"users": resolved(level.users)}) for level in ruling.escalations]
    kept = [level for level in levels if level.groups or level.users]
    return ruling.model_copy(update={"users": resolved(ruling.users), "escalations": kept})
