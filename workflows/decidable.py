"""Can this task still be decided? A matching of places to people, as a pure function of the task and of who is there.

Each answer takes two names from those that are left: of the person who gives it, and of the one whose place they take,
where that is another one. So one person cannot fill two places, and a place cannot be filled twice. Who may take which
place is asked of `people.places`, as validation does.
"""

from collections.abc import Iterable, Sequence

from domain.messages import Actor
from domain.normalization import fold
from domain.records import Present
from domain.task import TaskView
from workflows.people import Place, places, same, voters


def answers_left(task: TaskView, present: Present) -> int:
    """Return how many people can still answer the task, one after the other."""
    done, there = voters(task), present.there
    if task.assignee is None:
        return _matched(task, there, done)
    # The holder of a claim answers first, and with that the claim ends; or gives the task back.
    back = task.model_copy(update={"assignee": task.owner, "owner": None})
    holders = (task.assignee, task.owner)
    most = answers_left(back, present) if any(same(by.id, holder) for by in there for holder in holders) else 0
    free = task.model_copy(update={"assignee": None, "owner": None})
    for by, place in answering(task, present):
        most = max(most, 1 + _matched(free, there, [*done, by.id, place.behalf or by.id]))
    return most


def answering(task: TaskView, present: Present) -> Iterable[tuple[Actor, Place]]:
    """Return everybody who can answer the task as it stands now, a claim included, with the place they take."""
    done, giver = voters(task), present.giver
    for by in present.there:
        if giver is not None and same(by.id, task.assignee) and same(giver.id, task.owner):
            by = by.model_copy(update={"stands_in_for": [*by.stands_in_for, giver]})
        if found := places(task, by, done):
            yield by, found[0]


def _matched(task: TaskView, there: Sequence[Actor], done: Sequence[str]) -> int:
    """Return the size of a largest matching of people to places, where nobody has claimed the task."""
    wanted = {fold(by.id): [fold(place.behalf or by.id) for place in places(task, by, done)] for by in there}
    taken: dict[str, str] = {}

    def takes(person: str, tried: set[str]) -> bool:
        """Find the person a place, if need be by moving others to other places of theirs."""
        for place in wanted[person]:
            if place not in tried:
                tried.add(place)
                if place not in taken or takes(taken[place], tried):
                    taken[place] = person
                    return True
        return False

    return sum(takes(person, set()) for person in wanted)
