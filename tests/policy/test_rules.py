"""The decision of a policy about one gate of one case."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from domain.confirmation import Confirm
from domain.ruling import Escalation
from domain.status import Verdict
from policy.parse import parse
from policy.rules import rule
from tests.policy.examples import AT, INPUTS, Payment, policy, ruling
from workflows.registry import INPUTS as REGISTERED

FROM_LIMIT = 'when = "amount >= limits.manager"'
TWO = 'quorum = "amount >= limits.two_managers ? 2 : 1"'
SHIPPED = parse((Path(__file__).parents[2] / "config" / "policy.toml").read_text(encoding="utf-8"), inputs=REGISTERED)


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
    assert "so this reminder is not sent" in (made.problem or "")


def test_separation_of_duties_and_named_people_are_passed_on() -> None:
    made = ruling('users = ["anna"]', "separation_of_duties = false", "quorum = 2")
    assert (made.users, made.separation_of_duties, made.quorum) == (["anna"], False, 2)


def test_all_that_a_gate_says_reaches_the_ruling() -> None:
    plain = ruling()
    assert (plain.veto, plain.everyone, plain.snapshot, plain.editable, plain.pause_for_questions) == (
        (True, False, False, [], False)
    )
    assert (plain.comment_needed, plain.max_rounds) == ([Verdict.REQUEST_CHANGES], 5)
    assert plain.changes_for == timedelta(days=7)
    assert plain.revision_required and not ruling('revision = "optional"').revision_required
    assert (plain.confirm, ruling('confirm = "passkey"').confirm) == (Confirm.NONE, Confirm.PASSKEY)
    made = ruling(
        'users = ["manager_of(requester)"]',
        'quorum = "everyone"',
        "veto = false",
        'membership = "snapshot"',
        'comment = ["reject", "abstain"]',
        'edit = ["memo"]',
        "pause_for_questions = true",
        "rounds = 2",
        'changes = "36h"',
        'escalate = [{ after = "1d", to = ["directors"], replace = true, priority = 1 }]',
    )
    assert (made.users, made.everyone, made.quorum, made.veto) == (["manager_of(requester)"], True, 1, False)
    assert (made.snapshot, made.editable, made.pause_for_questions, made.max_rounds) == (True, ["memo"], True, 2)
    assert made.comment_needed == [Verdict.REJECT, Verdict.ABSTAIN]
    assert made.changes_for == timedelta(hours=36)
    assert made.escalations == [Escalation(at=AT + timedelta(days=1), groups=["directors"], replace=True, priority=1)]
    assert (made.members or None, made.problem) == (None, None)
    assert ruling("comment = []").comment_needed == []


def test_an_expression_may_name_who_decides_and_what_it_cannot_say_is_told_to_those_who_do() -> None:
    made = ruling("candidates = \"amount > 5.0 ? [payee, 'directors', payee] : []\"")
    assert (made.groups, made.named, made.problem) == (["managers"], ["Northwind Paper Ltd", "directors"], None)
    wrong = ruling('candidates = "facts.owners"', facts={"owners": "anna"})
    assert wrong.named == [] and "must be a list of names, it is 'anna', so nobody is added by it" in str(wrong.problem)
    unknown = ruling('candidates = "facts.owners"', facts={})
    assert unknown.named == [] and "so nobody is added by it" in str(unknown.problem)


REJECT = "auto_reject = \"payee == 'Northwind Paper Ltd'\""
APPROVE = 'auto_approve = "facts.score < 10"'


def test_a_rule_that_rejects_comes_before_one_that_approves() -> None:
    made = ruling(REJECT, APPROVE, facts={"score": 1})
    assert (made.needed, made.decided, made.problem) == (False, "reject", None)
    assert made.rule == "payee == 'Northwind Paper Ltd'"
    assert made.names == {"payee": "Northwind Paper Ltd"}


def test_a_rule_approves_and_says_by_which_values() -> None:
    made = ruling(FROM_LIMIT, APPROVE, facts={"score": 9})
    assert (made.needed, made.decided, made.rule) == (False, "approve", "facts.score < 10")
    assert made.names == {"facts.score": 9}


def test_a_gate_that_is_not_needed_is_not_judged_by_rules() -> None:
    made = ruling(FROM_LIMIT, REJECT, amount="1.00")
    assert (made.needed, made.decided, made.rule) == (False, None, "amount >= limits.manager")


def test_people_decide_where_no_rule_does_and_the_values_are_recorded() -> None:
    made = ruling("auto_reject = \"payee == 'x'\"", APPROVE, facts={"score": 10})
    assert (made.needed, made.decided, made.rule, made.problem) == (True, None, "always", None)
    assert made.names == {"facts.score": 10, "payee": "Northwind Paper Ltd"}


@pytest.mark.parametrize("key", ["auto_approve", "auto_reject"])
@pytest.mark.parametrize("condition", ["facts.score < 10", "memo.startsWith('x')", "facts.text"])
def test_a_rule_that_cannot_be_told_decides_nothing(key: str, condition: str) -> None:
    made = ruling(f'{key} = "{condition}"', facts={"text": "x"})
    assert (made.needed, made.decided) == (True, None)
    assert made.problem is not None and made.problem.endswith("so people decide")


@pytest.mark.parametrize("key", ["auto_approve", "auto_reject"])
def test_a_rule_that_reads_limits_does_not_decide_for_a_currency_without_them(key: str) -> None:
    rule = f'{key} = "amount < limits.manager || amount >= limits.manager"'
    assert ruling(rule).decided == key.removeprefix("auto_")
    made = ruling(rule, currency="JPY")
    assert (made.needed, made.decided) == (True, None)
    assert made.problem == "the policy has no limits for JPY, so people decide"


@pytest.mark.parametrize(
    ("other", "case"),
    [('when = "facts.score >= 50"', {}), (FROM_LIMIT, {"currency": "JPY"}), ('auto_reject = "facts.bad"', {})],
)
def test_no_rule_approves_what_another_one_could_not_judge(other: str, case: dict[str, Any]) -> None:
    made = ruling(other, 'auto_approve = "true"', **case)
    assert (made.needed, made.decided) == (True, None)
    assert made.problem is not None


def test_a_rule_rejects_also_where_it_is_not_known_whether_the_gate_opens() -> None:
    made = ruling('when = "facts.score >= 50"', REJECT)
    assert made.decided == "reject"
    assert "so the gate opens" in (made.problem or "")


@pytest.mark.parametrize("changes", ["facts.days", "due_date", "facts.past"])
def test_time_for_changes_that_cannot_be_told_is_a_week(changes: str) -> None:
    made = ruling(f'changes = "{changes}"', facts={"past": -5})
    assert made.changes_for == timedelta(days=7)
    assert "so the requester has 7 days for changes" in (made.problem or "")


def test_durations_count_in_the_calendar_of_the_gate_and_moments_do_not() -> None:
    text = """
[calendars.office]
hours = "09:00-17:30"
time_zone = "Europe/London"
[payment.gates.m]
groups = ["managers"]
calendar = "office"
due = "8h"
remind = ["1h", "amount > 5 ? '1d' : '2d'"]
escalate = [{ after = "2d", to = ["directors"] }]
expires = "due_date"
changes = "1d"
"""
    # Opened on a Sunday, the work begins on Monday.
    payment = Payment(payee="x", amount=Decimal(7), currency="GBP", due_date=date(2026, 11, 28))
    made = rule(parse(text, inputs=INPUTS), "payment", "m", input=payment, facts={}, case={}, at=AT)
    monday = datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert made.problem is None
    assert made.due_at == monday + timedelta(hours=8)
    assert made.reminders == [monday + timedelta(hours=1), monday + timedelta(days=1)]
    assert made.escalations[0].at == monday + timedelta(days=2)
    assert made.expires_at == datetime(2026, 11, 28, tzinfo=UTC)
    assert AT + made.changes_for == monday + timedelta(days=1)


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


LARGE = "confirm = \"amount >= limits.two_managers ? 'password' : 'none'\""


@pytest.mark.parametrize(
    ("amount", "currency", "confirm"),
    [
        ("9999.99", "GBP", Confirm.NONE),
        ("10000.00", "GBP", Confirm.PASSWORD),
        ("1.00", "XXX", Confirm.PASSWORD),
        ("12345678901234.56", "GBP", Confirm.PASSWORD),
    ],
    ids=["below the limit", "at the limit", "without limits", "too long to compare"],
)
def test_a_condition_says_how_decisions_are_confirmed(amount: str, currency: str, confirm: Confirm) -> None:
    made = ruling(LARGE, amount=amount, currency=currency)
    assert made.confirm is confirm
    assert bool(made.problem) == (currency == "XXX" or len(amount) > 10)


@pytest.mark.parametrize(
    ("line", "confirm"),
    [
        ('confirm = "facts.way"', Confirm.PASSKEY),
        ("confirm = \"facts.score > 5 ? 'passkey' : 'password'\"", Confirm.PASSKEY),
        ("confirm = \"facts.score > 5 ? 'password' : 'none'\"", Confirm.PASSWORD),
    ],
)
def test_without_an_answer_decisions_are_confirmed_in_the_strictest_way_it_names(line: str, confirm: Confirm) -> None:
    made = ruling(line, facts={"way": "by shouting", "score": "many"})
    assert made.confirm is confirm
    assert f"so each decision is confirmed with the {confirm}" in str(made.problem)
