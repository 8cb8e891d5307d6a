"""Mark and find the fields of requests that name people or groups, so that a request with an unknown name is refused.

A model marks such fields by their type: `manager: PersonId | None`, `reviewers: list[PersonOrGroup]`. Every request is
checked against the known people: over HTTP, in files, in forms and for child cases.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel

Kind = Literal["person", "group", "person or group"]


@dataclass(frozen=True)
class Names:
    """Mark the type of a field whose texts name people, groups or both."""

    kind: Kind


PersonId = Annotated[str, Names("person")]
"""The type of a field that holds the id of a person. The person must be active."""
GroupName = Annotated[str, Names("group")]
"""The type of a field that holds the name of a group. The group must have members."""
PersonOrGroup = Annotated[str, Names("person or group")]


class Named(NamedTuple):
    """One name of a person or group in a request."""

    field: str
    """The path of the field that holds the name: `manager`, `candidates.0`."""
    name: str
    kind: Kind


def names_in(request: BaseModel) -> list[Named]:
    """Return the names of people and groups in a request, in the order of its fields. Blank names are ignored."""
    return list(_of_model(request, "")) if names_any(type(request)) else []


@lru_cache(maxsize=256)
def names_any(model: type[BaseModel]) -> bool:
    """Return True if a field of the model, or of a nested model, names people or groups."""
    return _mentions(model, frozenset())


def _mentions(of: Any, inside: frozenset[Any]) -> bool:
    if isinstance(of, Names):
        return True
    if isinstance(of, type) and issubclass(of, BaseModel):
        fields = of.model_fields.values()
        return of not in inside and any(
            _mentions(part, inside | {of}) for field in fields for part in (field.annotation, *field.metadata)
        )
    return any(_mentions(part, inside) for part in get_args(of))


def _of_model(model: BaseModel, place: str) -> Iterator[Named]:
    for name, field in type(model).model_fields.items():
        kind = next((mark.kind for mark in field.metadata if isinstance(mark, Names)), None)
        yield from _of_value(getattr(model, name, None), field.annotation, kind, f"{place}{name}")


def _of_value(value: Any, declared: Any, kind: Kind | None, place: str) -> Iterator[Named]:
    """Yield the names of people and groups in a value of the type `declared`.

    `kind` says what the texts in the value name, such as a person. `kind` is None if no mark on the field says this.
    """
    origin, parts = get_origin(declared), get_args(declared)
    if origin is Annotated:
        kind = next((mark.kind for mark in parts[1:] if isinstance(mark, Names)), kind)
        yield from _of_value(value, parts[0], kind, place)
    elif origin in (Union, UnionType):
        # The union member of the value is unknown, so each name is yielded once only.
        yield from dict.fromkeys(each for part in parts for each in _of_value(value, part, kind, place))
    elif isinstance(value, BaseModel):
        yield from _of_model(value, f"{place}.")
    elif isinstance(value, str):
        if kind and value.strip() and declared in (str, Any):
            yield Named(place, value, kind)
    elif isinstance(value, Mapping):
        inner = parts[1] if len(parts) == 2 else Any
        for key, each in value.items():
            yield from _of_value(each, inner, kind, f"{place}.{key}")
    elif isinstance(value, list | tuple | set | frozenset):
        for number, each in enumerate(value):
            inner = parts[number] if origin is tuple and Ellipsis not in parts and number < len(parts) else None
            yield from _of_value(each, inner or (parts[0] if parts else Any), kind, f"{place}.{number}")
