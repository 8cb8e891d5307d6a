"""Clocks: durations and expressions as instants."""

from datetime import timedelta
from typing import Any

import pytest

from policy.clock import instant
from policy.expressions import ExpressionError
from tests.policy.examples import AT


@pytest.mark.parametrize(
    ("text", "value", "after"),
    [
        ("8h", None, timedelta(hours=8)),
        ("x", "15m", timedelta(minutes=15)),
        ("x", 90, timedelta(seconds=90)),
        ("x", 0.5, timedelta(seconds=0.5)),
        ("duration('1h30m')", None, timedelta(minutes=90)),
        ("x - duration('1h')", AT + timedelta(hours=3), timedelta(hours=2)),
        ("x", AT - timedelta(days=3), timedelta()),
        ("x", -5, timedelta()),
    ],
)
def test_a_clock_may_be_a_duration_seconds_or_a_moment(text: str, value: Any, after: timedelta) -> None:
    assert instant(text, {"x": value}, AT) == AT + after


@pytest.mark.parametrize(
    "value", [None, True, "soon", "", [], 10**12, float("nan"), float("inf"), timedelta(days=9999)]
)
def test_anything_else_is_no_time(value: Any) -> None:
    with pytest.raises(ExpressionError, match="must give a duration"):
        instant("x", {"x": value}, AT)
