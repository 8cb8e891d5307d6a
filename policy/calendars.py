"""Working time: what `[calendars.office]` says, and durations counted in it.

Hours are those of the clock on the wall: of the day on which clocks go forward a span that holds the missing hour is an
hour shorter, and of the day on which they go back an hour longer. Seconds that pass are what counts.

- `8h`, `30m`, `45s`: so much working time, from now or, outside working hours, from their next beginning.
- `1d`: the same time of day on the next working day. From outside working hours it counts from their next beginning, so
  a day from Saturday is Tuesday morning. Where that day has no such time (shorter hours, the hour that clocks skip), it
  is the next working time after it.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
HORIZON = timedelta(days=4000)
"""Further than any clock of a gate reaches."""


def _spans(value: Any) -> Any:
    """`"09:00-17:30"`, or several of these, as pairs of minutes since midnight."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError('must be hours such as "09:00-17:30", or a list of them')
    spans = []
    for text in texts:
        first, dash, last = text.partition("-")
        try:
            begins = time.fromisoformat(first.strip())
            ends = time.max if last.strip() == "24:00" else time.fromisoformat(last.strip())
        except ValueError:
            raise ValueError(f"'{text}' is no span of hours; one looks like 09:00-17:30") from None
        if not dash or ends <= begins:
            raise ValueError(f"'{text}' must end after it begins, on the same day")
        spans.append((begins, ends))
    spans.sort()
    if any(before[1] > after[0] for before, after in pairwise(spans)):
        raise ValueError("spans of hours must not overlap")
    return spans


def _zone(value: Any) -> Any:
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, TypeError, ValueError, OSError):
        raise ValueError(f"'{value}' is no time zone; one looks like Europe/London") from None


class Calendar(BaseModel):
    """When people work. The end of an hour is not in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    days: list[Day] = ["mon", "tue", "wed", "thu", "fri"]
    hours: Annotated[list[tuple[time, time]], BeforeValidator(_spans)]
    time_zone: Annotated[ZoneInfo, BeforeValidator(_zone)]
    holidays: list[date] = []

    @model_validator(mode="after")
    def _somebody_works(self) -> "Calendar":
        if not self.days:
            raise ValueError("days must name at least one day of the week")
        return self

    def after(self, start: datetime, duration: timedelta, *, days: int = 0) -> datetime:
        """The moment so many working days, then so much working time, after `start`; in UTC.

        Raises ValueError when there is no such moment within ten years.
        """
        at = self._working(start)
        for _ in range(days):
            at = self._next_day(at)
        left = duration
        for begins, ends in self._spans_from(at):
            if ends - begins >= left:
                return begins + left
            left -= ends - begins
        raise ValueError("there is not so much working time within ten years")

    def _working(self, at: datetime) -> datetime:
        """`at`, or the next beginning of work."""
        for begins, _ in self._spans_from(at):
            return begins
        raise ValueError("there is no working time within ten years")

    def _next_day(self, at: datetime) -> datetime:
        local = at.astimezone(self.time_zone)
        day = local.date() + timedelta(days=1)
        while not self._works(day):
            day += timedelta(days=1)
            if day - local.date() > HORIZON:
                raise ValueError("there is no working day within ten years")
        # `fold` of the first of two like hours; a skipped one becomes the moment after.
        same = datetime.combine(day, local.time().replace(fold=0), self.time_zone).astimezone(UTC)
        return self._working(same)

    def _spans_from(self, at: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Spans of work in UTC from `at` on, the first cut."""
        start = at.astimezone(UTC)
        day = at.astimezone(self.time_zone).date()
        last = day + HORIZON
        while day < last:
            if self._works(day):
                for opens, closes in self.hours:
                    begins = self._moment(day, opens)
                    ends = self._moment(day, closes)
                    if ends > start and ends > begins:
                        yield max(begins, start), ends
            day += timedelta(days=1)

    def _moment(self, day: date, at: time) -> datetime:
        if at == time.max:
            return datetime.combine(day + timedelta(days=1), time(), self.time_zone).astimezone(UTC)
        return datetime.combine(day, at, self.time_zone).astimezone(UTC)

    def _works(self, day: date) -> bool:
        return DAYS[day.weekday()] in self.days and day not in self.holidays
