"""Masked fields of an input: people see at most the last four characters of their values.

A process names its masked fields in `Words.masked`. A name with dots is a part of a field: `beneficiary.iban`, and in a
list of objects the part of each of them.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel

HIDDEN = "…"
"""What people see instead of the hidden characters."""
READABLE = 4
"""The number of last characters that stay readable, so that people can tell two values apart."""
SHORTEST = 8
"""A value with fewer characters is hidden completely: its last four characters would be most of the value."""

_BLANKS = re.compile(r"\s+")


def masked(value: Any) -> Any:
    """Return a value in the form that people may see: of texts the end, of lists and objects each part.

    Empty and masked values stay as they are. Of numbers and other values, nothing is shown.
    """
    match value:
        case None | "":
            return value
        case str():
            text = _BLANKS.sub("", value)  # as in `GB82 WEST 1234`
            if _is_mask(text) and len(text) <= len(HIDDEN) + READABLE:
                return text  # masked already: nobody can enter such a value
            return f"{HIDDEN}{text[-READABLE:] if len(text) >= SHORTEST else ''}" if text else ""
        case BaseModel():
            return masked(value.model_dump(mode="json"))
        case Mapping():
            return {name: masked(each) for name, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [masked(each) for each in value]
        case _:
            return HIDDEN


@dataclass(frozen=True)
class Masking:
    """The masked fields of one process."""

    fields: frozenset[str] = frozenset()

    def __contains__(self, field: str) -> bool:
        """Return True if the field, or a field of which it is a part, is masked."""
        parts = field.split(".")
        return any(".".join(parts[: n + 1]) in self.fields for n in range(len(parts)))

    def touches(self, name: str) -> bool:
        """Return True if a field of the input is masked, or a part of it."""
        return any(path[0] == name for path in self._paths)

    @cached_property
    def _paths(self) -> Sequence[tuple[str, ...]]:
        return [tuple(field.split(".")) for field in sorted(self.fields)]

    def input(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Return an input with its masked fields masked."""
        shown = dict(stored)
        for path in self._paths:
            if path[0] in shown:
                shown[path[0]] = _with_masked(shown[path[0]], path[1:])
        return shown

    def values(self, read: Mapping[str, Any]) -> dict[str, Any]:
        """Return values by the names of fields, such as `beneficiary.iban`, with masked ones masked."""
        return {name: self.value(name, value) for name, value in read.items()}

    def value(self, name: str, value: Any) -> Any:
        """Return the value of the field `name` in the form that people may see."""
        if name in self:
            return masked(value)
        parts = tuple(name.split("."))
        for path in self._paths:
            if path[: len(parts)] == parts:
                value = _with_masked(value, path[len(parts) :])
        return value

    def found(self, stored: Mapping[str, Any], field: str) -> Any:
        """Return the value of a masked field of an input. For a part of a list, return the parts of all its items."""
        values = list(_at(stored, tuple(field.split("."))))
        return values[0] if len(values) == 1 else values or None


def _with_masked(value: Any, path: Sequence[str]) -> Any:
    """Return the value with the part at `path` masked, in each item of a list."""
    if not path or value is None:
        return masked(value)
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {name: _with_masked(each, path[1:]) if name == path[0] else each for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_with_masked(each, path) for each in value]
    return masked(value)  # Not of the form that the name expects: nothing of it is shown.


def _at(value: Any, path: Sequence[str]) -> Iterator[Any]:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if not path:
        yield value
    elif isinstance(value, Mapping):
        if path[0] in value:
            yield from _at(value[path[0]], path[1:])
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _at(each, path)


def left_masked(values: Mapping[str, Any], shown: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> list[str]:
    """Return the fields whose values somebody sends back as they were shown, masked, such as `…5432`.

    `shown` returns an input as people may see it. Such a value would replace the whole value.
    """
    probes = {name: _probe(value) for name, value in values.items()}
    return list(_left(values, shown(probes), "")) if _has_mask(values) else []


def _has_mask(value: Any) -> bool:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return _is_mask(value) if isinstance(value, str) else any(map(_has_mask, parts))


def _probe(value: Any) -> Any:
    """Return the value with texts of which a mask hides a part."""
    if isinstance(value, str):
        return "x" * SHORTEST
    if isinstance(value, Mapping):
        return {name: _probe(each) for name, each in value.items()}
    return [_probe(each) for each in value] if isinstance(value, list | tuple) else value


def _left(sent: Any, probed: Any, where: str) -> Iterator[str]:
    if isinstance(sent, Mapping) and isinstance(probed, Mapping):
        for name, value in sent.items():
            yield from _left(value, probed.get(name), f"{where}.{name}" if where else str(name))
    elif isinstance(sent, list | tuple) and isinstance(probed, list):
        for number, (value, seen) in enumerate(zip(sent, probed, strict=False)):
            yield from _left(value, seen, f"{where}.{number}")
    elif isinstance(sent, str) and _is_mask(sent) and isinstance(probed, str) and _is_mask(probed):
        yield where


def hidden_values(whole: Any, shown: Any) -> Iterator[str]:
    """Yield the texts of an input that people do not see whole. `shown` is the same input with masked fields masked."""
    if isinstance(whole, BaseModel):
        whole = whole.model_dump(mode="json")
    if isinstance(whole, Mapping) and isinstance(shown, Mapping):
        for name, value in whole.items():
            yield from hidden_values(value, shown.get(name))
    elif isinstance(whole, list | tuple) and isinstance(shown, list):
        for value, seen in zip(whole, shown, strict=False):
            yield from hidden_values(value, seen)
    elif isinstance(whole, str) and whole.strip() and isinstance(shown, str) and _is_mask(shown) and shown != whole:
        yield whole


def _is_mask(text: str) -> bool:
    return text.startswith(HIDDEN)


def without(said: Any, hidden: Collection[str]) -> Any:
    """Return what a step or a rule says about a case, as text or JSON, with these values of its input masked.

    A value that is too short to be shown in part is masked only where it is the whole text. In a sentence, the same
    characters could mean anything.
    """
    if not hidden:
        return said
    if isinstance(said, str):
        return _text_without(said, hidden)
    if isinstance(said, Mapping):
        return {name: without(each, hidden) for name, each in said.items()}
    if isinstance(said, list | tuple):
        return [without(each, hidden) for each in said]
    return said


def _text_without(text: str, hidden: Collection[str]) -> str:
    squeezed = None
    for value in hidden:
        if text == value:
            return str(masked(value))
        compact = _BLANKS.sub("", value)
        if len(compact) < SHORTEST or len(text) < len(compact):
            continue
        squeezed = squeezed or _BLANKS.sub("", text).casefold()
        if compact.casefold() in squeezed:
            # The same number can be written with blanks between its groups, and in small letters.
            signs = re.compile(r"\s*".join(map(re.escape, compact)), re.IGNORECASE)
            text, squeezed = str(masked(value)).join(signs.split(text)), None
    return text
