"""One row of a file, and the columns that rows of every process have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from domain.base import Problem

REFERENCE = "reference"
PRIORITY = "priority"
START_AT, SCHEDULED = "start_at", "scheduled_time"

Shown = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""What may be repeated of an input: bank accounts only by their last four."""


@dataclass(frozen=True)
class ParsedRow:
    """One row of a file. It is valid when `input` is there; else `errors` says everything that is wrong with it.

    A line that is no row by the mapping has neither: `skipped` says why.
    """

    line: int
    """The physical line, counted from 1, on which the row starts."""
    reference: str
    """As it is displayed; as it stood in the file when it is not a possible reference."""
    key: str
    """As it is compared; empty when it is not a possible reference."""
    priority: int | None = None
    input: BaseModel | None = None
    errors: list[Problem] = field(default_factory=list)
    process: str = ""
    """Of a file of several processes: the one that this row is for, if there is one."""
    start_at: datetime | None = None
    skipped: str = ""
    """Why the line is no row: a credit note, a total, the headings again, hidden in its workbook."""
