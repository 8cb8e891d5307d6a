"""Decide whether a task can still reach its quorum, by matching people to places. The functions are pure.

Each decision uses the name of the person who decides. If the person decides in the place of another person, the
decision uses the name of that person, too. Each name can be used once. So one person cannot decide twice, and only one
decision is made in the place of each person. The function `permissions.places` says who may decide in which place, here
as in the validation of decisions.
"""

from collections.abc import Iterable, Sequence

from domain.messages import Actor
from domain.normalization import fold
from domain.permissions import Place, places, same, voters
from domain.records import Present
from domain.task import TaskView


def decisions_left(task: TaskView, present: Present) -> int:
    """Return the number of people who can still decide the task, one after the other."""
    done, there = voters(task), present.there
    if task.assignee is None:
        return _matched(task, there, done)
    # The holder of a claim decides first, which ends the claim, or releases the task.
    back = task.model_copy(update={"assignee": task.owner, "owner": None})
    holders = (task.assignee, task.owner)
    most = decisions_left(back, present) if any(same(by.id, holder) for by in there for holder in holders) else 0
    free = task.model_copy(update={"assignee": None, "owner": None})
    for by, place in answering(task, present):
        most = max(most, 1 + _matched(free, there, [*done, by.id, place.behalf or by.id]))
    return most


def answering(task: TaskView, present: Present) -> Iterable[tuple[Actor, Place]]:
    """Return everybody who can decide the task right now, each with the place in which they decide.

    While the task has an assignee, only the assignee or a substitute of the assignee can decide.
    """
    done, giver = voters(task), present.giver
    for by in present.there:
        if giver is not None and same(by.id, task.assignee) and same(giver.id, task.owner):
            by = by.model_copy(update={"stands_in_for": [*by.stands_in_for, giver]})
        if found := places(task, by, done):
            yield by, found[0]


def _matched(task: TaskView, there: Sequence[Actor], done: Sequence[str]) -> int:
    """Return how many people at most can decide an unclaimed task: the size of a maximum bipartite matching."""
    wanted = {fold(by.id): [fold(place.behalf or by.id) for place in places(task, by, done)] for by in there}
    taken: dict[str, str] = {}

    def takes(person: str, tried: set[str]) -> bool:
        """Return True if the person gets a place. Other people are moved to other places if this is needed."""
        for place in wanted[person]:
            if place not in tried:
                tried.add(place)
                if place not in taken or takes(taken[place], tried):
                    taken[place] = person
                    return True
        return False

    return sum(takes(person, set()) for person in wanted)
