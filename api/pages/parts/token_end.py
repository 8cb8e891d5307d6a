"""The end of a token, as forms send it."""


def end_of_day(day: str) -> str | None:
    """Return the end of this day in UTC, in the form that the routes read; None for an empty text."""
    return f"{day.strip()}T23:59:59Z" if day.strip() else None
