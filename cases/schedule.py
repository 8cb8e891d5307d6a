"""Limits for the start of a scheduled case: a year such as 2207 is a typing error that nobody would notice."""

from datetime import UTC, datetime

from domain.moments import A_MOMENT, Within

START = Within(ahead=5)
"""A time in the past is allowed, as the case then starts at once."""


def why_not_at(start_at: datetime) -> str | None:
    """Return what is wrong with a time, as text after the name of its field; None if the time is valid."""
    if start_at.tzinfo is None:
        return f"needs its offset from UTC: write {A_MOMENT}"
    try:
        START.check(start_at, datetime.now(UTC))
    except ValueError as wrong:
        return f"{start_at:%Y-%m-%d} {wrong}"
    return None
