"""Working time, exact across weekends, holidays and the changes of clocks."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, reject, settings, strategies as st
from pydantic import ValidationError

from policy.calendars import Calendar, CalendarError
from policy.clock import instant
from policy.expressions import ExpressionError


def calendar(hours: str | list[str] = "09:00-17:30", time_zone: str = "Europe/London", **more: Any) -> Calendar:
    return Calendar.model_validate({"hours": hours, "time_zone": time_zone} | more)


EVERY_DAY = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
OFFICE = calendar(holidays=[date(2026, 12, 25), date(2026, 12, 28)])
NEW_YORK = calendar("09:00-17:00", "America/New_York")
LUNCH = calendar(["13:00-17:00", "09:00-12:00"])
NIGHT = calendar("22:00-06:00")
ALWAYS = calendar("00:00-24:00", days=EVERY_DAY)
CLOCKS_GO_FORWARD = calendar("00:30-04:00", days=EVERY_DAY)


def local(text: str, of: Calendar) -> datetime:
    """A wall time of the calendar; of one that is shown twice the first."""
    return datetime.fromisoformat(text).replace(tzinfo=of.zone)


@pytest.mark.parametrize(
    ("of", "at", "clock", "ends"),
    [
        # Within a day, to its last moment, and over the night.
        (OFFICE, "2026-11-24T09:00", "8h", "2026-11-24T17:00"),
        (OFFICE, "2026-11-24T09:00", "510m", "2026-11-24T17:30"),
        (OFFICE, "2026-11-24T09:00", "511m", "2026-11-25T09:01"),
        (OFFICE, "2026-11-24T16:00", "8h", "2026-11-25T15:30"),
        (OFFICE, "2026-11-24T16:00", "1d", "2026-11-25T16:00"),
        (OFFICE, "2026-11-24T17:29:59", "2s", "2026-11-25T09:00:01"),
        # What opens outside the hours begins at the next start of work.
        (OFFICE, "2026-11-24T17:30", "1h", "2026-11-25T10:00"),
        (OFFICE, "2026-11-24T06:00", "1h", "2026-11-24T10:00"),
        (OFFICE, "2026-11-24T06:00", "1d", "2026-11-25T09:00"),
        (OFFICE, "2026-11-24T20:00", "1d", "2026-11-26T09:00"),
        (OFFICE, "2026-11-28T12:00", "30m", "2026-11-30T09:30"),
        (OFFICE, "2026-11-28T12:00", "1d", "2026-12-01T09:00"),
        # Over a weekend, and over Christmas, which is a long one.
        (OFFICE, "2026-11-27T11:00", "1d", "2026-11-30T11:00"),
        (OFFICE, "2026-11-27T11:00", "5d", "2026-12-04T11:00"),
        (OFFICE, "2026-11-27T17:00", "1h", "2026-11-30T09:30"),
        (OFFICE, "2026-12-24T15:00", "1d", "2026-12-29T15:00"),
        (OFFICE, "2026-12-24T17:00", "1h", "2026-12-29T09:30"),
        (OFFICE, "2026-12-25T10:00", "4h", "2026-12-29T13:00"),
        # A break at noon.
        (LUNCH, "2026-11-24T11:30", "1h", "2026-11-24T13:30"),
        (LUNCH, "2026-11-24T12:15", "1d", "2026-11-25T13:00"),
        (LUNCH, "2026-11-24T09:00", "7h", "2026-11-24T17:00"),
        # A night belongs to the day on which it begins: there is one from Friday to Saturday, and none on Sunday.
        (NIGHT, "2026-11-24T23:00", "8h", "2026-11-25T23:00"),
        (NIGHT, "2026-11-25T02:00", "1d", "2026-11-26T02:00"),
        (NIGHT, "2026-11-28T02:00", "4h", "2026-11-28T06:00"),
        (NIGHT, "2026-11-28T02:00", "5h", "2026-11-30T23:00"),
        (NIGHT, "2026-11-28T02:00", "1d", "2026-12-01T02:00"),
        (NIGHT, "2026-11-30T02:00", "1h", "2026-11-30T23:00"),
        # London's clocks change on Sundays: a weekend in between has the same hours on both sides.
        (OFFICE, "2026-03-27T16:30", "2h", "2026-03-30T10:00"),
        (OFFICE, "2026-03-27T16:30", "1d", "2026-03-30T16:30"),
        (OFFICE, "2026-10-23T16:30", "2h", "2026-10-26T10:00"),
        (NEW_YORK, "2026-03-06T16:30", "1h", "2026-03-09T09:30"),
        (NEW_YORK, "2026-10-30T16:30", "1d", "2026-11-02T16:30"),
        # Round the clock: hours are real ones, and a day is the same time of day.
        (ALWAYS, "2026-03-28T12:00", "24h", "2026-03-29T13:00"),
        (ALWAYS, "2026-03-28T12:00", "1d", "2026-03-29T12:00"),
        (ALWAYS, "2026-10-24T12:00", "24h", "2026-10-25T11:00"),
        (ALWAYS, "2026-10-24T12:00", "1d", "2026-10-25T12:00"),
        (calendar("00:00-24:00", "America/New_York", days=EVERY_DAY), "2026-03-07T12:00", "24h", "2026-03-08T13:00"),
        (calendar("00:00-24:00", "America/New_York", days=EVERY_DAY), "2026-10-31T12:00", "24h", "2026-11-01T11:00"),
        # A span loses the hour that is skipped (01:00 to 02:00 in London, 02:00 to 03:00 in New York)...
        (CLOCKS_GO_FORWARD, "2026-03-29T00:30", "1h", "2026-03-29T02:30"),
        (CLOCKS_GO_FORWARD, "2026-03-29T00:30", "3h", "2026-03-30T01:00"),
        (calendar("01:00-05:00", "America/New_York", days=EVERY_DAY), "2026-03-08T01:00", "4h", "2026-03-09T02:00"),
        # ... also where it begins or ends in it, and there is none where it lies in it.
        (calendar("00:30-01:30", days=EVERY_DAY), "2026-03-29T00:30", "40m", "2026-03-30T00:40"),
        (calendar("01:30-03:00", days=EVERY_DAY), "2026-03-29T00:00", "30m", "2026-03-29T02:30"),
        (calendar("01:10-01:50", days=EVERY_DAY), "2026-03-29T00:00", "10m", "2026-03-30T01:20"),
        (calendar("01:10-01:50", days=EVERY_DAY), "2026-03-28T01:20", "1d", "2026-03-30T01:10"),
        (ALWAYS, "2026-03-28T01:20", "1d", "2026-03-29T02:00"),
        # The hour that comes twice is worked twice.
        (calendar("00:00-03:00", days=EVERY_DAY), "2026-10-25T00:00", "4h", "2026-10-25T03:00"),
        (calendar("00:00-03:00", "America/New_York", days=EVERY_DAY), "2026-11-01T00:00", "4h", "2026-11-01T03:00"),
        (calendar("00:30-01:30", days=EVERY_DAY), "2026-10-25T00:30", "60m", "2026-10-25T01:30"),
    ],
)
def test_a_duration_counts_in_working_time(of: Calendar, at: str, clock: str, ends: str) -> None:
    found = instant(clock, {}, local(at, of).astimezone(UTC), of)
    assert found.astimezone(of.zone).isoformat() == local(ends, of).isoformat()


def test_a_moment_that_an_expression_gives_is_a_moment() -> None:
    at = datetime(2026, 11, 27, 17, tzinfo=UTC)
    names = {"due_date": date(2026, 11, 29), "amount": 7}
    assert instant("due_date", names, at, OFFICE) == datetime(2026, 11, 29, tzinfo=UTC)
    assert instant("duration('1h')", names, at, OFFICE) == at + timedelta(hours=1)
    assert instant("3600", names, at, OFFICE) == at + timedelta(hours=1)
    assert instant("amount > 5 ? '1h' : '2h'", names, at, OFFICE) == datetime(2026, 11, 30, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("clock", ["2700d", "20000h"])
def test_what_takes_more_than_ten_years_is_an_error(clock: str) -> None:
    with pytest.raises(ExpressionError, match="takes more than ten years in this calendar"):
        instant(clock, {}, datetime(2026, 11, 27, tzinfo=UTC), calendar("09:00-10:00"))


def test_a_clock_that_ends_on_a_day_which_was_never_there_ends_at_the_next_start_of_work() -> None:
    # Samoa went from 29 to 31 December 2011.
    samoa = calendar(time_zone="Pacific/Apia")
    assert samoa.after_days(local("2011-12-29T12:00", samoa), 1) == local("2012-01-02T09:00", samoa)
    assert samoa.after_time(local("2011-12-29T12:00", samoa), timedelta(hours=6)) == local("2012-01-02T09:30", samoa)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"hours": "9-5"}, "'9-5' is not a span of hours: write start and end such as 09:00-17:30"),
        ({"hours": "09:00-09:00"}, "a whole day is 00:00-24:00"),
        ({"hours": "09:60-17:00"}, "not a span"),
        ({"hours": "09:00-24:30"}, "not a span"),
        ({"hours": "24:00-08:00"}, "not a span"),
        ({"hours": []}, "at least 1"),
        ({"hours": ["09:00-12:00", "11:59-17:00"]}, "these spans overlap"),
        ({"hours": ["22:00-06:00", "05:00-08:00"]}, "these spans overlap"),
        ({"days": []}, "at least 1"),
        ({"days": ["monday"]}, "'mon', 'tue'"),
        ({"time_zone": "Europe/Londn"}, "unknown time zone 'Europe/Londn': enter a name such as Europe/London"),
        ({"time_zone": "Europe"}, "unknown time zone"),
        ({"time_zone": "../etc/passwd"}, "unknown time zone"),
        ({"time_zone": ""}, "unknown time zone"),
        ({"holidays": ["2026-12-25"]}, "must be a date without quotes, such as 2026-12-25"),
        ({"holidays": [datetime(2026, 12, 25)]}, "must be a date without quotes"),
        ({"holidays": [date(9999, 12, 31)]}, "between 1970 and 2200"),
        (
            {"days": ["mon"], "holidays": [date(2026, 11, 30) + timedelta(days=7 * n) for n in range(120)]},
            "has no working time in the two years from 2026-11-30: remove some of the holidays",
        ),
    ],
)
def test_a_calendar_that_cannot_be_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Calendar.model_validate({"hours": "09:00-17:30", "time_zone": "Europe/London"} | wrong)
    assert says in str(refused.value)


# ------------------------------------------------------------------------------------------------------- any calendar

MINUTES = st.integers(min_value=0, max_value=1439)
ZONES = st.sampled_from(["Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"])


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    """One or two spans, which may lie over midnight; some days; holidays in the weeks that the tests look at."""
    bounds = sorted(draw(st.lists(MINUTES, min_size=2, max_size=4, unique=True)))
    bounds = bounds[: len(bounds) // 2 * 2]
    if draw(st.booleans()):
        bounds = [*bounds[1:], bounds[0]]
    clock = [f"{minute // 60:02}:{minute % 60:02}" for minute in bounds]
    return calendar(
        [f"{opens}-{closes}" for opens, closes in zip(clock[::2], clock[1::2], strict=True)],
        draw(ZONES),
        days=draw(st.lists(st.sampled_from(EVERY_DAY), min_size=1, unique=True)),
        holidays=draw(st.lists(st.dates(date(2026, 3, 1), date(2026, 12, 1)), max_size=5)),
    )


MOMENTS = st.datetimes(datetime(2026, 3, 1), datetime(2026, 12, 1), timezones=st.just(UTC))
LENGTHS = st.integers(min_value=1, max_value=3 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes))


def worked(of: Calendar, start: datetime, end: datetime) -> timedelta:
    """Working time between two moments, counted minute by minute on the wall clock: slow, and in another way."""
    minutes, at = 0, start
    while at < end:
        minutes += is_work(of, at)
        at += timedelta(minutes=1)
    return timedelta(minutes=minutes)


def is_work(of: Calendar, at: datetime) -> bool:
    wall = at.astimezone(of.zone)
    for text in of.hours:
        opens, closes = text.split("-")
        shown = wall.strftime("%H:%M")
        today, yesterday = (is_open(of, wall.date() - timedelta(days=ago)) for ago in (0, 1))
        over_midnight = closes <= opens
        if not over_midnight and opens <= shown < closes and today:
            return True
        if over_midnight and ((shown >= opens and today) or (shown < closes and yesterday)):
            return True
    return False


def is_open(of: Calendar, day: date) -> bool:
    return EVERY_DAY[day.weekday()] in of.days and day not in of.holidays


@given(calendars(), MOMENTS.map(lambda at: at.replace(second=0, microsecond=0)), st.integers(1, 900))
@settings(max_examples=20)
def test_as_much_is_worked_as_was_asked_for(of: Calendar, at: datetime, minutes: int) -> None:
    if of.time_zone != "UTC":
        of = of.model_copy(update={"time_zone": "Asia/Kathmandu"})  # no changes of clocks; those have their own tests
    end = of.after_time(at, timedelta(minutes=minutes))
    assert worked(of, at, end) == timedelta(minutes=minutes)
    assert is_work(of, end - timedelta(minutes=1))


@given(calendars(), MOMENTS, LENGTHS, LENGTHS)
def test_time_adds_up_and_never_runs_back(of: Calendar, at: datetime, first: timedelta, second: timedelta) -> None:
    try:
        of.after_time(at, first + second)
    except CalendarError:  # a minute of work a week comes to nine hours in ten years
        reject()
    once = of.after_time(at, first)
    assert once >= at + first
    assert of.after_time(once, second) == of.after_time(at, first + second)
    assert of.after_time(at + timedelta(minutes=1), first) >= once


@given(calendars(), MOMENTS, st.integers(1, 30), st.integers(1, 30))
def test_days_end_in_working_time_and_on_a_later_day(of: Calendar, at: datetime, first: int, more: int) -> None:
    ends = of.after_days(at, first)
    assert ends > at
    assert of.after_days(at, first + more) > ends
    # The second time that the clocks show an hour is worked whenever the first was begun.
    assert is_work(of, ends) or ends.astimezone(of.zone).fold
