"""A service account asks and never decides, and nobody decides what a service account asks for on their account.

The tables have every message and every role on a task, so that a new kind of message or task is refused until somebody
says otherwise.
"""

from itertools import product
from typing import Any, get_args

import pytest

from domain.gate import Gate
from domain.leavers import eligible_successor, leavers_to_replace
from domain.messages import Absent, Act, Action, Actor
from domain.names import ADMINS, OPERATORS
from domain.permissions import check_own_case, is_requester, places
from domain.records import Present
from domain.refusals import Refusal, RefusalCode
from domain.ruling import GateRuling
from domain.status import TaskKind, Verdict
from domain.task import TaskView
from domain.token_scopes import TokenScope, scopes_named
from tests.domain.test_gate import NOON, a_gate, an_answer

EVERYTHING = ["managers", ADMINS, OPERATORS, "requesters"]
BOT = Actor(id="bot", kind="service", groups=EVERYTHING)
OWNER, PERSON = "mia", "pal"
KINDS: tuple[TaskKind, ...] = get_args(TaskKind)
RULING = GateRuling(needed=True, rule="true", groups=["managers"])


def asked(kind: TaskKind = "gate", **fields: Any) -> Gate:
    """The gate of a request that `bot`, a member of the group that decides, made on behalf of Pal. Mia owns the bot."""
    changes: dict[str, Any] = {"kind": kind, "requester": "bot", "on_behalf_of": PERSON, "asked_for": [PERSON, OWNER]}
    changes |= {"verdicts": list(Verdict), "substitutes": "anyone", **fields}
    return Gate(a_gate().task.model_copy(update=changes), RULING)


def action(act: Act, by: Actor, **more: Any) -> Action:
    known = {"id": "a1", "task_id": "t1", "act": act, "by": by, "at": NOON, "text": "because"}
    return Action.model_validate({**known, "question": "q1", "replaces": "zoe", **more})


def refusal(gate: Gate, message: Any) -> Refusal:
    with pytest.raises(Refusal) as refused:
        gate.check_action(message) if isinstance(message, Action) else gate.check(message)
    assert refused.value.code is RefusalCode.NOT_ALLOWED, refused.value.message
    return refused.value


@pytest.mark.parametrize(("kind", "verdict"), [*product(KINDS, Verdict)])
def test_a_service_account_never_decides_whatever_its_groups_are(kind: TaskKind, verdict: Verdict) -> None:
    decision = an_answer("bot", verdict, comment="because").model_copy(update={"by": BOT})
    for gate in (
        asked(kind),
        asked(kind, requester="rita", asked_for=[]),  # also what a person asks for
        asked(kind, candidate_users=["bot"]),
        asked(kind, candidate_users=["bot"], assignee="bot"),
        asked(kind, assignee="bot", owner="max"),
    ):
        assert "service account" in refusal(gate, decision).details["rule"]
        by = BOT.model_copy(update={"stands_in_for": [Absent(id="max", groups=["managers"])]})
        assert "service account" in refusal(gate, decision.model_copy(update={"by": by})).details["rule"]
        assert not places(gate.task, by)


@pytest.mark.parametrize(("kind", "act"), [*product(KINDS, Act)])
def test_a_service_account_takes_no_action_on_a_task(kind: TaskKind, act: Act) -> None:
    for to in (None, Actor(id="max", groups=["managers"])):
        assert "service account" in refusal(asked(kind), action(act, BOT, to=to)).details["rule"]


@pytest.mark.parametrize(
    "act", [act for act in Act if act not in (Act.CLAIM, Act.RELEASE, Act.WITHDRAW)], ids=lambda act: act.value
)
def test_nobody_gives_a_task_or_a_question_to_a_service_account(act: Act) -> None:
    by = Actor(id="max", groups=[ADMINS, "managers"])
    assert "bot is a service account" in refusal(asked(), action(act, by, to=BOT)).message


ROLES: dict[str, dict[str, Any]] = {
    "a member of a group that decides": {},
    "a candidate by name": {"candidate_groups": [], "candidate_users": [OWNER, PERSON]},
    "the holder of the task": {"assignee": "SELF"},
    "a delegate": {"assignee": "SELF", "owner": "max"},
    "a member at the opening": {"members": {"managers": [OWNER, PERSON]}},
}


@pytest.mark.parametrize("person", [OWNER, PERSON, OWNER.upper()])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "changes"])
def test_people_for_whom_a_service_account_asks_never_decide(person: str, role: str, kind: TaskKind) -> None:
    fields = {name: person if value == "SELF" else value for name, value in ROLES[role].items()}
    gate = asked(kind, **fields)
    rule, absent = "separation of duties: the requester never decides", Absent(id="max", groups=["managers"])
    for by in (Actor(id=person, groups=EVERYTHING), Actor(id=person, groups=EVERYTHING, stands_in_for=[absent])):
        decision = an_answer(person, comment="because").model_copy(update={"by": by})
        assert refusal(gate, decision).details["rule"] == rule
        assert refusal(asked(kind), action(Act.CLAIM, by)).details["rule"] == rule
        assert refusal(asked(kind), action(Act.DELEGATE, by, to=Actor(id="moe"))).details["rule"] == rule
    # Nor does somebody decide in their place, or give them the task.
    instead = Actor(id="eve", groups=[], stands_in_for=[Absent(id=person, groups=["managers"])])
    assert not places(gate.task.model_copy(update={"assignee": None, "owner": None}), instead)
    to = Actor(id=person, groups=["managers"])
    for act, by in (
        (Act.REASSIGN, Actor(id="ada", groups=[ADMINS])),
        (Act.DELEGATE, Actor(id="moe", groups=["managers"])),
    ):
        assert refusal(asked(kind), action(act, by, to=to)).details["rule"] == rule
    assert eligible_successor(asked("gate").task, person) is None


def test_the_others_decide() -> None:
    gate = asked()
    assert gate.check(an_answer("max", comment="because")) == "member of managers"


def test_people_for_whom_a_service_account_asks_make_the_changes() -> None:
    gate = asked("changes", candidate_groups=[], candidate_users=[PERSON, OWNER])
    assert gate.check(an_answer(PERSON, Verdict.RESUBMIT, groups=())) == f"candidate user {PERSON}"
    assert gate.check(an_answer(OWNER, Verdict.RESUBMIT, groups=())) == f"candidate user {OWNER}"
    assert refusal(gate, an_answer("max", Verdict.RESUBMIT))


def test_the_successor_of_a_person_for_whom_a_service_account_asks_does_not_decide() -> None:
    gate = asked()
    assert leavers_to_replace(gate.task, {OWNER: "max"}) == {OWNER: "max"}
    gate.replace(OWNER, "max", NOON)
    assert gate.task.excluded_users == ["max"] and refusal(gate, an_answer("max", comment="because"))


def test_who_becomes_an_owner_while_the_gate_is_open_does_not_decide_any_more() -> None:
    gate = asked()
    gate.count(Present(there=[Actor(id="max", groups=["managers"])], owners=[OWNER]), NOON)
    assert gate.task.excluded_users == []
    gate.count(Present(there=[Actor(id="max", groups=["managers"])], owners=[OWNER, "max"]), NOON)
    gate.exclude([])  # what other gates exclude is computed again
    gate.count(Present(there=[], owners=[OWNER]), NOON)
    assert gate.task.excluded_users == ["max"] and refusal(gate, an_answer("max", comment="because"))
    other = asked()
    other.exclude(["moe"])  # who decided another gate
    other.count(Present(there=[Actor(id="max", groups=["managers"])], owners=[OWNER]), NOON)
    assert other.task.excluded_users == ["moe"]


@pytest.mark.parametrize(
    ("by", "requester", "allowed"),
    [
        (BOT, "bot", True),
        (BOT, "other-bot", False),
        (BOT, "rita", False),
        (Actor(id="rita"), "bot", True),  # the gateway says which people may
    ],
)
def test_a_service_account_cancels_only_its_own(by: Actor, requester: str, allowed: bool) -> None:
    if allowed:
        check_own_case(by, requester)
        return
    with pytest.raises(Refusal, match="only what it started itself"):
        check_own_case(by, requester)


def test_the_requester_is_asked_for_by_one_function() -> None:
    task: TaskView = asked().task
    assert [who for who in ("bot", "BOT", OWNER, PERSON, "max", None) if is_requester(task, who)] == [
        "bot",
        "BOT",
        OWNER,
        PERSON,
    ]
    assert task.contact == PERSON


def test_scopes_have_one_order_and_unknown_ones_are_refused() -> None:
    assert scopes_named(["cases:read", "cases:ask", "cases:ask"]) == [TokenScope.CASES_ASK, TokenScope.CASES_READ]
    with pytest.raises(ValueError, match="'cases:decide' is not a scope: choose from cases:ask"):
        scopes_named(["cases:decide"])
    with pytest.raises(ValueError, match="at least one scope"):
        scopes_named([])
