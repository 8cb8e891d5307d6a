"""The base of every contract."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

InputT = TypeVar("InputT")


class Message(BaseModel):
    """Base of everything that travels. A field of newer code is ignored, so that a deploy can be taken back."""

    model_config = ConfigDict(frozen=True)


class FieldChange(Message):
    """One field that is not what it was."""

    field: str
    before: Any
    after: Any


class FieldProblem(Message):
    """One thing wrong with one input. `column` is None when it concerns the whole row or several fields together.

    `message` is a sentence that names the value and what was expected; of a cell of a file these also stand apart.
    """

    column: str | None
    message: str
    value: str | None = None
    """As it stood there and may be repeated."""
    expected: str | None = None

    def __str__(self) -> str:
        return f"{self.column}: {self.message}" if self.column else self.message
