"""Whom the requester may choose as deciders: the keys `choose_from` and `substitutes`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from policy.candidates import with_people
from policy.model import PolicyError
from policy.parse import parse, warnings
from policy.rules import rule
from tests.domain.test_gate import NOON, a_gate
from workflows.registry import INPUTS, PROCESSES

ONBOARDING = INPUTS["user_onboarding"]
BASE = "[user_onboarding.gates.manager-approval]\n"
CHOOSES = "candidates = \"manager == null ? ['managers'] : [manager]\"\n"


@dataclass
class One:
    id: str
    groups: list[str] = field(default_factory=list)
    away: bool = False
    substitute: str | None = None


@dataclass
class People:
    """A company."""

    everybody: Sequence[One]
    managers: Mapping[str, str] = field(default_factory=dict)

    async def candidates(self, groups: Sequence[str], users: Sequence[str]) -> Sequence[One]:
        return [each for each in self.everybody if each.id in users or set(groups) & set(each.groups)]

    async def groups_among(self, names: Sequence[str]) -> Collection[str]:
        return {group for each in self.everybody for group in each.groups} & set(names)

    async def manager_of(self, person: str) -> str | None:
        return self.managers.get(person)

    async def owners_of(self, _: str) -> Sequence[str]:
        return []

    async def left(self, names: Sequence[str]) -> Mapping[str, str | None]:
        return {name: None for name in names if name == "gone"}


COMPANY = People(
    [One("mia", ["managers"]), One("dan", ["directors"]), One("pal", ["requesters"]), One("boss"), One("rita")],
    {"rita": "boss"},
)


async def asked(manager: str | None, keys: str) -> tuple[list[str], list[str], str | None]:
    """Groups and people whom a gate asks, and what it shows as its problem."""
    policy = parse(BASE + CHOOSES + keys, inputs={"user_onboarding": ONBOARDING})
    example = {name: text for name, text in PROCESSES["user_onboarding"].example.items() if name != "reference"}
    request = ONBOARDING.model_validate(example).model_copy(update={"manager": manager})
    found = rule(policy, "user_onboarding", "manager-approval", input=request, facts={}, case={}, at=NOON)
    ruling = (await with_people(a_gate().task, found, COMPANY)).ruling
    return ruling.groups, ruling.users, ruling.problem


@pytest.mark.parametrize(
    ("manager", "keys", "groups", "users"),
    [
        ("pal", "", [], ["pal"]),
        ("pal", 'choose_from = ["anyone"]', [], ["pal"]),
        ("mia", 'choose_from = ["managers"]', [], ["mia"]),
        ("MIA", 'choose_from = ["Managers"]', [], ["MIA"]),
        (None, 'choose_from = ["managers"]', ["managers"], []),
        ("pal", 'choose_from = ["managers"]', [], []),
        ("pal", 'choose_from = ["managers"]\ngroups = ["directors"]', ["directors"], []),
        ("directors", 'choose_from = ["managers"]', [], []),
        ("dan", 'choose_from = ["managers", "directors"]', [], ["dan"]),
        ("boss", 'choose_from = ["managers"]', [], []),
        ("boss", 'choose_from = ["managers", "manager_of(requester)"]', [], ["boss"]),
        ("pal", 'choose_from = ["manager_of(requester)"]', [], []),
    ],
)
async def test_only_those_whom_the_policy_allows_can_be_chosen(
    manager: str | None, keys: str, groups: list[str], users: list[str]
) -> None:
    found, people, problem = await asked(manager, keys)
    assert (found, people) == (groups, users)
    assert ("cannot be chosen" in (problem or "")) is (bool(keys) and manager not in (None, *users, *groups))


def test_a_policy_that_lets_the_requester_choose_anybody_is_warned_of() -> None:
    def told(text: str) -> str:
        return "\n".join(warnings(parse(text, inputs={"user_onboarding": ONBOARDING}), {"user_onboarding": ONBOARDING}))

    assert "the requester chooses who decides, by manager" in told(BASE + CHOOSES)
    assert "chooses" not in told(BASE + CHOOSES + 'choose_from = ["managers"]')
    assert "chooses" not in told(BASE + CHOOSES + 'choose_from = ["anyone"]')
    assert "chooses" not in told(BASE + 'candidates = "facts.owners"')
    assert "any person whom an absent candidate names" in told(BASE + 'groups = ["managers"]\nsubstitutes = "anyone"')
    for wrong in ('groups = ["managers"]\nchoose_from = ["managers"]', CHOOSES + "choose_from = []"):
        with pytest.raises(PolicyError, match="choose_from"):
            parse(BASE + wrong, inputs={"user_onboarding": ONBOARDING})
