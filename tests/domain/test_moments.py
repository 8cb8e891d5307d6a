"""Moments and days are read by one strict rule and printed by one formatter."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, ValidationError

from activities.approval.request import ApprovalRequest
from domain.moments import (
    AskedMoment,
    Day,
    Moment,
    Within,
    asked,
    asked_now,
    bounded,
    day_or_moment,
    lenient_fields,
    local_moment,
    moment_of,
    moment_text,
    rfc3339,
    years_from,
)
from domain.money import shown
from workflows.approval import ApprovalProcess

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2027, 3, 31, 12, tzinfo=UTC)


class Asked(BaseModel):
    moment: Moment | None = None
    day: Day | None = None
    end: Annotated[datetime, Within(whole_days=True)] | None = None


NEITHER = [
    *(20270331, 1774915200, 1774915200.5, 0, -1, True, "20270331", "1774915200", "1774915200.5", "0", "1e9", ""),
    *("2027-3-31", "31/03/2027", "2027/03/31", "2027-W13-3", "2027-090", "tomorrow", "P1D", "12:00", b"2027-03-31"),
    *("2027-02-30", "2027-13-01", "0000-00-00", "\u0662\u0660\u0662\u0667-03-31", "2027-03-31T", [], {}),
    *("20270331T120000Z", "2027-03-31T12Z", "2027-03-31T24:00:00Z", "2027-03-31T12:60Z", "2027-03-31T23:59:60Z"),
    *("2027-03-31T12:00:00+0500", "2027-03-31T12:00:00+24:00", "2027-03-31T12:00:00 Z", "2027-03-31T12:00:00[Z]"),
    *("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00", "9999-12-31", "0001-01-01"),
]


@pytest.mark.parametrize("value", NEITHER, ids=repr)
@pytest.mark.parametrize("field", ["moment", "day", "end"])
def test_what_is_no_moment_and_no_day_is_refused_and_told_what_is(field: str, value: Any) -> None:
    for read in (Asked.model_validate, Asked.model_validate_strings if isinstance(value, str) else None):
        if read is not None:
            with pytest.raises(ValidationError, match=r"write a|needs its offset|does not exist|must be in the years"):
                read({field: value})


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("2027-03-31T12:00:00Z", NOON),
        ("2027-03-31T12:00:00.000Z", NOON),
        ("2027-03-31t12:00:00z", NOON),
        ("2027-03-31 12:00Z", NOON),
        ("2027-03-31T17:00:00+05:00", NOON),
        ("2027-03-30T23:30:00-12:30", NOON),
        (" 2027-03-31T12:00:00-00:00 ", NOON),
        ("2027-03-31T12:00:00.123456789Z", NOON + timedelta(microseconds=123456)),
    ],
)
def test_a_moment_with_its_offset_is_one_in_utc(text: str, means: datetime) -> None:
    found = Asked.model_validate({"moment": text}).moment
    assert found == means and found is not None and found.tzinfo is UTC
    assert Asked.model_validate({"moment": datetime.fromisoformat(text.strip().upper())}).moment == means


@pytest.mark.parametrize("text", ["2027-03-31T12:00:00", "2027-03-31 12:00", "2027-03-31"])
def test_a_time_without_an_offset_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="offset from UTC"):
        moment_of(text)
    with pytest.raises(ValueError, match="offset from UTC"):
        moment_of(datetime(2027, 3, 31, 12))


def test_what_is_asked_now_lies_between_a_year_ago_and_ten_years_ahead_and_what_is_kept_need_not() -> None:
    now = datetime.now(UTC)
    for when, wrong in (
        (now - timedelta(days=360), ""),
        (now - timedelta(days=370), "is more than 1 year ago"),
        (now + timedelta(days=3600), ""),
        (now + timedelta(days=3660), "is more than 10 years ahead"),
    ):
        for sent in ({"moment": rfc3339(when)}, {"day": f"{when.date()}"}, {"end": f"{when.date()}"}):
            Asked.model_validate(sent)  # as a case reads it again years later
            Asked.model_validate(sent, context=asked(now, ["another_field"]))
            if wrong:
                with pytest.raises(ValidationError, match=wrong):
                    Asked.model_validate(sent, context=asked_now())
            else:
                Asked.model_validate(sent, context=asked_now())

    class Body(BaseModel):
        until: AskedMoment

    with pytest.raises(ValidationError, match="is more than 10 years ahead"):
        Body(until=now + timedelta(days=3660))


def test_bounds_are_whole_years_also_in_leap_years() -> None:
    assert years_from(date(2028, 2, 29), 1) == date(2029, 2, 28)
    assert years_from(datetime(2028, 2, 29, 9, tzinfo=UTC), -1) == datetime(2027, 2, 28, 9, tzinfo=UTC)


def test_a_time_in_a_zone_is_the_first_of_two_and_none_that_clocks_skip() -> None:
    assert local_moment("2027-10-31T02:30", BERLIN) == datetime(2027, 10, 31, 0, 30, tzinfo=UTC)
    assert local_moment("2027-03-31 14:00", BERLIN) == NOON
    assert local_moment("2027-03-31T14:00:00+05:00", BERLIN) == datetime(2027, 3, 31, 9, tzinfo=UTC)
    with pytest.raises(ValueError, match=r"02:30 on 2027-03-28 does not exist in Europe/Berlin"):
        local_moment("2027-03-28T02:30", BERLIN)
    for wrong in ("20270331", "1774915200", "2027-03-31", "9999-12-31T23:59", "0001-01-01T00:00"):
        with pytest.raises(ValueError, match=r"write a day and a time|must be in the years"):
            local_moment(wrong, BERLIN)


def test_a_day_begins_and_ends_in_its_zone() -> None:
    assert day_or_moment("2027-03-28", BERLIN, end=False) == datetime(2027, 3, 27, 23, tzinfo=UTC)
    assert day_or_moment("2027-03-28", BERLIN, end=True) == datetime(2027, 3, 28, 22, tzinfo=UTC)
    for wrong in ("20270328", "1774915200", "9999-12-31", "2999-12-31"):
        with pytest.raises(ValueError, match=r"write a day|must be in the years"):
            day_or_moment(wrong, BERLIN, end=True)


@given(st.datetimes(datetime(1900, 1, 2), datetime(2999, 12, 30), timezones=st.timezones()))
def test_a_moment_is_read_as_it_was_written_and_is_never_clamped(at: datetime) -> None:
    assert bounded(moment_of(at)) == at.astimezone(UTC)
    assert moment_of(rfc3339(at)) == at.astimezone(UTC).replace(microsecond=0)
    assert moment_of(at.astimezone(timezone(timedelta(hours=5))).isoformat()) == at.astimezone(UTC)
    assert moment_text(at) == f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


@given(st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.binary(), st.none()))
def test_whatever_comes_is_read_as_itself_or_refused(value: Any) -> None:
    """Nothing else is raised than a ValueError, and no number is ever a moment."""
    try:
        found = moment_of(value)
    except ValueError:
        return
    assert isinstance(value, str) and value.strip()[:4] in {f"{year:04d}" for year in range(1899, 3001)}
    assert abs(found.year - int(value.strip()[:4])) <= 1


def test_a_moment_is_shown_in_the_zone_that_is_named_and_without_fractions() -> None:
    east = datetime(2027, 7, 1, 9, tzinfo=timezone(timedelta(hours=5)))
    assert moment_text(east) == "2027-07-01 04:00 UTC"
    assert moment_text(east, BERLIN, seconds=True) == "2027-07-01 06:00:00 CEST"
    with pytest.raises(ValueError, match="has no time zone"):
        moment_text(datetime(2027, 7, 1))
    assert shown(east.replace(microsecond=307138)) == "2027-07-01 04:00 UTC"


def test_the_deadline_of_a_request_is_shown_as_people_write_it() -> None:
    asked = ApprovalRequest(title="x", deadline=datetime(2026, 11, 30, 0, 35, 54, 307138, tzinfo=UTC))
    assert ApprovalProcess.words.key_fields_of(asked) == {"Deadline": "2026-11-30 00:35 UTC"}


def test_fields_that_pydantic_would_read_leniently_are_found_wherever_they_are() -> None:
    class Part(BaseModel):
        at: datetime
        on: Day

    class Whole(BaseModel):
        strict: Moment | None = None
        plain: date | None = None
        parts: list[Part] = []
        bounded: Annotated[date, Within(past=150)] = date(2000, 1, 1)

    assert lenient_fields(Whole) == ["plain", "parts.at"]
