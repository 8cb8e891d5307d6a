"""Base classes of all messages and stored data."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

InputT = TypeVar("InputT")


class Message(BaseModel):
    """Base class of all data that is sent or stored.

    Reading ignores unknown fields, so an older release can read data that a newer release has written.
    """

    model_config = ConfigDict(frozen=True)


class FieldChange(Message):
    """One changed field of an input: its name, the old value and the new value."""

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
