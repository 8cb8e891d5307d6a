"""The screening rules, one by one, on histories written out."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from activities.payment.request import PaymentRequest
from activities.payment.screening import Screening, score
from domain.errors import Refused

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KNOWN, OTHER = "GB33BUKB20201555555555", "DE89370400440532013000"


class Past(NamedTuple):
    amount: Decimal
    at: datetime
    reference: str = "INV-0"
    currency: str = "GBP"
    payee_account: str | None = None
    captured: bool = True


def past(amount: str, days: float = 30, **more: Any) -> Past:
    return Past(Decimal(amount), NOW - timedelta(days=days), **more)


def screen(amount: str, history: list[Past], *, denied: tuple[str, ...] = (), **more: Any) -> Screening:
    request = {"payee": "Acme Paper Ltd", "amount": amount, "currency": "GBP", "account": "operating", **more}
    return score(PaymentRequest.model_validate(request), history, denied, NOW)


def points(screening: Screening) -> dict[str, int]:
    assert screening.score == sum(reason.points for reason in screening.reasons)
    assert all(reason.text.endswith(".") for reason in screening.reasons)
    return {reason.code: reason.points for reason in screening.reasons}


def test_an_ordinary_payment_to_a_known_payee_has_no_reason() -> None:
    assert screen("250", [past("200"), past("240")]) == Screening(score=0, reasons=[], earlier_payments=2)


@pytest.mark.parametrize(("amount", "expected"), [("1", 0), ("4999.99", 0), ("5000", 30), ("9000000", 30)])
def test_a_new_payee_is_a_note_and_from_5000_on_points(amount: str, expected: int) -> None:
    assert points(screen(amount, [])) == {"new_payee": expected}


@pytest.mark.parametrize(
    "name",
    ["Acme Paper Ltd", "  ACME  paper ltd", "\uff21cme Paper Ltd", "Acm\u00e9 Paper\u00a0Ltd", "\u0410cme Paper Ltd"],
)
def test_a_denied_payee_is_refused_however_the_name_is_written(name: str) -> None:
    with pytest.raises(Refused, match="must not be paid"):
        screen("1", [], denied=("Somebody", "acme paper LTD"), payee=name)
    screen("1", [], denied=("Acme",), payee=name)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([past("100", 1)], 50),
        ([past("100", 6.99), past("7", 2)], 50),
        ([past("100", 1), past("7", 2), past("8", 3)], 25),
        ([past("100", 1), past("7", 8), past("8", 9)], 50),
        ([past("100", 7)], None),
        ([past("100", 1, currency="EUR")], None),
        ([past("100.01", 1)], None),
        ([past("100", -0.001, captured=False)], 50),  # held by another case since this one was scheduled
    ],
)
def test_the_same_amount_within_a_week_counts_less_for_a_payee_who_is_paid_often(
    history: list[Past], expected: int | None
) -> None:
    assert points(screen("100", history)).get("repeated_amount") == expected


def test_a_repeated_amount_names_the_earlier_reference() -> None:
    (reason,) = screen("1100", [past("1100", 2, reference="INV-1041")]).reasons
    assert reason.text == "The same amount, 1,100.00 GBP, was sent to this payee within the last 7 days, for INV-1041."


@pytest.mark.parametrize(
    ("account", "history", "expected"),
    [
        (OTHER, [past("1", payee_account=KNOWN)], 60),
        (OTHER, [past("1", payee_account=KNOWN), past("1")], 60),
        (OTHER, [past("1", payee_account=KNOWN), past("1", payee_account=OTHER)], None),
        (KNOWN, [past("1", payee_account=KNOWN)], None),
        ("gb33 bukb 2020 1555 5555 55", [past("1", payee_account=KNOWN)], None),
        (None, [past("1", payee_account=KNOWN)], None),
        (KNOWN, [past("1")], None),
    ],
)
def test_changed_bank_details_count(account: str | None, history: list[Past], expected: int | None) -> None:
    screening = screen("100", history, payee_account=account)
    assert points(screening).get("changed_account") == expected
    assert KNOWN not in screening.model_dump_json() and OTHER not in screening.model_dump_json()


@pytest.mark.parametrize(
    ("amount", "history", "expected"),
    [
        ("1000.01", [past("100"), past("50"), past("50")], 50),
        ("1000", [past("100"), past("50"), past("50")], 30),
        ("300", [past("100"), past("50"), past("50")], None),
        ("1000.01", [past("100"), past("50")], None),
        ("1000.01", [past("100"), past("50"), past("50", captured=False)], None),
        ("1000.01", [past("100"), past("50"), past("50", currency="EUR")], None),
        ("1000.01", [past("100"), past("50"), past("50"), past("900", captured=False)], 50),
    ],
)
def test_an_amount_is_measured_against_the_largest_of_three_or_more_captured(
    amount: str, history: list[Past], expected: int | None
) -> None:
    assert points(screen(amount, history)).get("unusual_amount") == expected


@pytest.mark.parametrize(("earlier", "expected"), [(19, None), (20, 10)])
def test_more_than_20_payments_in_a_day_count(earlier: int, expected: int | None) -> None:
    history = [past(str(number + 1), 0.5) for number in range(earlier)] + [past("7", 1)] * 5
    assert points(screen("10.50", history)).get("velocity") == expected
