"""A person who arranged the deciders does not decide, and who may stand in for another person: plain Python."""

from datetime import timedelta
from typing import Any

import pytest

from domain.gate import Gate
from domain.messages import Absent, Act, Action, Actor
from domain.permissions import places
from domain.quorum import decisions_left
from domain.records import Present
from domain.refusals import Refusal, RefusalCode
from domain.ruling import GateRuling
from domain.task import TaskView
from tests.domain.test_gate import NOON, a_gate, an_answer

ADMIN = Actor(id="ada", groups=["admins", "managers"])
ANNA, BERT = (Actor(id=name, groups=["managers"]) for name in ("anna", "bert"))
SOON = NOON + timedelta(minutes=1)


def action(act: Act, by: Actor = ADMIN, **more: Any) -> Action:
    return Action(id=f"{act}", task_id="t1", act=act, by=by, at=NOON, text="because", **more)


def do(gate: Gate, *actions: Action) -> Gate:
    for each in actions:
        gate.check_action(each)
        gate.act(each, NOON)
    return gate


def refused(gate: Gate, person: str) -> str:
    """The rule by which somebody must not decide; empty when they may."""
    try:
        gate.check(an_answer(person, revision=gate.task.revision))
    except Refusal as no:
        assert no.code is RefusalCode.NOT_ALLOWED, no
        return f"{no.message} {no.details['rule']}"
    return ""


CLAIM = action(Act.CLAIM, ANNA)
REASSIGN = action(Act.REASSIGN, to=ANNA)
RULING = GateRuling(needed=True, rule="true", groups=["managers"])
ARRANGED: list[tuple[str, list[Action]]] = [
    ("gives it to somebody", [REASSIGN]),
    ("gives it, and it is given back", [REASSIGN, action(Act.RELEASE, ANNA)]),
    ("gives it, and it is delegated and given back", [
        REASSIGN, action(Act.DELEGATE, ANNA, to=BERT), action(Act.RELEASE, BERT), action(Act.RELEASE, ANNA)
    ]),
    ("takes it from who claimed it", [CLAIM, action(Act.RELEASE)]),
    ("puts somebody in the place of another", [action(Act.REPLACE, replaces="zoe", to=ANNA)]),
    ("applies another policy", [action(Act.NEW_RULES, ruling=RULING)]),
    ("gives it, and another admin applies another policy", [
        REASSIGN, action(Act.NEW_RULES, Actor(id="otto", groups=["admins"]), ruling=RULING), action(Act.RELEASE, ANNA)
    ]),
    ("brings forward the end at which it escalates", [action(Act.SET_CLOCK, expires_at=SOON)]),
]  # fmt: skip


@pytest.mark.parametrize(("done"), [done for _, done in ARRANGED], ids=[name for name, _ in ARRANGED])
def test_a_person_who_arranged_who_decides_never_decides(done: list[Action]) -> None:
    gate = a_gate(
        users=("zoe",),
        expires=timedelta(days=1),
        escalations=((timedelta(hours=1), "directors"),),
        on_expiry="escalate",
    )
    assert refused(gate, "ada") == ""
    do(gate, *done)
    assert "who changed who decides a task does not decide it" in refused(gate, "ada")
    for act in (Act.CLAIM, Act.DELEGATE):
        with pytest.raises(Refusal, match="You changed who decides"):
            gate.check_action(action(act, to=BERT))
    with pytest.raises(Refusal, match="cannot give them the task"):
        gate.check_action(action(Act.REASSIGN, Actor(id="otto", groups=["admins"]), to=ADMIN))
    # Nobody else loses anything, and who counts who can still decide knows of it.
    free = gate.task.model_copy(update={"assignee": None, "owner": None})
    assert places(free, ANNA) and not places(free, ADMIN)
    assert gate.uncertain and decisions_left(free, Present(there=[ADMIN])) == 0
    # Also not by standing in for somebody, nor is somebody else in their place.
    stands_in = Actor(id="ada", groups=["managers"], stands_in_for=[Absent(id="anna", groups=["managers"])])
    assert not places(free, stands_in)
    assert not places(free, Actor(id="cleo", groups=[], stands_in_for=[Absent(id="ada", groups=["managers"])]))
    # The stored task tells the same, as a gateway asks it where no worker answers.
    stored = TaskView.model_validate(gate.task.model_dump() | gate.patch(whole=True).state)
    assert "You changed who decides" in refused(Gate(stored, RULING), "ada")


@pytest.mark.parametrize(
    "done",
    [
        [action(Act.CLAIM)],
        [action(Act.CLAIM), action(Act.RELEASE)],
        [action(Act.DELEGATE, to=BERT), action(Act.RELEASE, BERT)],
        [action(Act.DELEGATE, to=BERT), action(Act.RELEASE)],
        [action(Act.SET_CLOCK, expires_at=NOON + timedelta(days=9))],
        [action(Act.ASK, to=BERT)],
    ],
    ids=["claims", "gives back", "is given it back", "takes it back", "extends", "asks"],
)
def test_what_gives_nobody_else_a_place_costs_nobody_theirs(done: list[Action]) -> None:
    gate = do(a_gate(expires=timedelta(days=1)), *done)
    assert refused(gate, "ada") == ""


@pytest.mark.parametrize("act", [Act.REASSIGN, Act.REPLACE])
@pytest.mark.parametrize("id", ["ada", "ADA"])
def test_nobody_gives_a_task_to_themselves(act: Act, id: str) -> None:
    with pytest.raises(Refusal, match="cannot put yourself on a task"):
        a_gate().check_action(action(act, replaces="zoe", to=Actor(id=id)))


MANAGER, DIRECTOR = Absent(id="mia", groups=["managers"]), Absent(id="dan", groups=["directors"])


@pytest.mark.parametrize(
    ("by", "away", "fits"),
    [
        (["managers"], MANAGER, True),
        (["directors"], MANAGER, False),  # of no group that decides the task
        ([], MANAGER, False),
        (["managers"], Absent(id="named", groups=[]), True),  # decides it themselves
        (["clerks"], Absent(id="named", groups=["clerks"]), True),
        (["requesters"], Absent(id="named", groups=["requesters"]), False),  # that everybody is in
        (["clerks"], Absent(id="named", groups=["managers"]), False),
    ],
)
def test_a_substitute_is_of_a_group_that_decides(by: list[str], away: Absent, fits: bool) -> None:
    task = a_gate(users=("named",)).task
    actor = Actor(id="sub", groups=by, stands_in_for=[away])
    assert any(place.behalf == away.id for place in places(task.model_copy(update={"substitutes": "anyone"}), actor))
    held = task.model_copy(update={"substitutes": "same-group"})
    assert any(place.behalf == away.id for place in places(held, actor)) is fits
    if not fits:
        with pytest.raises(Refusal, match="task needs a substitute who can decide it too"):
            decision = an_answer("sub", groups=())
            Gate(held, RULING).check(decision.model_copy(update={"by": actor}))


@pytest.mark.parametrize(
    ("groups", "operators", "may"),
    [
        (["treasury-ops"], ["treasury-ops"], True),
        (["operators"], ["operators"], True),
        (["operators"], ["treasury-ops"], False),
        (["hr-ops"], ["treasury-ops", "operators"], False),
        (["admins"], ["treasury-ops"], True),
        (["managers", "auditors"], ["operators"], False),
        ([], [], False),
    ],
)
@pytest.mark.parametrize("act", [Act.REASSIGN, Act.WITHDRAW_QUESTION])
def test_only_operators_of_the_process_and_admins_reassign(
    act: Act, groups: list[str], operators: list[str], may: bool
) -> None:
    """The task says who operates its process, so that the Workflow needs no policy."""
    gate = a_gate(operators=tuple(operators))
    do(gate, action(Act.ASK, ANNA, to=BERT))
    by = Actor(id="olga", groups=groups)
    wanted = action(act, by, to=BERT) if act is Act.REASSIGN else action(act, by, question=f"{Act.ASK}")
    if may:
        do(gate, wanted)
        return
    with pytest.raises(Refusal) as no:
        gate.check_action(wanted)
    assert no.value.code is RefusalCode.NOT_ALLOWED
    assert all(group in no.value.details["rule"] for group in [*operators, "admins"])
