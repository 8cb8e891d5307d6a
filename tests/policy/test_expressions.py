"""What a CEL expression of the policy reads, and how it gets its values."""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel

from policy.clock import duration
from policy.expressions import ExpressionError, evaluate, expression


class Colour(StrEnum):
    RED = "red"


class Point(BaseModel):
    x: Decimal


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("amount >= limits.manager", {("amount",), ("limits", "manager")}),
        ("facts['score'] > 1 && has(facts.why)", {("facts", "score"), ("facts", "why")}),
        ("payee.startsWith('limits.x') // memo", {("payee",)}),
        ("facts.reasons.exists(reason, reason == payee)", {("facts", "reasons"), ("payee",)}),
        ("case.reference.size() > 3", {("case", "reference")}),
        ('facts[payee] == r\'\\d\' + """case.x"""', {("facts",), ("payee",)}),
        ("true", set()),
    ],
)
def test_an_expression_knows_what_it_reads(source: str, reads: set[tuple[str, ...]]) -> None:
    assert expression(source).reads == reads


@pytest.mark.parametrize(
    ("value", "condition"),
    [
        (Decimal("0.10"), "value == 0.1"),
        (Decimal("18000000.00"), "value == 18000000 && value < 18000000.01"),
        (Decimal("1E+3"), "value == 1000"),
        (date(2026, 1, 2), "value == timestamp('2026-01-02T00:00:00Z') && value.getDayOfMonth() == 1"),
        (Colour.RED, "value == 'red'"),
        (Point(x=Decimal("1.5")), "value.x == 1.5"),
        ({"list": (Decimal(1), None)}, "value.list[0] == 1 && value.list[1] == null"),
        (None, "value == null"),
        (True, "value"),
    ],
)
def test_values_are_what_people_expect(value: Any, condition: str) -> None:
    assert evaluate(expression(condition), {"value": value}) is True


@given(st.integers(min_value=-(10**15) + 1, max_value=10**15 - 1), st.integers(min_value=0, max_value=6))
def test_neighbouring_numbers_of_fifteen_digits_stay_apart_and_in_order(digits: int, places: int) -> None:
    number, step = Decimal(digits).scaleb(-places), Decimal(1).scaleb(-places)
    if abs(digits + 1) < 10**15:
        assert evaluate(expression("a < b && a != b"), {"a": number, "b": number + step}) is True


@pytest.mark.parametrize("value", [Decimal("1234567890123456"), Decimal("0.1234567890123456"), 10**15, Decimal("NaN")])
def test_a_number_that_cannot_be_compared_exactly_is_refused(value: Any) -> None:
    with pytest.raises(ExpressionError, match="exactly"):
        evaluate(expression("value > 1"), {"value": value})


def test_a_field_that_is_not_read_cannot_spoil_an_expression() -> None:
    assert evaluate(expression("a == 1"), {"a": 1, "b": object(), "c": 10**20}) is True


def test_errors_are_one_line() -> None:
    for source in ("1 +", "'x'.matches('(') == value", "value + 1.5"):
        with pytest.raises(ExpressionError) as wrong:
            evaluate(expression(source), {"value": 1})
        assert "\n" not in str(wrong.value)


def test_durations_are_written_with_one_unit() -> None:
    seconds = [length.total_seconds() if (length := duration(text)) else None for text in ("30s", "15m", "8h", "3d")]
    assert seconds == [30, 900, 28800, 259200]
    assert [duration(text) for text in ("", "1", "1w", "1h30m", "-1h", "1.5h", "h")] == [None] * 7
