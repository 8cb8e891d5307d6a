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
"""Returns an input as it can be shown: bank accounts by their last four characters only."""


@dataclass(frozen=True)
class ParsedRow:
    """One row of a file: valid with `input`, else `errors` has every problem.

    A line that is not a row has neither; `skipped` has the reason.
    """

    line: int
    """The physical line, counted from 1, on which the row starts."""
    reference: str
    """The reference as displayed; the original text when it is not a valid reference."""
    key: str
    """The reference as compared; empty when it is not a valid reference."""
    priority: int | None = None
    input: BaseModel | None = None
    errors: list[FieldProblem] = field(default_factory=list)
    process: str = ""
    """The process of this row in a file of several processes; else empty."""
    start_at: datetime | None = None
    skipped: str = ""
    """Why the line is not a row: a credit note, a total, repeated headings, or hidden in the workbook."""
