"""The text of a message, and the cleaning of words that other people wrote."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MessageText:
    """The text of one message. The subject is one line. If `html` is empty, the message has plain text only."""

    subject: str
    plain: str
    html: str


def clean(text: str, limit: int = 500) -> str:
    """Return text of other people as one line. It cannot start a header, hide text, or turn the writing direction."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
