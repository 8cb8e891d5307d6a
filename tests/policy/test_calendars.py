"""Working time: exact across holidays, weekends and the days on which clocks change."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policy.calendars import Calendar
from policy.model import PolicyError
from policy.parse import parse
from tests.policy.examples import INPUTS

LONDON, NEW_YORK = ZoneInfo("Europe/London"), ZoneInfo("America/New_York")
OFFICE = Calendar.model_validate(
    {"hours": "09:00-17:30", "time_zone": "Europe/London", "holidays": [date(2026, 12, 25), date(2026, 12, 28)]}
)
NIGHTS = Calendar.model_validate(
    {"days": ["sat", "sun"], "hours": ["00:00-04:00", "20:00-24:00"], "time_zone": "Europe/London"}
)
BROADWAY = Calendar.model_validate({"days": ["sun"], "hours": "00:00-06:00", "time_zone": "America/New_York"})


def at(text: str, zone: ZoneInfo = LONDON) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("start", "days", "hours", "end"),
    [
        ("2026-11-02T10:00", 0, 2, "2026-11-02T12:00"),
        ("2026-11-02T16:30", 0, 2, "2026-11-03T10:00"),
        ("2026-11-02T17:30", 0, 1, "2026-11-03T10:00"),
        ("2026-11-06T17:00", 0, 8.5, "2026-11-09T17:00"),
        ("2026-11-06T10:00", 1, 0, "2026-11-09T10:00"),
        ("2026-11-07T12:00", 1, 0, "2026-11-10T09:00"),
        ("2026-11-02T20:00", 1, 0, "2026-11-04T09:00"),
        ("2026-12-24T15:00", 1, 0, "2026-12-29T15:00"),
        ("2026-12-24T17:00", 0, 1, "2026-12-29T09:30"),
        ("2027-03-26T16:30", 0, 2, "2027-03-29T10:00"),
        ("2027-03-26T10:00", 1, 0, "2027-03-29T10:00"),
        ("2026-10-23T10:00", 3, 0, "2026-10-28T10:00"),
    ],
)
def test_time_in_the_office(start: str, days: int, hours: float, end: str) -> None:
    assert OFFICE.after(at(start), timedelta(hours=hours), days=days) == at(end)


def test_a_span_over_the_missing_hour_is_an_hour_shorter() -> None:
    # 29 March 2026, 01:00 does not exist in London: 00:00 to 04:00 are three hours.
    assert NIGHTS.after(at("2026-03-29T00:00"), timedelta(hours=3)) == at("2026-03-29T04:00")
    assert NIGHTS.after(at("2026-03-29T00:00"), timedelta(hours=3, minutes=1)) == at("2026-03-29T20:01")


def test_a_span_over_the_hour_that_comes_twice_is_an_hour_longer() -> None:
    assert NIGHTS.after(at("2026-10-25T00:00"), timedelta(hours=5)) == at("2026-10-25T04:00")
    assert BROADWAY.after(at("2026-11-01T00:00", NEW_YORK), timedelta(hours=7)) == at("2026-11-01T06:00", NEW_YORK)
    assert BROADWAY.after(at("2026-03-08T00:00", NEW_YORK), timedelta(hours=5)) == at("2026-03-08T06:00", NEW_YORK)


def test_a_time_of_day_that_the_next_working_day_does_not_have_becomes_the_moment_after() -> None:
    # A week later 02:30 is skipped in New York: it becomes 03:30 of summer time.
    assert BROADWAY.after(at("2026-03-01T02:30", NEW_YORK), timedelta(), days=1) == at("2026-03-08T03:30", NEW_YORK)


@given(
    start=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),
    first=st.integers(0, 60 * 40),
    second=st.integers(1, 60 * 40),
    calendar=st.sampled_from([OFFICE, NIGHTS, BROADWAY]),
)
def test_time_adds_up_and_ends_within_working_hours(
    start: datetime, first: int, second: int, calendar: Calendar
) -> None:
    begins = start.replace(tzinfo=UTC)
    middle = calendar.after(begins, timedelta(minutes=first))
    assert middle >= begins
    end = calendar.after(begins, timedelta(minutes=first + second))
    assert end == calendar.after(middle, timedelta(minutes=second)), "in two parts or at once"
    assert end - begins >= timedelta(minutes=first + second), "working time never passes faster than time"
    before = (end - timedelta(seconds=1)).astimezone(calendar.time_zone)
    assert before.strftime("%a").lower() in calendar.days and before.date() not in calendar.holidays


@pytest.mark.parametrize(
    ("wrong", "key", "says"),
    [
        ('hours = "9-17"', "hours", "no span of hours"),
        ('hours = "17:00-09:00"', "hours", "must end after it begins"),
        ('hours = ["09:00-12:00", "11:00-13:00"]', "hours", "must not overlap"),
        ('hours = "09:00-17:00"\ndays = ["monday"]', "days", "must be one of"),
        ('hours = "09:00-17:00"\ndays = []', "", "at least one day"),
        ('hours = "09:00-17:00"\nzone = "x"', "zone", "unknown key; known are days, hours, time_zone, holidays"),
    ],
)
def test_a_mistake_in_a_calendar_is_named(wrong: str, key: str, says: str) -> None:
    text = f'[calendars.office]\ntime_zone = "Europe/London"\n{wrong}\n'
    with pytest.raises(PolicyError) as found:
        parse(text, inputs=INPUTS)
    said = str(found.value)
    assert f"calendars.office{'.' * bool(key)}{key}: " in said and says in said, said


def test_a_zone_that_does_not_exist_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="no time zone"):
        Calendar.model_validate({"hours": "09:00-17:00", "time_zone": "Europe/Atlantis"})


def test_a_calendar_where_nobody_works_ends_in_an_error_and_not_in_a_loop() -> None:
    every = [date(2026, 1, 1) + timedelta(days=n) for n in range(8000)]
    never = Calendar.model_validate({"hours": "09:00-17:00", "time_zone": "UTC", "holidays": every})
    with pytest.raises(ValueError, match="no working time"):
        never.after(at("2026-11-02T10:00"), timedelta(hours=1))
