"""Validate text that people send.

Titles and notes may contain other invisible characters, such as the joiners of emoji: `domain.normalization` refuses
these characters in names and references, by which people and payments are told apart.
"""

import unicodedata
from typing import Any

from domain.normalization import fold, identity_key

# Control characters, line and paragraph separators, and direction marks, which can make a name look like another.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """Return a text of one line unchanged.

    Raises ValueError for line breaks, control characters, lone surrogates and direction marks, and for a text in which
    nothing can be seen.
    """
    if any(_unprintable(char) for char in text):
        raise ValueError("must not contain line breaks, control characters or direction marks")
    if text and not fold(text):
        raise ValueError("has only characters that cannot be seen: enter a text")
    return text


def lines(text: str) -> str:
    """Return a text of several lines unchanged. Tabs and line breaks are allowed.

    Raises ValueError for other control characters, line and paragraph separators, lone surrogates and direction marks.
    """
    if any(_unprintable(char) for char in text if char not in "\t\r\n"):
        raise ValueError("must not contain control characters or direction marks")
    return text


def _unprintable(char: str) -> bool:
    return unicodedata.category(char) in _UNPRINTABLE or char in _BIDI_MARKS


def blank_is_none(value: Any) -> Any:
    """Return None for a blank text, such as an empty cell of a CSV. Return any other value unchanged."""
    return None if isinstance(value, str) and not value.strip() else value


def folded_name(value: Any) -> Any:
    """Return a name in the form in which names are compared: in small letters.

    Raises ValueError for invisible characters.
    """
    return identity_key(value) if isinstance(value, str) else value
