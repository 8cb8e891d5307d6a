"""Mask the cells of a file in which a masked field is, or can be, before people get the rows back as CSV.

The process says which fields are masked. A cell of such a column shows only the end of its value. In columns that no
field uses, and in rows whose cells have moved, nobody knows what a cell is: there, long numbers are masked.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.masking import masked
from intake.mapping.column_mapping import heading_key
from intake.parsed_row import PRIORITY, REFERENCE, SCHEDULED, START_AT
from workflows.registry import Process

LONG_NUMBER = 6
"""The least number of digits in a group of letters and digits that is masked where nobody knows what a cell is."""

_GROUP = re.compile(r"[A-Za-z0-9](?: ?[A-Za-z0-9]){7,}")


@dataclass(frozen=True)
class MaskedColumns:
    """The headings of a file by what is below them, in the form of `heading_key`. Other headings are not known."""

    masked: frozenset[str]
    plain: frozenset[str]

    @classmethod
    def of(cls, processes: Iterable[Process], mapping: Mapping[str, Any] | None) -> "MaskedColumns | None":
        """Return the columns of a file with rows of these processes, which was read with this mapping.

        Return None if the processes mask nothing.
        """
        processes = list(processes)
        hidden = {field.partition(".")[0] for process in processes for field in process.words.masked}
        if not hidden:
            return None
        columns = dict((mapping or {}).get("columns") or {})
        fields = {REFERENCE, PRIORITY, START_AT, SCHEDULED, *(f for each in processes for f in each.input.model_fields)}
        named = {field: _headings(columns.get(field, field)) for field in fields}
        seeds = [(column, field.partition(".")[0]) for each in processes for column, field in each.seed.items()]
        masked_ = {key for field in hidden for key in named.get(field, ())}
        masked_ |= {heading_key(column) for column, field in seeds if field in hidden}
        plain = {key for keys in named.values() for key in keys} | {heading_key(column) for column, _ in seeds}
        return cls(frozenset(masked_), frozenset(plain | _OF_ALL) - masked_)

    def cells(self, headings: Sequence[str], cells: Sequence[str]) -> list[str]:
        """Return the cells of a row in the form that people may see."""
        keys = [heading_key(heading) for heading in headings]
        filled = len(cells) if any(cell.strip() for cell in cells[len(keys) :]) else min(len(cells), len(keys))
        # In a row with more or fewer cells than headings, a cell may stand so many places beside its heading.
        moved = abs(filled - len(keys))
        near = [keys[max(0, place - moved) : place + moved + 1] for place in range(len(cells))]
        return [
            self._cell(keys[place] if place < len(keys) else "", cell, near[place]) for place, cell in enumerate(cells)
        ]

    def _cell(self, key: str, cell: str, near: Sequence[str]) -> str:
        if key in self.masked:
            return str(masked(cell))
        known = key in self.plain and self.plain.issuperset(near)
        return cell if known else _GROUP.sub(_long_number, cell)


_OF_ALL = frozenset({"taskid", "tasktype", "error"})
"""Headings that a file of several processes has, and the heading of the errors."""


def _headings(named: str | Collection[str]) -> list[str]:
    """Return the headings that a mapping names for a field: one, several, or joined ones (`{No}/{Line}`)."""
    texts = [named] if isinstance(named, str) else named
    return [heading_key(part) for text in texts for part in (re.findall(r"\{([^{}]*)\}", text) or [text])]


def _long_number(found: re.Match[str]) -> str:
    digits = sum(sign.isdigit() for sign in found[0])
    return str(masked(found[0])) if digits >= LONG_NUMBER else found[0]
