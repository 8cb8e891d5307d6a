"""Compute when a duration in office hours has passed.

The functions are pure: the time is an argument.

The rules:

- Working time is local time of the time zone: the spans of `hours` on each day of `days` that is not a
  holiday. A span that ends at or before its start (`22:00-06:00`) ends on the next day. It belongs to the day on which
  it starts, also where the next day is a holiday.
- A duration that begins outside working time begins at the next start of work.
- Seconds, minutes and hours count real working time. A span is an hour shorter where clocks skip an hour in it, and an
  hour longer where they go back.
- `3d` is the same time of day on the third working day after. Outside working time it is the next start of work.
- A wall time that clocks skip is the moment at which they skip. A wall time that occurs twice is the first of the two.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

LONGEST = timedelta(days=3660)
"""The longest duration that is accepted: ten years. A longer one is taken as a typing error."""
IDLE_AT_MOST = timedelta(days=730)
"""A calendar that has no working time for a period of this length, or a longer one, is refused."""

_DAY = timedelta(days=1)
_SPAN = re.compile(r"\s*(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)\s*")
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class CalendarError(ValueError):
    """Raised if a duration in working time does not end within ten years.

    The message follows the text of the duration.
    """


class _Period(NamedTuple):
    """One period of working time without a break, and the working day to which the period belongs."""

    day: date
    start: datetime
    end: datetime


def _holiday(value: Any) -> date:
    if type(value) is not date:
        raise ValueError("must be a date without quotes, such as 2026-12-25")
    if not 1970 <= value.year <= 2200:
        raise ValueError("must lie between 1970 and 2200")
    return value


def _texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Calendar(BaseModel):
    """One `[calendars.NAME]`: the hours in which people work."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    days: Annotated[list[Weekday], Field(min_length=1)] = ["mon", "tue", "wed", "thu", "fri"]
    hours: Annotated[list[str], BeforeValidator(_texts), Field(min_length=1)]
    time_zone: str
    holidays: list[Annotated[date, BeforeValidator(_holiday)]] = []

    @field_validator("hours")
    @classmethod
    def _are_in_order(cls, hours: list[str]) -> list[str]:
        spans = sorted(_span(text) for text in hours)
        ends = [end for _, end in spans]
        starts = [start for start, _ in spans[1:]] + [spans[0][0] + _DAY]
        if any(end > start for end, start in zip(ends, starts, strict=True)):
            raise ValueError("these spans overlap")
        return hours

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (LookupError, ValueError, OSError):
            raise ValueError(f"unknown time zone '{name}': enter a name such as Europe/London") from None
        return name

    @model_validator(mode="after")
    def _has_working_time(self) -> "Calendar":
        # Only holidays can make such a long gap, and the gap then begins with a holiday.
        for holiday in sorted(self._closed):
            if next(self._working_days(holiday), holiday + IDLE_AT_MOST) - holiday >= IDLE_AT_MOST:
                raise ValueError(f"has no working time in the two years from {holiday}: remove some of the holidays")
        return self

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def after_time(self, at: datetime, length: timedelta) -> datetime:
        """Return the moment, in UTC, at which `length` of working time has passed since `at`.

        Raises CalendarError if this moment is more than ten years after `at`.
        """
        for _, start, end in self._periods(at):
            if length <= end - start:
                return start + length
            length -= end - start
        raise CalendarError("takes more than ten years in this calendar")

    def after_days(self, at: datetime, count: int) -> datetime:
        """Return the moment, in UTC, that has the same local time of day as `at` and is `count` working days later.

        Raises CalendarError if this moment is more than ten years after `at`.
        """
        day, start, _ = self._next(at)
        into = start.astimezone(self.zone).replace(tzinfo=None) - datetime.combine(day, time())
        days = self._working_days(day + _DAY, until=day + LONGEST)
        for number, target in enumerate(days, start=1):
            if number == count:
                return self._next(self._instant(datetime.combine(target, time()) + into)).start
        raise CalendarError("takes more than ten years in this calendar")

    def _next(self, at: datetime) -> _Period:
        """Return the rest of the period of working time that contains `at`.

        If `at` is outside working time, return the next period.
        """
        for period in self._periods(at):
            return period
        raise CalendarError("takes more than ten years in this calendar")

    def _periods(self, at: datetime) -> Iterator[_Period]:
        """Yield the periods of working time from `at` on, in order, for ten years.

        If `at` is within a period, the first one yielded is the rest of this period.
        """
        at = at.astimezone(UTC)
        today = at.astimezone(self.zone).date()
        # A span that began yesterday may end today.
        for day in self._working_days(today - _DAY, until=today + LONGEST):
            midnight = datetime.combine(day, time())
            for opens, closes in self._spans:
                start, end = max(self._instant(midnight + opens), at), self._instant(midnight + closes)
                if start < end:  # The span is not over, and clocks do not skip it.
                    yield _Period(day, start, end)

    def _working_days(self, day: date, until: date | None = None) -> Iterator[date]:
        until = until or day + IDLE_AT_MOST
        while day <= until:
            if _WEEK[day.weekday()] in self.days and day not in self._closed:
                yield day
            day += _DAY

    def _instant(self, wall: datetime) -> datetime:
        """Return the first moment, in UTC, at which clocks in this time zone show this time or a later time."""
        moment = wall.replace(tzinfo=self.zone).astimezone(UTC)
        if self._shown(moment) == wall:
            return moment
        # Clocks skip this time. The skip is between the moments that the two offsets give.
        before = wall.replace(tzinfo=self.zone, fold=1).astimezone(UTC).replace(microsecond=0)
        after = moment.replace(microsecond=0)
        while after - before > timedelta(seconds=1):
            middle = (before + (after - before) / 2).replace(microsecond=0)
            if self._shown(middle) < wall:
                before = middle
            else:
                after = middle
        return after

    def _shown(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone).replace(tzinfo=None)

    @cached_property
    def _spans(self) -> list[tuple[timedelta, timedelta]]:
        return sorted(_span(text) for text in self.hours)

    @cached_property
    def _closed(self) -> frozenset[date]:
        return frozenset(self.holidays)


def _span(text: str) -> tuple[timedelta, timedelta]:
    """Return the start and the end of a span such as `09:00-17:30`, as times since midnight.

    Raises ValueError for any other text.
    """
    written = _SPAN.fullmatch(text)
    opens, closes = (_since_midnight(written, 1), _since_midnight(written, 3)) if written else (None, None)
    if opens is None or closes is None or opens in (_DAY, closes):
        raise ValueError(
            f"'{text}' is not a span of hours: write start and end such as 09:00-17:30; start and end must "
            "differ, and a "
            "whole day is 00:00-24:00"
        )
    return opens, closes if closes > opens else closes + _DAY


def _since_midnight(written: re.Match[str], at: int) -> timedelta | None:
    since = timedelta(hours=int(written[at]), minutes=int(written[at + 1]))
    return since if since <= _DAY and int(written[at + 1]) < 60 else None
