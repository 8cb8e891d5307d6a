"""What a policy says about one gate of one case."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.parse import parse
from policy.rules import rule
from tests.policy.examples import AT, INPUTS, Payment, policy, ruling
from workflows.models import Escalation
from workflows.registry import INPUTS as REGISTERED

FROM_LIMIT = 'when = "amount >= limits.manager"'
TWO = 'quorum = "amount >= limits.two_managers ? 2 : 1"'
SHIPPED = parse((Path(__file__).parents[2] / "policy.toml").read_text(encoding="utf-8"), inputs=REGISTERED)


def test_a_gate_without_a_condition_always_opens() -> None:
    made = ruling()
    assert (made.needed, made.rule, made.groups, made.quorum, made.problem) == (True, "always", ["managers"], 1, None)
    assert made.due_at is made.expires_at is None


def test_below_its_limit_a_payment_is_approved_by_rule_with_the_rule_and_what_it_read() -> None:
    made = ruling(FROM_LIMIT, amount="499.99")
    assert not made.needed
    assert made.rule == "amount >= limits.manager"
    assert made.names == {"amount": "499.99", "limits.manager": "500"}


def test_the_limit_itself_opens_the_gate() -> None:
    assert ruling(FROM_LIMIT, amount="500.00").needed
    assert ruling(FROM_LIMIT, amount="500.00", currency="GBP").problem is None


@given(
    st.decimals(min_value=Decimal("0.01"), max_value=Decimal("18000000"), places=2),
    st.decimals(min_value=Decimal("0.01"), max_value=Decimal("18000000"), places=2),
    st.sampled_from(["{}", '"{}"']),
)
def test_amounts_compare_with_limits_exactly(amount: Decimal, limit: Decimal, spelled: str) -> None:
    text = f"""
[payment.limits.GBP]
manager = {spelled.format(limit)}
[payment.gates.m]
groups = ["managers"]
when = "amount >= limits.manager && (amount == limits.manager || amount >= {limit})"
"""
    payment = Payment(payee="x", amount=amount, currency="GBP")
    made = rule(parse(text, inputs=INPUTS), "payment", "m", input=payment, facts={}, case={}, at=AT)
    assert (made.needed, made.problem) == (amount >= limit, None)


def test_an_amount_too_long_to_compare_exactly_opens_the_gate() -> None:
    made = ruling('when = "amount < 5"', amount="12345678901234.56")
    assert made.needed
    assert made.problem is not None and "more than 15 digits" in made.problem


@pytest.mark.parametrize(
    "condition",
    ["facts.score >= 50", "facts.list[3] == 1", "memo.startsWith('x')", "1 / 0 == 1", "timestamp(payee) == due_date"],
)
def test_an_error_while_evaluating_opens_the_gate_and_shows_the_error(condition: str) -> None:
    made = ruling(f'when = "{condition}"', facts={"list": []})
    assert made.needed
    assert made.problem is not None
    assert made.problem.endswith("so the gate opens")
    assert condition in made.problem


def test_a_condition_that_turns_out_not_to_be_true_or_false_opens_the_gate() -> None:
    assert "must be true or false, it is 7" in (ruling('when = "facts.score"', facts={"score": 7}).problem or "")


@pytest.mark.parametrize(("count", "said"), [(0, "at least 1"), (1.5, "whole"), ("2", "whole"), (True, "whole")])
def test_a_quorum_that_cannot_be_told_is_two(count: object, said: str) -> None:
    made = ruling('quorum = "facts.count"', facts={"count": count})
    assert made.quorum == 2
    assert said in (made.problem or "") and "so 2 approvals are needed" in (made.problem or "")


def test_the_quorum_follows_the_amount() -> None:
    assert [ruling(TWO, amount=amount).quorum for amount in ("9999.99", "10000.00")] == [1, 2]
    assert ruling('quorum = "limits.manager"').quorum == 500


def test_a_currency_without_limits_takes_the_strictest_path() -> None:
    made = ruling('when = "amount < limits.manager"', TWO, amount="0.01", currency="JPY")
    assert (made.needed, made.quorum) == (True, 2)
    assert made.problem == (
        "the policy has no limits for JPY, so the gate opens; "
        "the policy has no limits for JPY, so at least 2 approvals are needed"
    )
    assert made.names["limits.manager"] is None
    assert ruling('quorum = "amount >= limits.manager ? 3 : 1"', amount="0.01", currency="JPY").quorum == 3


def test_a_currency_without_limits_changes_nothing_where_limits_are_not_read() -> None:
    made = ruling("when = \"payee == 'nobody'\"", currency="JPY")
    assert (made.needed, made.problem) == (False, None)


def test_an_optional_field_may_be_compared_with_null() -> None:
    condition = "when = \"memo != null && memo.startsWith('urgent')\""
    assert not ruling(condition).needed
    assert ruling(condition).problem is None
    assert ruling(condition, memo="urgent: pay").needed


def test_a_fact_that_is_not_there_may_be_asked_for() -> None:
    condition = 'when = "has(facts.score) && facts.score >= 50"'
    assert [ruling(condition, facts=facts).needed for facts in ({}, {"score": 49}, {"score": 50})] == [
        False,
        False,
        True,
    ]


def test_conditions_see_the_case() -> None:
    condition = "when = \"case.batch_id == null && case.priority == 1 && case.requester == 'requester-1'\""
    assert ruling(condition, case={"priority": 1}).needed
    assert not ruling(condition, case={"priority": 1, "batch_id": "b"}).needed
    assert ruling(condition).names == {"case.batch_id": None, "case.priority": 3, "case.requester": "requester-1"}


def test_the_clock_counts_from_the_opening() -> None:
    made = ruling(
        'due = "1d"',
        'remind = ["12h", "4h"]',
        'escalate = [{ after = "2d", users = ["anna"] }, { after = "90m", to = ["directors"] }]',
        'expires = "14d"',
        'on_expiry = "escalate"',
    )
    assert made.due_at == AT + timedelta(days=1)
    assert made.reminders == [AT + timedelta(hours=4), AT + timedelta(hours=12)]
    assert made.escalations == [
        Escalation(at=AT + timedelta(minutes=90), groups=["directors"]),
        Escalation(at=AT + timedelta(days=2), users=["anna"]),
    ]
    assert (made.expires_at, made.on_expiry) == (AT + timedelta(days=14), "escalate")


def test_a_gate_may_end_not_after_the_due_date_and_is_due_no_later_than_it_ends() -> None:
    made = ruling('due = "3d"', 'expires = "due_date"', due_date=date(2026, 11, 24))
    assert made.due_at == made.expires_at == datetime(2026, 11, 24, tzinfo=UTC)
    assert ruling('expires = "due_date"', due_date=date(2026, 1, 1)).expires_at == AT


def test_a_clock_that_cannot_be_told_does_not_run() -> None:
    made = ruling('expires = "due_date"', 'remind = ["facts.x"]', 'escalate = [{ after = "facts.x", to = ["a"] }]')
    assert made.needed
    assert made.expires_at is None and made.reminders == [] and made.escalations == []
    assert "so it does not expire" in (made.problem or "")
    assert "so that reminder is left out" in (made.problem or "")


def test_separation_of_duties_and_named_people_are_passed_on() -> None:
    made = ruling('users = ["anna"]', "separation_of_duties = false", "quorum = 2")
    assert (made.users, made.separation_of_duties, made.quorum) == (["anna"], False, 2)


@pytest.mark.parametrize(
    ("amount", "gates"),
    [("499.99", []), ("500.00", ["manager-approval"]), ("50000.00", ["manager-approval", "director-approval"])],
)
def test_the_shipped_policy_asks_by_the_amount(amount: str, gates: list[str]) -> None:
    payment = Payment(payee="x", amount=Decimal(amount), currency="EUR")
    opened = [
        gate
        for gate in SHIPPED.processes["payment"].gates
        if rule(SHIPPED, "payment", gate, input=payment, facts={"score": 49}, case={}, at=AT).needed
    ]
    assert opened == gates


def test_the_shipped_policy_lets_a_newcomer_watch_a_gate_expire() -> None:
    ends = []
    for memo in ("Demo: expires soon", "Demo: expires in a minute", "Paper", None):
        payment = Payment(payee="x", amount=Decimal(600), currency="GBP", memo=memo)
        made = rule(SHIPPED, "payment", "manager-approval", input=payment, facts={}, case={}, at=AT)
        assert made.problem is None
        ends.append(made.expires_at)
    fortnight = AT + timedelta(days=14)
    assert ends == [AT + timedelta(minutes=2), AT + timedelta(minutes=1), fortnight, fortnight]


@given(st.text(max_size=40))
def test_no_text_in_a_case_makes_a_ruling_fail(text: str) -> None:
    lines = ("when = \"payee.matches('a') || memo < payee\"", 'due = "memo"', 'quorum = "int(memo)"')
    payment = Payment(payee=text, amount=Decimal(1), currency=text, memo=text)
    assert rule(policy(*lines), "payment", "manager-approval", input=payment, facts={}, case={}, at=AT).quorum >= 0
