"""One row of a file, and the columns that rows of every process can have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from domain.base import FieldProblem

REFERENCE = "reference"
PRIORITY = "priority"
START_AT, SCHEDULED = "start_at", "scheduled_time"

Shown = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""A function that returns an input as people may see it: of bank accounts, only the last four characters."""


@dataclass(frozen=True)
class ParsedRow:
    """One row of a file. A valid row has `input`; an invalid row has all its problems in `errors`.

    A line that is not a row has neither `input` nor `errors`: `skipped` has the reason.
    """

    line: int
    """The number of the line of the file, counted from 1, on which the row starts."""
    reference: str
    """The reference as people read it. If the cell holds no valid reference, the text of the cell."""
    key: str
    """The key by which references are compared (`reference_key`); empty if the reference is not valid."""
    priority: int | None = None
    input: BaseModel | None = None
    errors: list[FieldProblem] = field(default_factory=list)
    process: str = ""
    """The process of this row in a file of several processes; in other files empty."""
    start_at: datetime | None = None
    skipped: str = ""
    """Why the line is not a row: a credit note, a total, repeated headings, or hidden in the workbook."""
