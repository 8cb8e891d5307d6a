"""Limit the start of a scheduled case to the next five years: a year such as 2207 is probably a typing error."""

from datetime import UTC, datetime

from domain.moments import A_MOMENT, Within

START = Within(ahead=5)
"""The start is at most five years ahead. With a start up to one year in the past, the case starts at once."""


def why_not_at(start_at: datetime) -> str | None:
    """Return what is wrong with a start time; None if the time is valid.

    The text follows the name of the field, such as `needs its offset from UTC`.
    """
    if start_at.tzinfo is None:
        return f"needs its offset from UTC: write {A_MOMENT}"
    try:
        START.check(start_at, datetime.now(UTC))
    except ValueError as wrong:
        return f"{start_at:%Y-%m-%d} {wrong}"
    return None
