"""A gate works with every moment that a rule, a message or a process gives."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, ValidationError

from domain.batch import BatchOrder
from domain.case import CaseInput
from domain.gate import Gate
from domain.messages import Act, Action, Actor, Cancellation, Decision, StartNow
from domain.moments import FIRST_MOMENT, LAST_MOMENT, LONGEST, LONGEST_TIMER, after, bounded, until
from domain.refusals import Refusal
from domain.ruling import Escalation, GateRuling
from domain.status import Verdict
from domain.step import StepOptions
from domain.task import Quorum, TaskView
from policy.clock import instant
from policy.expressions import ExpressionError
from workflows.engine.failures import Failure, pause_after

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
OFFSETS = st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.one_of(
    st.datetimes(timezones=st.none() | OFFSETS),
    st.sampled_from([datetime.min, datetime.max]).flatmap(lambda at: OFFSETS.map(lambda zone: at.replace(tzinfo=zone))),
)
LENGTHS = st.timedeltas() | st.sampled_from([timedelta.min, timedelta.max])


@given(MOMENTS, LENGTHS)
def test_a_moment_stays_within_its_bounds_whatever_is_added(at: datetime, by: timedelta) -> None:
    moment = bounded(at)
    assert FIRST_MOMENT <= moment <= LAST_MOMENT and moment.tzinfo is UTC
    assert FIRST_MOMENT <= after(moment, by) <= LAST_MOMENT
    assert timedelta(0) <= until(moment, NOW) <= LONGEST_TIMER
    assert timedelta(0) <= StepOptions(retry_for=by, first_pause=by).first_pause <= LONGEST


def test_a_moment_that_people_mean_is_kept_and_is_in_utc() -> None:
    local = datetime(2027, 7, 1, 9, tzinfo=timezone(timedelta(hours=5)))
    assert bounded(local) == local and bounded(local).hour == 4
    assert until(NOW + timedelta(hours=2), NOW) == timedelta(hours=2)


@pytest.mark.parametrize(
    ("message", "more"),
    [
        (Decision, {"task_id": "t", "verdict": "approve"}),
        (Action, {"task_id": "t", "act": "set_clock"}),
        (Cancellation, {"reason": "r"}),
        (StartNow, {}),
        (BatchOrder, {"act": "cancel", "reason": "r"}),
    ],
)
def test_a_message_whose_time_has_no_zone_does_not_fit(message: type[BaseModel], more: dict[str, Any]) -> None:
    given = {"id": "i", "by": {"id": "ada"}, "at": "2026-01-01T00:00:00Z", **more}
    message.model_validate(given)
    for name in {"at", "due_at", "expires_at"} & set(message.model_fields):
        with pytest.raises(ValidationError, match="offset from UTC"):
            message.model_validate(given | {name: "2026-01-01T00:00:00"})


def a_gate(ruling: dict[str, Any]) -> Gate:
    task = TaskView(
        task_id="t",
        case_id="errand:1",
        process="errand",
        gate="approval",
        title="t",
        summary="s",
        requester="rita",
        candidate_groups=["managers"],
        quorum=Quorum(needed=1),
        verdicts=[Verdict.APPROVE, Verdict.REJECT],
        opened_at=NOW,
        priority=3,
        rule="r",
    )
    made = GateRuling.model_validate({"needed": True, "rule": "r", "groups": ["managers"], **ruling})
    return Gate(task.model_copy(update={"due_at": made.due_at, "expires_at": made.expires_at}), made)


RULINGS = st.fixed_dictionaries(
    {
        "due_at": st.none() | MOMENTS,
        "expires_at": st.none() | MOMENTS,
        "reminders": st.lists(MOMENTS, max_size=2),
        "escalations": st.lists(MOMENTS.map(lambda at: {"at": at, "groups": ["directors"]}), max_size=2),
        "on_expiry": st.sampled_from(["reject", "approve", "escalate"]),
        "pause_for_questions": st.booleans(),
        "changes_for": LENGTHS,
    }
)


@given(RULINGS, RULINGS, st.lists(MOMENTS.filter(lambda at: at.tzinfo is not None), min_size=3, max_size=3))
def test_no_moment_makes_a_gate_fail(first: dict[str, Any], then: dict[str, Any], moments: list[datetime]) -> None:
    gate = a_gate(first)
    ada, mia = Actor(id="ada", groups=["admins"]), Actor(id="mia", groups=["managers"])
    due, end, sent = moments
    actions = [
        Action(id="c", task_id="t", act=Act.SET_CLOCK, by=ada, text="why", due_at=due, expires_at=end, at=sent),
        Action(id="q", task_id="t", act=Act.ASK, by=mia, to=Actor(id="max"), text="why?", at=sent),
        Action(id="a", task_id="t", act=Act.ANSWER, by=Actor(id="max"), question="q", text="so", at=sent),
        Action(
            id="n",
            task_id="t",
            act=Act.NEW_RULES,
            by=ada,
            ruling=GateRuling.model_validate({"needed": True, "rule": "n", "groups": ["managers"], **then}),
            at=sent,
        ),
    ]
    now = NOW
    for action in actions:
        try:
            gate.check_action(action)
        except Refusal:
            continue
        gate.act(action, now)
        gate.next_timer()
        now += timedelta(days=400)
        gate.fire_timers(now)
    gate.ruling.later(timedelta(days=400))
    gate.patch(whole=True).model_dump_json()
    if gate.open:
        seen = gate.task.revision
        gate.check(decision := Decision(id="d", task_id="t", verdict=Verdict.APPROVE, by=mia, revision=seen, at=sent))
        gate.decide(decision, now)


@given(MOMENTS, st.sampled_from(["at", "amount", "duration('90000000h')", "'9999d'"]), st.integers(-(10**18), 10**18))
def test_a_clock_of_the_policy_gives_a_moment_within_ten_years_or_says_why_not(
    at: datetime, text: str, amount: int
) -> None:
    names = {"at": at if at.tzinfo else at.replace(tzinfo=UTC), "amount": amount}
    try:
        found = instant(text, names, NOW)
    except ExpressionError:
        return
    assert NOW <= found <= NOW + LONGEST


def test_attempts_without_end_have_a_pause_after_any_number() -> None:
    options = StepOptions(attempts=0, longest_pause=timedelta(seconds=10))
    failure = Failure(said="s", technical="t", kind="k")
    assert pause_after(options, failure, 5_000, timedelta(days=1)) == timedelta(seconds=10)


def test_a_case_input_with_impossible_moments_is_brought_within_bounds() -> None:
    case = CaseInput[dict[str, Any]].model_validate(
        {
            "case_id": "c",
            "process": "p",
            "reference": "r",
            "requester": "q",
            "policy_hash": "h",
            "input": {},
            "submitted_at": "0001-01-01T00:00:00+14:00",
            "start_at": "9999-12-31T23:59:59-12:00",
        }
    )
    assert (case.submitted_at, case.start_at) == (FIRST_MOMENT, LAST_MOMENT)
    assert Escalation.model_validate({"at": "9999-12-31T23:59:59-12:00"}).at == LAST_MOMENT
