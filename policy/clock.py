"""Compute when the clocks of a gate fire. A clock is a duration such as `8h`, or an expression that gives a time.

With a calendar, a duration (`8h`, also from an expression: `amount > 5 ? '8h' : '1d'`) counts in working time. Numbers
of seconds, CEL durations and moments do not depend on the calendar.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from domain.moments import EARLIEST, LATEST
from policy.calendars import LONGEST, Calendar, CalendarError
from policy.expressions import ExpressionError, evaluate, expression

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"\s*(\d+)([smhd])\s*")


def is_duration(text: str) -> bool:
    """Return True if a clock is written as a duration, valid or not. Otherwise it is an expression."""
    return _DURATION.fullmatch(text) is not None


def duration(text: str) -> timedelta | None:
    """Return a text such as `30s`, `15m`, `8h`, `3d` as a duration; None for a text of another form.

    Raises ExpressionError for zero and for more than ten years.
    """
    written = _DURATION.fullmatch(text)
    if not written:
        return None
    try:
        length = timedelta(**{_UNITS[written[2]]: int(written[1])})
    except (OverflowError, ValueError):
        length = timedelta.max
    if not timedelta() < length <= LONGEST:
        raise ExpressionError(f"'{text}' must be longer than zero and at most ten years")
    return length


def after(text: str, at: datetime, calendar: Calendar | None) -> datetime | None:
    """Return when a duration that starts at `at` has passed; None for a text of another form.

    Raises ExpressionError for zero and for more than ten years.
    """
    length = duration(text)
    if length is None:
        return None
    if calendar is None:
        return at + length
    try:
        return calendar.after_days(at, length.days) if text.strip()[-1] == "d" else calendar.after_time(at, length)
    except CalendarError as wrong:
        raise ExpressionError(f"'{text}' {wrong}") from wrong


def instant(text: str, names: Mapping[str, Any], at: datetime, calendar: Calendar | None = None) -> datetime:
    """Return the moment at which a clock that starts at `at` fires.

    An expression may give a duration (`"8h"`, or a CEL duration), a number of seconds, or a moment such as `due_date`,
    which is 00:00 UTC of that day. If this moment is before `at`, the clock fires at once. Raises ExpressionError for a
    text that gives no time.
    """
    if written := after(text, at, calendar):
        return written
    value = evaluate(expression(text), names)
    return max(at, as_instant(value, text, at, calendar))


def as_instant(value: Any, text: str, at: datetime, calendar: Calendar | None = None) -> datetime:
    """Return the moment that the value of a clock's expression stands for.

    Raises ExpressionError for a value that is no duration, number of seconds or moment.
    """
    if isinstance(value, str):
        value = after(value, at, calendar)
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LONGEST.total_seconds():
        value = timedelta(seconds=value)
    if isinstance(value, timedelta):
        value = at + value if abs(value) <= LONGEST else None
    if not isinstance(value, datetime) or not EARLIEST <= value.year < LATEST or value - at > LONGEST:
        raise ExpressionError(f"'{text}' must give a duration such as '8h', seconds, or a moment, within ten years")
    return value
