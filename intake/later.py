"""When a case may be scheduled for: a year such as 2207 is a slip of the finger that nobody would ever hear of."""

from datetime import UTC, datetime, timedelta

FURTHEST = timedelta(days=5 * 365 + 2)
"""Five years, with their leap days. A moment in the past is no mistake: such a case starts at once."""


def why_not_at(start_at: datetime) -> str | None:
    """What is wrong with a moment, to be said behind the name of its field; None when it can be scheduled for."""
    if start_at.tzinfo is None:
        return "needs a time zone, such as 2027-03-31T09:00:00Z"
    if start_at - datetime.now(UTC) > FURTHEST:
        return f"{start_at:%Y-%m-%d} is more than 5 years ahead"
    return None
