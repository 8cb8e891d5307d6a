"""Lines of cells to typed rows: one input model in, every row with all its errors out.

Pure: knows nothing of Temporal or SQL. A file that cannot be read at all raises `UnreadableFile`; whatever is wrong
with a single row is kept with that row, so that bad rows never stop good ones.

This is the plain way, without a mapping: the first line that is not blank holds the headings, matched without case and
surrounding blanks: `reference`, the fields of the model, and optionally `priority` and `start_at` (`scheduled_time`).
Other columns are ignored and reported. Blank cells count as absent. Lines in which every cell is blank are counted, but
are no rows.
"""

import csv
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from intake.later import why_not_at
from intake.problems import problems_of, quoted, shortened
from intake.tables import FileFormat, Named, Table, filled, table_of
from intake.tables import UnreadableFile as UnreadableFile
from workflows.models import Problem, normalise_reference, reference_key
from workflows.moments import A_MOMENT, asked, day_or_moment

if TYPE_CHECKING:
    from intake.mapping import ColumnMapping

MAX_ROWS = 100_000
MAX_COLUMNS = 200

REFERENCE = "reference"
PRIORITY = "priority"
START_AT, SCHEDULED = "start_at", "scheduled_time"

Shown = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""What may be repeated of an input: bank accounts only by their last four."""


@dataclass(frozen=True)
class Row:
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
    """Why the line is no row: a credit note, a total, the headings again."""


class Rows(Iterable[Row]):
    """The rows of a file in its order. They are typed anew each time they are gone through, so that they are never all
    in memory; nothing about the file can fail then."""

    def __init__(self, table: Table, heading: int, row: Callable[[int, list[str]], Row], count: int) -> None:
        self._table, self._heading, self._row, self._count = table, heading, row, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        return (self._row(line, cells) for line, cells in self._table.below(self._heading) if filled(cells))


@dataclass(frozen=True)
class Sheet:
    """All rows of one file, and how it was read."""

    columns: list[str]
    """The headings: as they are compared, or with a mapping as they stand in the file."""
    ignored_columns: list[str]
    """Headings that no field is read from, as they stand in the file."""
    rows: Rows
    blank: int
    """Lines below the headings in which every cell is blank."""
    format: FileFormat
    mapping: "ColumnMapping | None" = None
    """None: the headings are the fields' own names. Else complete: given again, it reads the same."""
    notes: list[str] = field(default_factory=list)
    """What was chosen, for people."""

    @property
    def count(self) -> int:
        """Rows, skipped ones too."""
        return len(self.rows)

    @property
    def lines_read(self) -> int:
        """Lines below the headings: rows, skipped and blank ones."""
        return self.count + self.blank


def read(data: bytes, model: type[BaseModel], shown: Shown = dict) -> Sheet:
    """Read a file whose headings are the fields. Errors repeat a row's cells as `shown` gives them back.

    Raises UnreadableFile.
    """
    return read_plain(table_of(data, known_in(_known(model))), model, shown)


def needed_of(model: type[BaseModel]) -> list[str]:
    """The headings without which no row could be valid."""
    return [REFERENCE, *(name for name, info in model.model_fields.items() if info.is_required())]


def _known(model: type[BaseModel]) -> set[str]:
    return {REFERENCE, PRIORITY, START_AT, SCHEDULED, *model.model_fields}


def known_in(known: Collection[str]) -> Named:
    """Counts the headings of a line that are known by just these names."""
    return lambda line: sum(name in known for name in plain_columns(line[:MAX_COLUMNS]))


def read_plain(table: Table, model: type[BaseModel], shown: Shown = dict) -> Sheet:
    """The same, of a table that is open already."""
    known = _known(model)
    mark = table.format.delimiter

    def row(line: int, columns: list[str], cells: list[str]) -> Row:
        values = cells_of(columns, cells)
        if len(cells) != len(columns):
            if wrong := quoted_whole(cells, len(columns), mark):
                return Row(line=line, reference="", key="", errors=[wrong])
            return uneven(line, columns, cells, values.get(REFERENCE, ""))
        return typed(line, {name: cell for name, cell in values.items() if name in known}, model, shown)

    return sheet_of(table, needed_of(model), known, row)


def sheet_of(
    table: Table, needed: Sequence[str], known: Collection[str], row: Callable[[int, list[str], list[str]], Row]
) -> Sheet:
    """Read a table with a `row` of each line, from its columns and cells. Raises UnreadableFile."""
    (line, heading), *_ = table.head(1) or [(0, [])]
    if not heading:
        raise UnreadableFile("empty", "the file is empty")
    columns = _columns(line, heading, needed, table.format.delimiter)
    count, blank = counted(table, line)
    ignored = [
        title.strip() or f"(column {number})"
        for number, (title, column) in enumerate(zip(heading, columns, strict=True), 1)
        if column not in known
    ]
    return Sheet(
        columns=columns,
        ignored_columns=ignored,
        rows=Rows(table, line, lambda number, cells: row(number, columns, cells), count),
        blank=blank,
        format=table.format.model_copy(update={"heading_line": line}),
    )


def counted(table: Table, heading: int) -> tuple[int, int]:
    """The rows and the blank lines below the headings, once all were gone through. Raises UnreadableFile."""
    count = blank = 0
    for line, cells in table.below(heading):
        if filled(cells):
            if count == MAX_ROWS:
                raise UnreadableFile("too_large", f"more than {MAX_ROWS:,} rows: split the file", line)
            count += 1
        else:
            blank += 1
    if not count:
        raise UnreadableFile("empty", "the file has headings but no rows")
    return count, blank


# --------------------------------------------------------------------------------------------------------- the headings


def plain_columns(cells: Sequence[str]) -> list[str]:
    """The headings as they are compared with the names of fields."""
    # A second byte order mark is what joining two exported files leaves behind.
    return [cell.replace("\ufeff", "").strip().lower() for cell in cells]


def check_headings(line: int, cells: Sequence[str], delimiter: str | None) -> None:
    """Raises UnreadableFile for headings that no mapping could help."""
    if len(cells) > MAX_COLUMNS:
        raise UnreadableFile("too_large", f"{len(cells):,} columns; at most {MAX_COLUMNS} are read", line)
    titles = [cell for cell in cells if cell.strip()]
    if len(titles) == 1 and "|" in titles[0]:
        raise UnreadableFile("headers", "the columns are separated by bars; separate them by commas", line)
    if len(titles) == 1 and len(_parted(titles[0], delimiter)) > 1:
        raise UnreadableFile("headers", f"the headings stand in one cell: {_UNQUOTE}", line)


def _columns(line: int, cells: list[str], needed: Sequence[str], delimiter: str | None) -> list[str]:
    """The headings as they are compared. A blank one names no column and its cells are ignored."""
    check_headings(line, cells, delimiter)
    columns = plain_columns(cells)
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise UnreadableFile("headers", f"these headings stand there more than once: {', '.join(twice)}", line)
    missing = [name for name in needed if name not in columns]
    if missing:
        raise UnreadableFile("headers", _missing(missing, cells), line)
    return columns


def _missing(missing: list[str], cells: list[str]) -> str:
    found = ", ".join(quoted(cell) for cell in cells[:20])
    return f"these headings are missing: {', '.join(missing)}. Found: {found}"


# ------------------------------------------------------------------------------------------------------------- the rows


def cells_of(columns: list[str], cells: list[str]) -> dict[str, str]:
    """The cells of a row by their column; blank ones count as absent."""
    return {name: cell.strip() for name, cell in zip(columns, cells, strict=False) if name and cell.strip()}


def uneven(line: int, columns: Sequence[str], cells: Sequence[str], reference: str) -> Row:
    """A row with more or fewer cells than there are headings."""
    # The cells may have slid into other columns, so what else looks wrong with them would mislead.
    few_or_many = "few" if len(cells) < len(columns) else "many"
    wrong = f"too {few_or_many} cells: {len(cells)}, and the headings are {len(columns)}"
    problem = Problem(column=None, message=wrong, value=f"{len(cells)} cells", expected=f"{len(columns)} cells")
    return Row(line=line, reference=reference, key="", errors=[problem])


_UNQUOTE = (
    "each line is quoted as a whole. Take the quotes around the lines away, and write two quotes inside as one; "
    "in a spreadsheet, part the column by its commas and save the file again"
)


def _parted(cell: str, delimiter: str | None) -> list[str]:
    """What a cell would be as a line of its own."""
    marks = [delimiter] if delimiter else [",", ";", "\t"]
    try:
        return max((next(csv.reader([cell], delimiter=mark)) for mark in marks), key=len)
    except (csv.Error, StopIteration):
        return []


def quoted_whole(cells: Sequence[str], width: int, delimiter: str | None) -> Problem | None:
    """What is wrong with a row of which all cells stand in the first, as one text."""
    if width < 2 or not cells or any(cell.strip() for cell in cells[1:]) or len(_parted(cells[0], delimiter)) != width:
        return None
    # Its text is not repeated: a bank account may be in it.
    message = "the whole row stands in one cell: take the quotes around it away, and write two quotes inside as one"
    return Problem(column=None, message=message, value="1 cell", expected=f"{width} cells")


def typed(
    line: int,
    values: dict[str, Any],
    model: type[BaseModel],
    shown: Shown,
    names: Mapping[str, str] = MappingProxyType({}),
    wrong: Mapping[str, Problem] = MappingProxyType({}),
    written: Mapping[str, str] = MappingProxyType({}),
) -> Row:
    """The row of these values, with everything that is wrong with them, or was when they were read.

    `names` are the headings of fields whose columns are called otherwise, `written` cells that were written otherwise.
    """
    reference, priority = values.pop(REFERENCE, ""), values.pop(PRIORITY, None)
    errors = list(wrong.values())
    key, start_at = "", None
    if REFERENCE not in wrong:
        try:
            key, reference = reference_key(reference), normalise_reference(reference)
        except ValueError as bad:
            errors.append(_cell(names.get(REFERENCE, REFERENCE), reference, str(bad), str(bad)))
        if _MANGLED.fullmatch(reference):
            message = (
                f"{quoted(reference)} is what a spreadsheet makes of a long number, whose digits are lost: "
                "format the column as text, enter the reference again and save the file again"
            )
            errors.append(_cell(names.get(REFERENCE, REFERENCE), reference, message, "the reference as it was entered"))
    if priority is not None and priority not in _PRIORITIES:
        message = f"{quoted(priority)} is not 1, 2, 3, 4 or 5"
        errors.append(_cell(names.get(PRIORITY, PRIORITY), priority, message, "1, 2, 3, 4 or 5"))
    for column in (START_AT, SCHEDULED):
        if column in values and column not in model.model_fields:
            at, late = moment(values.pop(column), names.get(column, column))
            start_at = start_at or at
            errors += [late] if late else []
    parsed = None
    try:
        parsed = model.model_validate(values, context=asked(start_at or datetime.now(UTC)))
    except ValidationError as bad:
        found = [each for each in problems_of(bad, shown({**values, **written})) if each.column not in wrong]
        errors += [each.model_copy(update={"column": names.get(each.column or "", each.column)}) for each in found]
    if errors or parsed is None:
        return Row(line=line, reference=reference, key=key, errors=errors)
    return Row(line, reference, key, int(priority) if priority else None, parsed, start_at=start_at)


def moment(cell: str, column: str) -> tuple[datetime | None, Problem | None]:
    """When a row is to start, in UTC where it names no zone; a day is its beginning."""
    try:
        at = day_or_moment(cell, UTC, end=False)
    except ValueError as bad:
        return None, _cell(column, cell, f"{quoted(cell)}: {bad}", A_MOMENT)
    wrong = why_not_at(at)
    return at, _cell(column, cell, wrong, wrong) if wrong else None


def _cell(column: str, value: str, message: str, expected: str) -> Problem:
    return Problem(column=column, message=message, value=shortened(value) or None, expected=expected)


_PRIORITIES = frozenset("12345")
_MANGLED = re.compile(r"[+-]?\d([.,]\d+)?[eE]\+\d{1,3}")
"""`4.63E+07`: with the plus, which nobody types in a reference."""
