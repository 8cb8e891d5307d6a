"""Conditions of the policy in plain words, with the values that they read."""

from typing import Any

import pytest

from api.pages.parts.reasons import reason
from workflows.registry import PROCESSES

WORDS = PROCESSES["payment"].words
GBP = {"amount": "120.00", "currency": "GBP"}


@pytest.mark.parametrize(
    ("condition", "names", "holds", "told"),
    [
        ("amount >= limits.manager", {"amount": "120.00", "limits.manager": "500"}, False, "amount under 500.00 GBP"),
        ("amount >= limits.manager", {"amount": "900.00", "limits.manager": "500"}, True, "amount at least 500.00 GBP"),
        ("amount > 1000", {"amount": "120.00"}, False, "amount at most 1,000.00 GBP"),
        ("facts.score >= 50", {"facts.score": 30}, False, "score under 50"),
        ("facts.score < 50", {"facts.score": 30}, True, "score under 50"),
        ("facts.worst in ['high'] && !facts.accepted", {"facts.worst": "high", "facts.accepted": False}, True,
         "worst is high, accepted is no"),
        ("payee == 'Acme'", {"payee": "Acme"}, True, "payee is Acme"),
        ("amount >= limits.manager", {"amount": "120.00", "limits.manager": None}, False, ""),
        ("true", {}, True, ""),
        ("size(facts.all) > 0", {"facts.all": [1, 2]}, True, ""),
    ],
)  # fmt: skip
def test_a_condition_is_said_in_words(condition: str, names: dict[str, Any], holds: bool, told: str) -> None:
    assert reason(condition, names, holds, WORDS, GBP) == told
