"""Text that people send: what may stand in it, and how a day is written."""

import re
import unicodedata
from contextlib import suppress
from datetime import date
from typing import Any

# Controls, line and paragraph separators, and the marks that turn the writing direction and so show a name as another.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def printable(text: str) -> str:
    """One line of text as it is. Raises ValueError for what could not be seen, or would show it as another."""
    if any(unicodedata.category(char) in _UNPRINTABLE or char in _BIDI_MARKS for char in text):
        raise ValueError("must not hold control characters or line breaks")
    return text


def lines(text: str) -> str:
    """Text of several lines as it is. Raises ValueError as `printable` does."""
    printable(text.translate({ord(blank): " " for blank in "\t\r\n"}))
    return text


def iso_date(value: Any) -> Any:
    """A day written as 2026-11-30; None for a blank. Raises ValueError for any other form: nothing is guessed."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if type(value) is date:
        return value
    text = str(value).strip()
    with suppress(ValueError):
        if _ISO_DATE.fullmatch(text):
            return date.fromisoformat(text)
    raise ValueError("write the date as year-month-day, for example 2026-11-30")


def blank_is_none(value: Any) -> Any:
    """None for a blank text, such as an empty cell of a CSV; anything else as it is."""
    return None if isinstance(value, str) and not value.strip() else value
