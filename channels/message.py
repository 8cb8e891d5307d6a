"""The text of a message to a person, and a function that makes text from other people harmless."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MessageText:
    """The text of one message. The subject is one line. If `html` is empty, the message has plain text only."""

    subject: str
    plain: str
    html: str


def clean(text: str, limit: int = 500) -> str:
    """Return text from other people as one line of at most `limit` characters.

    The result cannot start a mail header, hide other text, or change the writing direction of other text.
    """
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
