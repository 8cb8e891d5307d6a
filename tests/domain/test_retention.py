"""Retention periods as text."""

from datetime import timedelta

import pytest

from domain.retention import check_processes, parse


@pytest.mark.parametrize(
    ("text", "days"),
    [
        (None, {}),
        ("", {}),
        (" , ", {}),
        ("payment=3650d", {"payment": 3650}),
        ("payment=3650d, approval=90d", {"payment": 3650, "approval": 90}),
        ("payment = 1 D,", {"payment": 1}),
    ],
)
def test_a_text_gives_days_by_process(text: str | None, days: dict[str, int]) -> None:
    assert parse(text) == {name: timedelta(days=each) for name, each in days.items()}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("payment", "'payment' must be the name of a process"),
        ("=90d", "must be the name of a process"),
        ("payment=", "must be a number of days"),
        ("payment=90", "'90' must be a number of days, such as 90d"),
        ("payment=12h", "'12h' must be a number of days"),
        ("payment=-1d", "must be a number of days"),
        ("payment=1.5d", "must be a number of days"),
        ("payment=0d", "a period has 1 to 36,500 days"),
        ("payment=99999d", "a period has 1 to 36,500 days"),
        ("payment=99999999999d", "must be a number of days"),
        ("payment=1d, payment=2d", "payment is there twice"),
    ],
)
def test_a_wrong_part_is_named(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)


def test_an_unknown_process_is_named_with_what_was_meant() -> None:
    check_processes(parse("payment=1d"), ["payment", "approval"])
    with pytest.raises(ValueError, match=r"no process 'paymnt': did you mean payment\?"):
        check_processes(parse("paymnt=1d"), ["payment", "approval"])
    with pytest.raises(ValueError, match="use one of payment, approval"):
        check_processes(parse("zzz=1d"), ["payment", "approval"])
