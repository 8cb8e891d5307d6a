"""A code for programs that has a meaning for people."""

from enum import StrEnum
from typing import Self


class CodeWithMeaning(StrEnum):
    """The base of enums whose members are a stored value and its meaning: `NAME = "value", "meaning"`."""

    _value_: str
    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        code = str.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code
