"""Whether a gate can still be decided: the matching against a full search, in random situations."""

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.messages import Absent, Actor
from domain.quorum import answering, decisions_left
from domain.records import Present
from domain.status import Substitutes, TaskKind, Verdict
from domain.task import DecisionView, Quorum, TaskView

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
SITUATIONS = [3_000, pytest.param(20_000, marks=pytest.mark.soak)]


@dataclass(frozen=True)
class Situation:
    """A small world in plain words, and its task: the rules are told here once more, apart from the code under test."""

    kind: TaskKind = "gate"
    groups: dict[str, frozenset[str]] = field(default_factory=dict)
    """By person who has not left."""
    away: dict[str, str | None] = field(default_factory=dict)
    """By person who is away: their substitute."""
    requester: str = "rita"
    asked_for: frozenset[str] = frozenset()
    """For whom a service account asks."""
    asked_groups: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()
    snapshot: dict[str, frozenset[str]] = field(default_factory=dict)
    excluded: frozenset[str] = frozenset()
    done: frozenset[str] = frozenset()
    holder: str | None = None
    owner: str | None = None
    substitutes: Substitutes = "anyone"

    def candidate(self, person: str) -> bool:
        mine = self.groups.get(person, frozenset())
        return person in self.asked or any(
            person in self.snapshot[group] if group in self.snapshot else group in mine for group in self.asked_groups
        )

    def barred(self, person: str) -> bool:
        asks = person in {self.requester, *self.asked_for} and self.kind != "changes"
        return asks or person in self.excluded or person in self.done

    def there(self, person: str | None) -> bool:
        return person in self.groups and person not in self.away

    def may_take(self, person: str) -> set[str]:
        """Whose places somebody who is there may fill."""
        if self.barred(person):
            return set()
        if self.holder == person and self.owner:
            theirs = self.owner in self.groups and self.candidate(self.owner) and not self.barred(self.owner)
            return {self.owner} if theirs else set()
        own = {person} if self.candidate(person) and self.holder in (None, person) else set()
        absent = {each for each, instead in self.away.items() if instead == person and each in self.groups}
        free = {each for each in absent if self.holder in (None, person, each)}
        places = {each for each in free if self.candidate(each) and not self.barred(each)}
        return own | {each for each in places if self.may_stand_in(person, each)}

    def may_stand_in(self, person: str, absent: str) -> bool:
        """Whether somebody may decide for one who is away: a candidate always, others as the policy says."""
        named = absent in self.asked and bool(self.groups[person] & self.groups[absent])
        return self.substitutes == "anyone" or self.candidate(person) or named

    def moves(self) -> "Iterator[tuple[int, Situation]]":
        """All that can happen next: somebody answers, or gives the task back."""
        for person in self.groups:
            if self.there(person):
                for place in self.may_take(person):
                    yield 1, replace(self, done=self.done | {person, place}, holder=None, owner=None)
        if self.there(self.holder) or self.there(self.owner):
            yield 0, replace(self, holder=self.owner, owner=None)

    def searched(self, known: dict[Any, int] | None = None) -> int:
        """How many more answers there can be, found by trying all of it. `known`: what was tried on other ways here."""
        known, here = {} if known is None else known, (self.done, self.holder, self.owner)
        if here not in known:
            known[here] = max((answers + after.searched(known) for answers, after in self.moves()), default=0)
        return known[here]

    @property
    def task(self) -> TaskView:
        given = [
            DecisionView.model_construct(decision_id=each, verdict=Verdict.APPROVE, by=each, at=NOON)
            for each in self.done
        ]
        return TaskView.model_construct(  # as they are 20,000, without being validated
            task_id="t1",
            case_id="errand:1",
            process="errand",
            gate="approval",
            kind=self.kind,
            title="Send",
            summary="May it be sent?",
            requester=self.requester,
            asked_for=sorted(self.asked_for),
            candidate_groups=sorted(self.asked_groups),
            candidate_users=sorted(self.asked),
            members={group: sorted(people) for group, people in self.snapshot.items()},
            excluded_users=sorted(self.excluded),
            assignee=self.holder,
            owner=self.owner,
            substitutes=self.substitutes,
            quorum=Quorum(needed=1),
            opened_at=NOON,
            decisions=given,
        )

    @property
    def present(self) -> Present:
        def absent(person: str) -> Absent:
            return Absent.model_construct(id=person, groups=sorted(self.groups[person]))

        there = [
            Actor.model_construct(
                id=person,
                groups=sorted(groups),
                stands_in_for=[absent(each) for each, instead in self.away.items() if instead == person],
            )
            for person, groups in self.groups.items()
            if self.there(person)
        ]
        return Present.model_construct(there=there, giver=absent(self.owner) if self.owner in self.groups else None)


def a_situation(chance: random.Random) -> Situation:
    people = ["rita", "mia", "max", "moe", "dan"][: chance.randint(2, 5)]

    def some(names: list[str], share: float) -> frozenset[str]:
        return frozenset(name for name in names if chance.random() < share)

    groups = {person: some(["managers", "directors"], 0.5) for person in people if chance.random() < 0.9}
    away = {
        person: chance.choice([None, *(each for each in people if each != person)])
        for person in groups
        if chance.random() < 0.35
    }
    asked_groups = some(["managers", "directors"], 0.6)
    holder = chance.choice(people) if chance.random() < 0.4 else None
    owner = chance.choice([each for each in people if each != holder]) if holder and chance.random() < 0.5 else None
    return Situation(
        kind="changes" if chance.random() < 0.1 else "gate",
        groups=groups,
        away=away,
        requester=chance.choice([*people, "somebody else"]),
        asked_for=some(people, 0.1),
        asked_groups=asked_groups,
        asked=some(people, 0.25),
        snapshot={group: some(people, 0.5) for group in sorted(asked_groups) if chance.random() < 0.3},
        excluded=some(people, 0.1),
        done=some(people, 0.12),
        holder=holder,
        owner=owner,
        substitutes=chance.choice(["anyone", "same-group"]),
    )


@pytest.mark.parametrize("situations", SITUATIONS)
def test_the_matching_finds_as_many_answers_as_a_search_through_everything_does(situations: int) -> None:
    seed = int(os.environ.get("HOLDGATE_TEST_SEED", time.time_ns() % 1_000_000))
    chance = random.Random(seed)
    for number in range(situations):
        situation = a_situation(chance)
        task, present = situation.task, situation.present
        said = f"HOLDGATE_TEST_SEED={seed}, number {number}: {situation}"
        assert decisions_left(task, present) == situation.searched(), said
        can = {by.id for by, _ in answering(task, present)}
        assert can == {each for each in situation.groups if situation.there(each) and situation.may_take(each)}, said


GROUP = frozenset({"managers"})
PLAIN = {"p1": GROUP, "p2": GROUP, "out": frozenset[str]()}


ASKED = Situation(groups=PLAIN, asked_groups=GROUP)
CHANGES = Situation(kind="changes", groups={"rita": frozenset(), **PLAIN}, asked=frozenset({"rita"}))


WHAT_PEOPLE_WOULD_COUNT = {
    "both": (2, ASKED),
    "one person cannot fill two places": (1, replace(ASKED, away={"p1": "p2"})),
    "a substitute from outside fills one": (2, replace(ASKED, away={"p1": "out"})),
    "but only one": (1, replace(ASKED, away={"p1": "out", "p2": "out"})),
    "substitution does not chain": (0, replace(ASKED, away={"p1": None, "p2": "p1"})),
    "an excluded substitute": (1, replace(ASKED, away={"p1": "out"}, excluded=frozenset({"out"}))),
    "nobody stands in for who must not decide": (1, replace(ASKED, away={"p1": "out"}, requester="p1")),
    "who answered is done": (1, replace(ASKED, done=frozenset({"p1"}))),
    "a claim is given back": (2, replace(ASKED, holder="p1")),
    "a claim of somebody who left": (0, replace(ASKED, holder="gone")),
    "a delegate may give the task back": (2, replace(ASKED, holder="p2", owner="p1")),
    "the members of then": (1, replace(ASKED, snapshot={"managers": frozenset({"p1"})})),
    "a member of then who left the group": (1, replace(ASKED, snapshot={"managers": frozenset({"out"})})),
    "the requester makes changes": (1, CHANGES),
    "or their substitute, while they are away": (1, replace(CHANGES, away={"rita": "out"})),
    "or nobody": (0, replace(CHANGES, away={"rita": None})),
}


@pytest.mark.parametrize(
    ("left", "situation"),
    WHAT_PEOPLE_WOULD_COUNT.values(),
    ids=list(WHAT_PEOPLE_WOULD_COUNT),
)
def test_what_people_would_count(left: int, situation: Situation) -> None:
    assert decisions_left(situation.task, situation.present) == left == situation.searched()
