"""The data of a process that are needed to read the rows of a file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from domain.column_headings import GENERAL
from intake.parsed_row import PRIORITY, REFERENCE, START_AT, Shown

_NUMBERS = {"int", "float", "Decimal"}


@dataclass(frozen=True)
class Target:
    """The data of one process that are needed to read its rows."""

    model: type[BaseModel]
    shown: Shown = dict
    money: tuple[str, str] | None = None
    """The names of the fields that hold an amount and its currency; None without such fields."""

    @cached_property
    def aliases(self) -> Mapping[str, Sequence[str]]:
        """Return, by field, further headings that a column of this field may have, the likeliest first.

        The headings come from `headings` of the model, or, if the model has none for the field, from
        `domain/column_headings.py`.
        """
        own: Mapping[str, Sequence[str]] = getattr(self.model, "headings", {})
        return {name: own.get(name) or GENERAL.get(name, ()) for name in self.fields}

    @cached_property
    def fields(self) -> list[str]:
        return list(dict.fromkeys([REFERENCE, *self.model.model_fields, PRIORITY, START_AT]))

    @cached_property
    def needed(self) -> list[str]:
        return [REFERENCE, *(name for name, info in self.model.model_fields.items() if info.is_required())]

    @cached_property
    def dates(self) -> list[str]:
        return [name for name in self.model.model_fields if self._types(name) & {date}]

    @cached_property
    def numbers(self) -> list[str]:
        return [name for name in self.model.model_fields if {each.__name__ for each in self._types(name)} & _NUMBERS]

    def _types(self, name: str) -> set[type]:
        return set(_types_of(self.model.model_fields[name].annotation))


def _types_of(annotation: Any) -> Iterator[type]:
    if get_origin(annotation) in (Union, UnionType, Annotated):
        for part in get_args(annotation):
            yield from _types_of(part)
    elif isinstance(annotation, type) and annotation is not datetime:
        yield annotation
