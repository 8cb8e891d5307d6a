"""Base classes of all messages and stored data."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

InputT = TypeVar("InputT")


class Message(BaseModel):
    """Base of all data that is sent or stored. Unknown fields are ignored, so an older release can read newer data."""

    model_config = ConfigDict(frozen=True)


class FieldChange(Message):
    """One field whose value changed."""

    field: str
    before: Any
    after: Any


class FieldProblem(Message):
    """One error in the input of a case. `column` is None if the error concerns the whole row or several fields.

    `message` is a complete sentence. For a cell of a file, `value` and `expected` give its parts separately.
    """

    column: str | None
    message: str
    value: str | None = None
    """The value as it was sent, if it may be shown."""
    expected: str | None = None

    def __str__(self) -> str:
        return f"{self.column}: {self.message}" if self.column else self.message
