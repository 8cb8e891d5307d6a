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

    `message` is a complete sentence. If `message` is about one value, `value` and `expected` can give the parts of
    `message` separately.
    """

    column: str | None
    message: str
    value: str | None = None
    """The wrong value, shortened to 60 characters, and masked if people may see only its end; None if no value is
    shown.
    """
    expected: str | None = None

    def __str__(self) -> str:
        return f"{self.column}: {self.message}" if self.column else self.message
