"""An open gate follows another policy: values set by hand stay, and the changes are recorded."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.engine.records import _opening_in_words
from domain.base import FieldChange
from domain.gate import Gate
from domain.messages import Act, Action, Actor, Decision
from domain.ruling import Escalation, GateRuling
from domain.status import Outcome, Verdict
from domain.task import Quorum, TaskView

OPENED = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ADA = Actor(id="ada", groups=["admins"])


def ruled(**changes: Any) -> GateRuling:
    usual: dict[str, Any] = {
        "needed": True,
        "rule": "amount >= limits.manager",
        "groups": ["managers"],
        "due_at": OPENED + 8 * HOUR,
        "expires_at": OPENED + 48 * HOUR,
    }
    return GateRuling.model_validate(usual | changes)


def gate(ruling: GateRuling | None = None, **changes: Any) -> Gate:
    ruling = ruling or ruled()
    values: dict[str, Any] = {
        "task_id": "t",
        "case_id": "payment:inv-1",
        "process": "payment",
        "gate": "manager-approval",
        "title": "Pay",
        "summary": "Pay?",
        "requester": "rita",
        "candidate_groups": ruling.groups,
        "candidate_users": ruling.users,
        "quorum": Quorum(needed=1),
        "opened_at": OPENED,
        "due_at": ruling.due_at,
        "expires_at": ruling.expires_at,
        "rule": ruling.rule,
    }
    return Gate(TaskView.model_validate(values | changes), ruling)


def act(on: Gate, act: Act, at: datetime, **more: Any) -> None:
    action = Action(id=f"{act}-{at}", task_id="t", act=act, by=more.pop("by", ADA), at=at, **more)
    on.check_action(action)
    on.act(action, at)


# -------------------------------------------------------------------------------------------------------- set by hand


@pytest.mark.parametrize("fields", [("due_at",), ("expires_at",), ("due_at", "expires_at")])
def test_times_that_an_admin_has_set_stay_unless_told_otherwise(fields: tuple[str, ...]) -> None:
    by_hand = {name: OPENED + (30 if name == "due_at" else 90) * HOUR for name in fields}
    open_gate = gate()
    act(open_gate, Act.SET_CLOCK, OPENED + HOUR, text="a strike", **by_hand)
    other = ruled(due_at=OPENED + 4 * HOUR, expires_at=OPENED + 24 * HOUR)
    changed = open_gate.adopt(other, OPENED + 2 * HOUR).data["changed"]
    for name in ("due_at", "expires_at"):
        expected = by_hand.get(name, getattr(other, name))
        assert getattr(open_gate.task, name) == expected
        assert any(said.startswith(name.replace("_", " ")) for said in changed) is (name not in by_hand)
    ends = [step.at for step in open_gate.task.clock if step.does == "reject"]
    assert ends == [open_gate.task.expires_at], "and the clock goes by it"
    # Told otherwise, the policy's times count, from now on.
    open_gate.adopt(other, OPENED + 2 * HOUR, times=True)
    assert (open_gate.task.due_at, open_gate.task.expires_at) == (other.due_at, other.expires_at)
    assert open_gate.task.set_by_hand == []


def test_a_due_time_of_the_policy_is_never_after_an_expiry_set_by_hand() -> None:
    open_gate = gate(ruled(due_at=None))
    act(open_gate, Act.SET_CLOCK, OPENED + HOUR, text="today", expires_at=OPENED + 5 * HOUR)
    open_gate.adopt(ruled(due_at=OPENED + 8 * HOUR), OPENED + 2 * HOUR)
    assert open_gate.task.due_at == open_gate.task.expires_at == OPENED + 5 * HOUR


def test_the_time_of_a_pause_stays_added_to_the_deadlines() -> None:
    open_gate = gate(ruled(pause_for_questions=True))
    mia, max_ = Actor(id="mia", groups=["managers"]), Actor(id="max", groups=["managers"])
    act(open_gate, Act.ASK, OPENED + HOUR, by=mia, to=max_, text="Why?")
    (question,) = open_gate.task.questions
    act(open_gate, Act.ANSWER, OPENED + 11 * HOUR, by=max_, question=question.id, text="So")
    open_gate.adopt(ruled(expires_at=OPENED + 24 * HOUR), OPENED + 12 * HOUR)
    assert open_gate.task.expires_at == OPENED + 34 * HOUR


def test_a_person_to_whom_an_admin_gave_the_task_keeps_it() -> None:
    open_gate = gate()
    act(open_gate, Act.REASSIGN, OPENED + HOUR, to=Actor(id="dora"))
    open_gate.adopt(ruled(groups=["directors"]), OPENED + 2 * HOUR)
    assert (open_gate.task.assignee, open_gate.task.candidate_users) == ("dora", ["dora"])
    assert open_gate.task.candidate_groups == ["directors"]


def test_a_claim_stays_where_the_candidates_do() -> None:
    for groups, assignee in ((["managers"], "mia"), (["directors"], None)):
        open_gate = gate()
        act(open_gate, Act.CLAIM, OPENED + HOUR, by=Actor(id="mia", groups=["managers"]))
        open_gate.adopt(ruled(groups=groups, quorum=2), OPENED + 2 * HOUR)
        assert open_gate.task.assignee == assignee


# ---------------------------------------------------------------------------------------------------- what rang before

DIRECTORS = Escalation(at=OPENED + HOUR, groups=["directors"])


def test_what_the_clock_has_done_is_neither_undone_nor_done_again() -> None:
    reminded = ruled(reminders=[OPENED + HOUR / 2, OPENED + 9 * HOUR], escalations=[DIRECTORS])
    open_gate = gate(reminded)
    assert [each.kind for each in open_gate.fire_timers(OPENED + 2 * HOUR)] == ["gate_reminded", "gate_escalated"]
    changed = open_gate.adopt(reminded.model_copy(update={"quorum": 2}), OPENED + 2 * HOUR).data["changed"]
    assert changed == ["approvals needed: 1 became 2"]
    assert open_gate.task.candidate_groups == ["managers", "directors"]
    assert open_gate.fire_timers(OPENED + 2 * HOUR) == []
    assert [step.does for step in open_gate.task.clock] == ["remind", "reject"]


def test_other_reminders_and_escalations_are_a_change_also_where_nothing_else_is() -> None:
    def levels(hours: int, **more: Any) -> GateRuling:
        level = Escalation(at=OPENED + hours * HOUR, groups=["directors"], **more)
        return ruled(escalations=[level], reminders=[OPENED + hours * HOUR / 2])

    old, new = gate(levels(10)), levels(20)
    shown = old.task
    # The last is what `policy apply` asks before it changes anything.
    for on in (old, gate(levels(10)), Gate(shown, new)):
        assert on.adopt(new, OPENED + HOUR).data["changed"] == [
            "remind: 2026-11-23 14:00 UTC became 2026-11-23 19:00 UTC",
            "escalate: directors 2026-11-23 19:00 UTC became directors 2026-11-24 05:00 UTC",
        ]
        assert [step.at for step in on.task.clock if step.does == "escalate"] == [OPENED + 20 * HOUR]
    assert Gate(old.task, new).adopt(new, OPENED + HOUR).data["changed"] == [], "then it goes by them"
    assert "only directors" in Gate(old.task, new).adopt(levels(20, replace=True), OPENED + HOUR).summary
    # A level that has had its time is neither news nor told again.
    late = Gate(shown.model_copy(update={"candidate_groups": ["managers", "directors"], "clock": shown.clock[2:]}), new)
    assert late.adopt(levels(10), OPENED + 11 * HOUR).data["changed"] == []


def test_a_level_that_is_new_and_over_already_comes_at_once_and_is_told() -> None:
    open_gate = gate()
    open_gate.adopt(ruled(escalations=[DIRECTORS]), OPENED + 2 * HOUR)
    (rang,) = open_gate.fire_timers(OPENED + 2 * HOUR)
    assert (rang.kind, rang.data["added"]) == ("gate_escalated", ["directors"])


def test_a_gate_in_its_second_term_does_not_end_by_another_policy() -> None:
    open_gate = gate(ruled(on_expiry="escalate", escalations=[DIRECTORS]))
    open_gate.fire_timers(OPENED + 49 * HOUR)
    end = open_gate.task.expires_at
    open_gate.adopt(ruled(on_expiry="escalate", escalations=[DIRECTORS], quorum=2), OPENED + 50 * HOUR)
    open_gate.fire_timers(OPENED + 50 * HOUR)
    assert open_gate.open and open_gate.task.expires_at == end


def test_an_end_that_is_over_already_is_said_before_it_comes() -> None:
    said = gate().adopt(ruled(expires_at=OPENED + HOUR), OPENED + 2 * HOUR).data["changed"]
    assert said[-1] == "that end is over already, so it comes at once"


# ----------------------------------------------------------------------------------------------------------- the words

BELOW = {"needed": False, "rule": "amount >= limits.manager", "groups": []}
WORDS: list[tuple[dict[str, Any], Outcome | None, str, str]] = [
    (
        BELOW,
        Outcome.APPROVED_BY_RULE,
        "no approval needed: amount >= limits.manager does not hold",
        "amount >= limits.manager does not hold",
    ),
    (
        {**BELOW, "rule": "amount < 10", "decided": "approve"},
        Outcome.APPROVED_BY_RULE,
        "approved by rule: amount < 10 holds",
        "amount < 10",
    ),
    (
        {**BELOW, "rule": "facts.blocked", "decided": "reject"},
        Outcome.REJECTED_BY_RULE,
        "rejected by rule: facts.blocked holds",
        "facts.blocked",
    ),
    (
        {"rule": "amount >= 900"},
        None,
        "rule: amount >= limits.manager became amount >= 900",
        "amount >= 900",
    ),
]


@pytest.mark.parametrize(("change", "outcome", "said", "rule"), WORDS)
def test_a_changed_rule_is_said_as_it_came_out(
    change: dict[str, Any], outcome: Outcome | None, said: str, rule: str
) -> None:
    open_gate = gate()
    happened = open_gate.adopt(ruled(**change), OPENED + HOUR)
    assert (open_gate.outcome, open_gate.task.rule) == (outcome, rule)
    assert happened.summary == f"The gate follows other rules: {said}"
    assert happened.data["needed"] is change.get("needed", True) and happened.data["rule"] == ruled(**change).rule


def test_after_an_edit_the_rule_that_no_longer_holds_is_not_said_to_hold() -> None:
    open_gate = gate()
    approval = Decision(
        id="d1", task_id="t", verdict=Verdict.APPROVE, by=Actor(id="mia", groups=["managers"]), at=OPENED
    )
    open_gate.decide(approval, OPENED, [FieldChange(field="amount", before=9, after=1)])
    assert open_gate.edited
    happened = open_gate.adopt(ruled(**BELOW), OPENED + HOUR)
    assert open_gate.outcome is Outcome.APPROVED and open_gate.task.rule == "amount >= limits.manager does not hold"
    assert "became amount >= limits.manager does not hold" in happened.summary


@pytest.mark.parametrize(("change", "outcome", "said", "rule"), WORDS[:3])
def test_opening_and_changing_say_the_same(change: dict[str, Any], outcome: Outcome, said: str, rule: str) -> None:
    opened = _opening_in_words(gate().task, ruled(**change))
    assert (" by rule, " in opened) is (" by rule: " in said)
    assert ("does not hold" in opened) is ("does not hold" in said)
