"""Moments that may come from anywhere, brought to where arithmetic with them cannot fail.

The doors refuse what nobody can mean. This is for what comes past them: a Signal from the command line, a policy of
older code, a field of a process of one's own. Within these bounds a gate may double, shift and compare as it likes.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(3000, 1, 1, tzinfo=UTC)
LONGEST = timedelta(days=3660)
LONGEST_TIMER = timedelta(days=366)
"""Of one timer in Temporal. What is later is waited for with several."""


def bounded(at: datetime) -> datetime:
    """The moment in UTC, or the nearest bound. One without a zone is taken as UTC."""
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return EARLIEST if at < EARLIEST else LATEST if at > LATEST else at.astimezone(UTC)


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


BoundedMoment = Annotated[datetime, AfterValidator(bounded)]
"""A moment in a record."""
ZonedMoment = Annotated[AwareDatetime, AfterValidator(bounded)]
"""A moment in a message of people: one without a zone does not fit."""
Length = Annotated[timedelta, AfterValidator(short)]
"""How long something may take."""
