"""Text that people send: what may stand in it."""

import unicodedata
from typing import Any

from domain.normalization import identity_key

# Controls, line and paragraph separators, and the marks that turn the writing direction and so show a name as another.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """One line of text as it is. Raises ValueError for what could not be seen, or would show it as another."""
    if any(unicodedata.category(char) in _UNPRINTABLE or char in _BIDI_MARKS for char in text):
        raise ValueError("must not hold control characters or line breaks")
    return text


def lines(text: str) -> str:
    """Text of several lines as it is. Raises ValueError as `printable` does."""
    printable(text.translate({ord(blank): " " for blank in "\t\r\n"}))
    return text


def blank_is_none(value: Any) -> Any:
    """None for a blank text, such as an empty cell of a CSV; anything else as it is."""
    return None if isinstance(value, str) and not value.strip() else value


def folded_name(value: Any) -> Any:
    """A name in small letters, as it is compared. Raises ValueError for characters that nobody can see."""
    return identity_key(value) if isinstance(value, str) else value
