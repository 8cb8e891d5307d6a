"""Moments that may come from anywhere, brought to where arithmetic with them cannot fail.

The doors refuse what nobody can mean. This is for what comes past them: a Signal from the command line, a policy of
older code, a field of a process of one's own. Within these bounds a gate may double, shift and compare as it likes.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(3000, 1, 1, tzinfo=UTC)
_BY_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)")
LONGEST = timedelta(days=3660)
LONGEST_TIMER = timedelta(days=366)
"""Of one timer in Temporal. What is later is waited for with several."""


def bounded(at: datetime) -> datetime:
    """The moment in UTC, or the nearest bound. One without a zone is taken as UTC."""
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return EARLIEST if at < EARLIEST else LATEST if at > LATEST else at.astimezone(UTC)


def spelt(value: Any) -> Any:
    """The value, unless it is a number or digits alone, which pydantic would read as Unix seconds."""
    if isinstance(value, datetime) or (isinstance(value, str) and _BY_DAY.match(value)):
        return value
    raise ValueError("write a moment such as 2027-03-31T09:00:00Z")


def zoned(at: datetime) -> datetime:
    """The moment; raises ValueError for one without a zone."""
    if at.tzinfo is None:
        raise ValueError("needs its offset from UTC")
    return at


def after(at: datetime, by: timedelta) -> datetime:
    """`at + by`, or the nearest bound."""
    try:
        return bounded(at + by)
    except OverflowError:
        return LATEST if by > timedelta(0) else EARLIEST


def until(at: datetime, now: datetime) -> timedelta:
    """How long one timer for a moment may be: not below zero, and at most a year."""
    return max(timedelta(0), min(bounded(at) - now, LONGEST_TIMER))


def short(length: timedelta) -> timedelta:
    """The length, not below zero and at most ten years."""
    return max(timedelta(0), min(length, LONGEST))


SPELT = BeforeValidator(spelt)
BoundedMoment = Annotated[datetime, SPELT, AfterValidator(bounded)]
"""A moment in a record."""
ZonedMoment = Annotated[datetime, SPELT, AfterValidator(zoned), AfterValidator(bounded)]
"""A moment in a message of people: one without a zone does not fit."""
Length = Annotated[timedelta, AfterValidator(short)]
"""How long something may take."""
