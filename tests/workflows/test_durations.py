"""Lengths of time in words: one wording for pages, messages and logs."""

from datetime import timedelta

import pytest

from domain.durations import in_words, roughly


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (timedelta(), "0 s"),
        (timedelta(seconds=90), "1 min 30 s"),
        (timedelta(hours=1), "1 h"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=2, hours=3, seconds=4, microseconds=5), "2 days 3 h 4 s"),
        (timedelta(seconds=-1), "0 s"),
    ],
)
def test_a_length_is_said_with_all_its_units(length: timedelta, said: str) -> None:
    assert in_words(length) == said


def test_only_the_largest_units_are_said_where_that_is_asked_for() -> None:
    length = timedelta(days=2, hours=3, minutes=59)
    assert (in_words(length, largest=2), in_words(length, largest=1)) == ("2 days 3 h", "2 days")
    assert in_words(timedelta(hours=3, seconds=59), largest=2) == "3 h"


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (timedelta(seconds=59), "less than a minute"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=47, minutes=59), "47 h"),
        (timedelta(days=2), "2 days"),
        (timedelta(days=-3), "3 days"),
    ],
)
def test_a_rough_length_has_one_unit(length: timedelta, said: str) -> None:
    assert roughly(length) == said
