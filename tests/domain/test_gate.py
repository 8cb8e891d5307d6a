"""The gate as plain Python: rules about people, quorum, timers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings, strategies as st

from domain.gate import Gate
from domain.messages import Act, Action, Actor, Decision
from domain.refusals import Refusal, RefusalCode
from domain.ruling import Escalation, GateRuling
from domain.status import OnExpiry, Outcome, Verdict
from domain.task import Quorum, TaskView

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def a_gate(
    *,
    groups: tuple[str, ...] = ("managers",),
    users: tuple[str, ...] = (),
    quorum: int = 1,
    excluded: tuple[str, ...] = (),
    reminders: tuple[timedelta, ...] = (),
    escalations: tuple[tuple[timedelta, str], ...] = (),
    expires: timedelta | None = None,
    on_expiry: OnExpiry = "reject",
    verdicts: tuple[Verdict, ...] = (Verdict.APPROVE, Verdict.REJECT),
    operators: tuple[str, ...] = ("operators",),
) -> Gate:
    expires_at = NOON + expires if expires else None
    task = TaskView(
        task_id="t1",
        case_id="payment:1",
        process="payment",
        gate="manager-approval",
        title="Pay",
        summary="May it be paid?",
        requester="rita",
        candidate_groups=list(groups),
        candidate_users=list(users),
        excluded_users=list(excluded),
        operators=list(operators),
        quorum=Quorum(needed=quorum),
        opened_at=NOON,
        expires_at=expires_at,
        verdicts=list(verdicts),
        revision_required=False,
    )
    ruling = GateRuling(
        needed=True,
        rule="true",
        groups=list(groups),
        users=list(users),
        quorum=quorum,
        reminders=[NOON + after for after in reminders],
        escalations=[Escalation(at=NOON + after, groups=[group]) for after, group in escalations],
        expires_at=expires_at,
        on_expiry=on_expiry,
    )
    return Gate(task, ruling)


def an_answer(
    person: str,
    verdict: Verdict = Verdict.APPROVE,
    *,
    groups: tuple[str, ...] = ("managers",),
    revision: int | None = None,
    comment: str = "",
) -> Decision:
    return Decision(
        id=f"d-{person}-{verdict}",
        task_id="t1",
        verdict=verdict,
        by=Actor(id=person, groups=list(groups)),
        revision=revision,
        comment=comment,
        at=NOON + timedelta(minutes=5),
    )


def decide(gate: Gate, decision: Decision) -> str:
    rule = gate.check(decision)
    gate.decide(decision, decision.at)
    return rule


def the_refusal(gate: Gate, decision: Decision) -> Refusal:
    with pytest.raises(Refusal) as refused:
        gate.check(decision)
    return refused.value


def test_one_approval_of_a_member_ends_a_gate_that_needs_one() -> None:
    gate = a_gate()
    assert decide(gate, an_answer("mia")) == "member of managers"
    assert gate.outcome is Outcome.APPROVED
    assert gate.task.closed_at == NOON + timedelta(minutes=5)


def test_a_candidate_user_may_decide_without_any_group() -> None:
    gate = a_gate(groups=(), users=("mia",))
    assert decide(gate, an_answer("mia", groups=())) == "candidate user mia"


def test_two_approvals_of_two_people_are_needed_for_a_quorum_of_two() -> None:
    gate = a_gate(quorum=2)
    decide(gate, an_answer("mia"))
    assert gate.open and gate.task.quorum == Quorum(needed=2, given=1)
    decide(gate, an_answer("max"))
    assert gate.outcome is Outcome.APPROVED


def test_the_same_person_does_not_count_twice() -> None:
    gate = a_gate(quorum=2)
    decide(gate, an_answer("mia"))
    again = an_answer("mia").model_copy(update={"id": "another-click"})
    assert the_refusal(gate, again).details["rule"] == "quorum: each person counts once"


def test_one_rejection_ends_the_gate_whatever_was_approved_before() -> None:
    gate = a_gate(quorum=2)
    decide(gate, an_answer("mia"))
    decide(gate, an_answer("max", Verdict.REJECT))
    assert gate.outcome is Outcome.REJECTED


def test_the_requester_is_refused_even_as_a_member_and_as_a_candidate_user() -> None:
    gate = a_gate(users=("rita",))
    refused = the_refusal(gate, an_answer("rita"))
    assert refused.code is RefusalCode.NOT_ALLOWED and "requester" in refused.details["rule"]


def test_who_decided_an_earlier_gate_of_the_case_is_refused() -> None:
    refused = the_refusal(a_gate(excluded=("mia",)), an_answer("mia"))
    assert refused.code is RefusalCode.NOT_ALLOWED and "one gate" in refused.details["rule"]


def test_somebody_from_another_group_is_refused_and_told_who_may() -> None:
    refused = the_refusal(a_gate(), an_answer("fred", groups=("fraud-analysts",)))
    assert refused.code is RefusalCode.NOT_ALLOWED and "managers" in refused.message


def test_a_late_decision_learns_the_outcome() -> None:
    gate = a_gate()
    decide(gate, an_answer("mia"))
    refused = the_refusal(gate, an_answer("max", Verdict.REJECT))
    assert (refused.code, refused.details["outcome"]) == (RefusalCode.ALREADY_CLOSED, "approved")


def test_who_must_not_decide_learns_that_also_after_the_gate_closed() -> None:
    gate = a_gate()
    decide(gate, an_answer("mia"))
    assert the_refusal(gate, an_answer("rita")).code is RefusalCode.NOT_ALLOWED


def test_a_decision_on_what_was_seen_before_the_escalation_is_stale() -> None:
    gate = a_gate(escalations=((timedelta(hours=1), "directors"),))
    gate.fire_timers(NOON + timedelta(hours=1))
    refused = the_refusal(gate, an_answer("mia", revision=1))
    assert (refused.code, refused.details) == (RefusalCode.STALE, {"revision": 2, "changed": ["candidates"]})
    gate.check(an_answer("mia", revision=2))


def test_an_ordinary_task_does_not_take_an_operators_verdict() -> None:
    assert the_refusal(a_gate(), an_answer("mia", Verdict.SKIP)).code is RefusalCode.WRONG_VERDICT


def test_skipping_a_step_needs_a_reason() -> None:
    gate = a_gate(groups=("operators",), verdicts=(Verdict.RETRY, Verdict.SKIP))
    skip = an_answer("olga", Verdict.SKIP, groups=("operators",))
    assert the_refusal(gate, skip).code is RefusalCode.COMMENT_NEEDED
    decide(gate, skip.model_copy(update={"comment": "paid by hand"}))
    assert gate.outcome is Outcome.SKIP


def test_reminders_escalation_and_expiry_come_in_their_order() -> None:
    gate = a_gate(
        reminders=(timedelta(hours=4),), escalations=((timedelta(days=1), "directors"),), expires=timedelta(days=2)
    )
    assert gate.fire_timers(NOON + timedelta(hours=3)) == []
    assert [rang.kind for rang in gate.fire_timers(NOON + timedelta(hours=4))] == ["gate_reminded"]
    assert [rang.kind for rang in gate.fire_timers(NOON + timedelta(days=1))] == ["gate_escalated"]
    assert gate.task.candidate_groups == ["managers", "directors"]
    assert [rang.kind for rang in gate.fire_timers(NOON + timedelta(days=2))] == ["gate_expired"]
    assert gate.outcome is Outcome.EXPIRED and gate.next_timer() is None


def test_an_expiry_that_approves_says_that_a_rule_did_it() -> None:
    gate = a_gate(expires=timedelta(hours=1), on_expiry="approve")
    gate.fire_timers(NOON + timedelta(hours=1))
    assert gate.outcome is Outcome.APPROVED_BY_RULE


def test_an_expiry_that_escalates_waits_once_more_as_long_and_then_rejects() -> None:
    gate = a_gate(escalations=((timedelta(days=9), "directors"),), expires=timedelta(hours=2), on_expiry="escalate")
    gate.fire_timers(NOON + timedelta(hours=2))
    assert gate.open and gate.task.candidate_groups == ["managers", "directors"]
    assert gate.task.expires_at == NOON + timedelta(hours=4)
    gate.fire_timers(NOON + timedelta(hours=4))
    assert gate.outcome is Outcome.EXPIRED


def test_a_decision_in_time_stops_the_clock() -> None:
    gate = a_gate(reminders=(timedelta(hours=4),), expires=timedelta(days=2))
    decide(gate, an_answer("mia"))
    assert gate.next_timer() is None and gate.fire_timers(NOON + timedelta(days=9)) == []
    assert gate.outcome is Outcome.APPROVED


PEOPLE = ["rita", "mia", "max", "moe", "fred"]
ACTIONS = st.one_of(
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from([Verdict.APPROVE, Verdict.REJECT, Verdict.RETRY])),
    st.integers(min_value=0, max_value=100).map(lambda hours: timedelta(hours=hours)),
)


@settings(max_examples=300)
@given(
    quorum=st.integers(1, 3),
    on_expiry=st.sampled_from(["reject", "approve", "escalate"]),
    actions=st.lists(ACTIONS, max_size=30),
)
def test_whatever_comes_a_gate_has_one_outcome_and_counts_people_not_clicks(
    quorum: int, on_expiry: OnExpiry, actions: list[tuple[str, Verdict] | timedelta]
) -> None:
    gate = a_gate(
        quorum=quorum,
        reminders=(timedelta(hours=4),),
        escalations=((timedelta(hours=24), "directors"),),
        expires=timedelta(hours=48),
        on_expiry=on_expiry,
    )
    approved: set[str] = set()
    outcome: Outcome | None = None
    now = NOON
    for number, action in enumerate(actions):
        if isinstance(action, timedelta):
            now = max(now, NOON + action)
            gate.fire_timers(now)
        else:
            person, verdict = action
            groups = () if person == "fred" else ("managers",)
            decision = an_answer(person, verdict, groups=groups).model_copy(update={"id": str(number)})
            try:
                gate.check(decision)
            except Refusal:
                pass
            else:
                gate.decide(decision, decision.at)
                if verdict is Verdict.APPROVE:
                    approved.add(person)
        if outcome is not None:
            assert gate.outcome is outcome, "an outcome never changes"
        outcome = gate.outcome
    assert not approved & {"rita", "fred"}
    assert gate.task.quorum.given == len(approved)
    if outcome is Outcome.APPROVED:
        assert len(approved) == quorum
    if gate.open:
        assert len(approved) < quorum


def test_an_escalation_level_can_replace_the_levels_before_it() -> None:
    gate = a_gate()
    level = Escalation(at=NOON + timedelta(hours=1), groups=["directors"], users=["dan"], replace=True, priority=1)
    gate = Gate(gate.task, gate.ruling.model_copy(update={"escalations": [level]}))
    (rang,) = gate.fire_timers(NOON + timedelta(hours=1))
    assert (gate.task.candidate_groups, gate.task.candidate_users, gate.task.priority) == (["directors"], ["dan"], 1)
    assert rang.data == {"added": ["directors", "dan"], "removed": ["managers"]} and gate.task.revision == 2
    with pytest.raises(Refusal, match="You cannot decide this task"):
        gate.check(an_answer("mia"))
    assert gate.check(an_answer("dora", groups=("directors",))) == "member of directors"


def test_a_task_lists_its_future_timers_in_order() -> None:
    day = timedelta(days=1)
    ruling = GateRuling(
        needed=True,
        rule="true",
        groups=["managers"],
        pause_for_questions=True,
        reminders=[NOON + timedelta(hours=4)],
        escalations=[
            Escalation(at=NOON + day, groups=["directors"]),
            Escalation(at=NOON + 9 * day, users=["ceo"], replace=True),
        ],
        expires_at=NOON + 2 * day,
        on_expiry="escalate",
    )
    gate = Gate(a_gate().task, ruling)

    def told() -> list[tuple[float, str, list[str]]]:
        return [((step.at - NOON) / day * 24, step.does, step.to) for step in gate.task.clock]

    whole = [(4, "remind", []), (24, "escalate", ["directors"]), (48, "escalate", ["ceo"]), (96, "reject", [])]
    assert told() == whole
    gate.fire_timers(NOON + timedelta(hours=5))
    assert told() == whole[1:]
    gate.fire_timers(NOON + 2 * day)
    assert told() == whole[3:], "escalated, it runs once more as long"
    gate.fire_timers(NOON + 4 * day)
    assert gate.outcome is Outcome.EXPIRED
    approves = Gate(
        a_gate().task, ruling.model_copy(update={"on_expiry": "approve", "escalations": [], "reminders": []})
    )
    assert [step.does for step in approves.task.clock] == ["approve"]
    assert approves.patch().state["clock"], "it is stored with the next change"


@pytest.mark.parametrize("required", [True, False])
def test_a_decision_names_the_revision_where_the_policy_wants_it(required: bool) -> None:
    gate = a_gate()
    gate = Gate(gate.task.model_copy(update={"revision_required": required}), gate.ruling)
    if required:
        with pytest.raises(Refusal) as refused:
            gate.check(an_answer("mia"))
        assert (refused.value.code, refused.value.details["revision"]) == (RefusalCode.REVISION_NEEDED, 1)
    else:
        gate.check(an_answer("mia"))
    gate.check(an_answer("mia", revision=1))


def test_a_decision_on_a_gate_that_asks_for_help_counts_its_people_again() -> None:
    gate = a_gate(quorum=2)
    gate.short, gate.uncertain = "2 approvals are needed; 0 given, 1 of the candidates can still decide", False
    gate.decide(an_answer("mia"), NOON)  # the gate counted mia as away
    assert gate.uncertain


def test_a_withdrawn_question_can_be_asked_again_but_an_open_one_cannot() -> None:
    gate = a_gate()

    def send(act: Act, id: str, question: str | None = None) -> None:
        by, to = Actor(id="mia", groups=["managers"]), Actor(id="rita")
        action = Action(id=id, act=act, task_id="t1", by=by, to=to, text="Which?", question=question, at=NOON)
        gate.check_action(action)
        gate.act(action, NOON)

    send(Act.ASK, "q1")
    with pytest.raises(Refusal, match="still open"):
        send(Act.ASK, "q2")
    send(Act.WITHDRAW_QUESTION, "w1", "q1")
    send(Act.ASK, "q3")
    assert [each.open for each in gate.task.questions] == [False, True]
