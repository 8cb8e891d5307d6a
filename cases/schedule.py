"""When a case may be scheduled for: a year such as 2207 is a slip of the finger that nobody would ever hear of."""

from datetime import UTC, datetime

from domain.moments import A_MOMENT, Within

START = Within(ahead=5)
"""A moment in the past is no mistake, such a case starts at once; one of another year is."""


def why_not_at(start_at: datetime) -> str | None:
    """What is wrong with a moment, to be said behind the name of its field; None when it can be scheduled for."""
    if start_at.tzinfo is None:
        return f"needs its offset from UTC: write {A_MOMENT}"
    try:
        START.check(start_at, datetime.now(UTC))
    except ValueError as wrong:
        return f"{start_at:%Y-%m-%d} {wrong}"
    return None
