"""Roles of a process: their keys, what `policy check` says about them, and the scope that they give to a person."""

from pathlib import Path

import pytest

from domain.scope import OVERSEER, Scope
from policy.model import Policy, PolicyError, ProcessPolicy
from policy.parse import notes, parse, warnings
from policy.roles import ROLES, roles_in
from policy.scope import scope_of
from tests.policy.examples import GATE, INPUTS
from workflows.registry import INPUTS as REGISTERED

SHIPPED = parse((Path(__file__).parents[2] / "config" / "policy.toml").read_text(encoding="utf-8"), inputs=REGISTERED)
HR = "user_onboarding"


def with_roles(*lines: str) -> Policy:
    return parse("\n".join(["[payment]", *lines, GATE]), inputs=INPUTS)


def test_without_keys_the_usual_groups_have_the_roles() -> None:
    usual = {"requesters": ["requesters"], "viewers": [], "operators": ["operators"], "auditors": ["auditors"]}
    assert roles_in(with_roles(), "payment") == usual
    assert roles_in(with_roles(), "deployment") == {}
    assert with_roles().operators("deployment") == ["operators"], "a case of a process that is gone can be helped"


def test_groups_of_roles_are_compared_like_all_groups() -> None:
    asked = with_roles('operators = ["Treasury"]')
    assert asked.operators("payment") == ["treasury"]
    assert "payment" in scope_of(asked, "ann", ["treasury"]).operates


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("operators = []", "policy.toml:2: payment.operators: must not be empty"),
        ('operators = "ops"', "payment.operators: must be a list"),
        ("viewers = [1]", "payment.viewers[0]: must be a text in quotes"),
        ('auditors = [""]', "payment.auditors[0]: must not be empty"),
        ('viewer = ["ops"]', "payment.viewer: unknown key; known are requesters, viewers, operators, auditors"),
    ],
)
def test_a_wrong_role_is_reported_with_its_key(line: str, says: str) -> None:
    with pytest.raises(PolicyError) as wrong:
        with_roles(line)
    assert says in str(wrong.value)


def test_the_check_warns_of_roles_that_nobody_has_and_explains_the_others() -> None:
    asked = with_roles("requesters = []", 'viewers = ["board", "council"]', 'operators = ["ops"]')
    found = warnings(asked, INPUTS, {"managers": ["anna", "bert"], "council": ["cyd"]})
    assert found == [
        "policy.toml:2: payment.requesters: names no group, so only admins start its cases",
        "policy.toml:3: payment.viewers: the group board has no members",
        "policy.toml:4: payment.operators: the group ops has no members",
    ]
    assert warnings(with_roles(), INPUTS, {"managers": ["anna", "bert"]}) == [], "keys that nobody wrote need no member"
    told = "\n".join(notes(asked))
    assert "payment.operators: ops, admins see all of it, decide about failures" in told
    assert "auditors" not in told


@pytest.mark.parametrize("role", ROLES)
def test_each_role_gives_what_it_says_and_no_other_role_does(role: str) -> None:
    other = ProcessPolicy(requesters=["x"], operators=["x"], auditors=["x"])
    mine = ProcessPolicy.model_validate({"requesters": ["x"], "operators": ["x"], "auditors": ["x"], role: ["mine"]})
    scope = scope_of(Policy("p", "", role, {"payment": mine, "deployment": other}), "ann", ["mine"])
    gives = {
        "requesters": {"starts"},
        "viewers": {"sees"},
        "operators": {"sees", "operates", "audits"},
        "auditors": {"sees", "audits"},
    }[role]
    reaches = {name: getattr(scope, name) for name in ("starts", "sees", "operates", "audits")}
    assert {name for name, reach in reaches.items() if "payment" in reach} == gives
    assert not any("deployment" in reach for reach in reaches.values())
    assert ("payment" in scope.knows, "deployment" in scope.knows) == (True, False)
    assert not (scope.oversees_installation or scope.audits_installation)


def test_who_has_a_role_in_every_process_has_it_everywhere() -> None:
    sections = {name: ProcessPolicy(auditors=["audit-office"]) for name in ("payment", "deployment")}
    scope = scope_of(Policy("p", "", "everywhere", sections), "ann", ["audit-office"])
    assert scope.sees.everywhere and "a process that is gone" in scope.audits
    assert scope.audits_installation and not scope.operates


@pytest.mark.parametrize(
    ("groups", "hr", "others"),
    [(["operators"], False, True), (["auditors"], False, True), (["hr"], True, False), (["admins"], True, True)],
)
def test_the_shipped_policy_shows_requests_about_people_only_to_hr_and_admins(
    groups: list[str], hr: bool, others: bool
) -> None:
    scope = scope_of(SHIPPED, "ann", groups)
    assert (HR in scope.sees, HR in scope.audits) == (hr, hr)
    assert {name in scope.sees for name in REGISTERED if name != HR} == {others}
    assert scope.oversees_installation is (groups != ["hr"])


def test_the_policy_in_force_decides_at_once() -> None:
    before, after = with_roles('viewers = ["board"]'), with_roles('viewers = ["council"]')
    assert "payment" in scope_of(before, "ann", ["board"]).sees
    assert scope_of(after, "ann", ["board"]) == Scope()
    assert scope_of(after, "ann", ["board", "admins"]) == OVERSEER
