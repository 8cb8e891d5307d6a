"""A message in words, and what must hold of words that other people wrote."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """One message in words. The subject is one line. `html` may be empty: then there is plain text only."""

    subject: str
    plain: str
    html: str


def clean(text: str, limit: int = 500) -> str:
    """Text of other people in one line: nothing in it can start a header, hide, or turn the writing direction."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
