"""Comparisons are found in conditions."""

from decimal import Decimal

import pytest

from policy.comparisons import Comparison, comparison, comparisons_of


@pytest.mark.parametrize(
    ("condition", "made"),
    [
        ("amount >= limits.manager", Comparison("amount", ">=", "limits.manager")),
        ("  facts.score<50 // risk", Comparison("facts.score", "<", Decimal(50))),
        ("amount > -499.99", Comparison("amount", ">", Decimal("-499.99"))),
        ("amount <= facts.most", Comparison("amount", "<=", "facts.most")),
        ("payee == 'Acme'", None),
        ("amount == 5", None),
        ("!(amount >= 5)", None),
        ("amount >= 5 && true", None),
        ("amount * 2.0 >= 5", None),
        ("amount >= 5u", None),
        ("amount >= -limits.manager", None),
        ("'amount >= 5' == payee", None),
        ("true", None),
    ],
)
def test_a_condition_that_is_one_comparison_is_read(condition: str, made: Comparison | None) -> None:
    assert comparison(condition) == made


@pytest.mark.parametrize(
    ("condition", "others"),
    [
        ("amount >= limits.manager ? 2 : 1", ["limits.manager"]),
        ("memo == null || (amount > 5 && amount <= 7.5)", [Decimal(5), Decimal("7.5")]),
        ("payee == 'amount' && facts.amount > 5", []),
        ("amount > facts.most", None),
        ("amount + 1.0 > 5", None),
        ("1.0 + amount > 5", None),
        ("!amount > 5", None),
        ("amount > 5 + 1", None),
        ("size(payee) > 5 && amount in [5]", None),
        ("amount > 1234567890.1234567", None),
        ("amount", None),
    ],
)
def test_the_comparisons_of_a_field_are_found_or_another_use(
    condition: str, others: list[str | Decimal] | None
) -> None:
    made = comparisons_of("amount", condition)
    assert (None if made is None else [each.other for each in made]) == others


def test_only_a_member_of_limits_is_a_limit() -> None:
    others = ("limits.manager", "facts.manager", Decimal(5), "amount")
    assert [Comparison("amount", ">", other).limit for other in others] == ["manager", None, None, None]
