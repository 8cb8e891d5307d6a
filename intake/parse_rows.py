"""Turn lines of cells into typed rows, each with all its errors.

The functions are pure: they use neither Temporal nor SQL. A file that cannot be read raises `UnreadableFile`. A problem
of one row is kept with that row, so that invalid rows never stop valid ones.

This module reads files without a mapping. The first line that is not blank holds the headings, compared without case
and surrounding blanks: `reference`, the fields of the model, and optionally `priority` and `start_at`
(`scheduled_time`). Other columns are ignored and reported. A blank cell means that the field has no value. Lines with
only blank cells are counted, but are not rows.
"""

import csv
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from cases.schedule import why_not_at
from domain.base import FieldProblem
from domain.ids import normalise_reference, reference_key
from domain.input_errors import masked_values, problems_of, quoted, shortened
from domain.moments import A_MOMENT, asked, day_or_moment
from intake.cells.error_cells import is_error
from intake.cells.json_cells import structured, value_of
from intake.cells.parse_cells import Misread, number_of_workbook
from intake.mapping.target_process import Target
from intake.parsed_row import PRIORITY, REFERENCE, SCHEDULED, START_AT, ParsedRow as ParsedRow, Shown
from intake.tables.open_table import Named, table_of
from intake.tables.table import FileFormat, Table, UnreadableFile as UnreadableFile, filled

if TYPE_CHECKING:
    from intake.mapping.column_mapping import ColumnMapping

MAX_ROWS = 100_000
MAX_COLUMNS = 200


class Rows(Iterable[ParsedRow]):
    """The rows of a file in file order.

    Each iteration parses the rows again, so that they are never all in memory. The whole file was checked before, so an
    iteration raises no UnreadableFile.
    """

    def __init__(self, table: Table, heading: int, row: Callable[[int, list[str]], ParsedRow], count: int) -> None:
        self._table, self._heading, self._row, self._count = table, heading, row, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ParsedRow]:
        hidden = self._table.hidden
        for line, cells in self._table.below(self._heading):
            if filled(cells):
                why = hidden.get(line)
                yield self._row(line, cells) if why is None else ParsedRow(line, reference="", key="", skipped=why)


@dataclass(frozen=True)
class Sheet:
    """All rows of one file, and how the file was read."""

    columns: list[str]
    """The headings: in the form in which they are compared, or, if there is a mapping, as they are in the file."""
    ignored_columns: list[str]
    """Headings of columns that are not read, as they are in the file."""
    rows: Rows
    blank: int
    """How many lines below the headings have only blank cells."""
    format: FileFormat
    mapping: "ColumnMapping | None" = None
    """A complete mapping, with which the file is read again in the same way.

    None if the headings are the names of the fields and no mapping was given.
    """
    notes: list[str] = field(default_factory=list)
    """Notes for people on how the file was read."""

    @property
    def count(self) -> int:
        """Return the number of rows, including skipped rows."""
        return len(self.rows)


def read(data: bytes, model: type[BaseModel], shown: Shown = dict) -> Sheet:
    """Read a file whose headings are the names of the fields.

    Error messages show values as the function `shown` returns them, such as masked account numbers.

    Raises UnreadableFile.
    """
    return read_plain(table_of(data, known_in(_known(model))), Target(model, shown))


def needed_of(model: type[BaseModel]) -> list[str]:
    """Return the headings that every valid row needs."""
    return [REFERENCE, *(name for name, info in model.model_fields.items() if info.is_required())]


def _known(model: type[BaseModel]) -> set[str]:
    return {REFERENCE, PRIORITY, START_AT, SCHEDULED, *model.model_fields}


def known_in(known: Collection[str]) -> Named:
    """Return a function that counts how many headings in a line are in `known`."""
    return lambda line: sum(name in known for name in plain_columns(line[:MAX_COLUMNS]))


def read_plain(table: Table, target: Target, mapping: "ColumnMapping | None" = None) -> Sheet:
    """Read an open table whose headings are the names of the fields.

    `mapping` is the mapping with which a person chose how to open the file; None without one.
    """
    model = target.model
    known, needed = _known(model), needed_of(model)

    def row(line: int, columns: list[str], cells: list[str]) -> ParsedRow:
        values, wrong = plain_values(table, line, columns, cells, known)
        if len(cells) != len(columns) and not fits(cells, len(columns), [columns.index(name) for name in needed]):
            if problem := quoted_whole(cells, len(columns), table.format.delimiter):
                return ParsedRow(line=line, reference="", key="", errors=[problem])
            return uneven(line, columns, cells, values.get(REFERENCE, ""))
        if table.format.kind == "xlsx":
            wrong |= plain_numbers(values, target)
        return typed(line, values, model, target.shown, wrong=wrong)

    sheet = sheet_of(table, needed, known, row)
    return replace(sheet, mapping=mapping) if mapping else sheet


def plain_values(
    table: Table, line: int, columns: list[str], cells: list[str], known: Collection[str]
) -> tuple[dict[str, Any], dict[str, FieldProblem]]:
    """Return the cells of the columns in `known`, by field, and the problems of cells that cannot be read, by field."""
    values = {name: cell for name, cell in cells_of(columns, cells).items() if name in known}
    wrong: dict[str, FieldProblem] = {}
    if line in table.flaws or any(cell[0] in "#E" for cell in values.values()):
        for place, name in enumerate(columns):
            if name in known and (why := flaw_of(table, line, place, cells)):
                cell = values.pop(name, "")
                wrong[name] = FieldProblem(column=name, message=why, value=shortened(cell) or None, expected="a value")
    return values, wrong


def plain_numbers(values: dict[str, Any], target: Target) -> dict[str, FieldProblem]:
    """Remove from `values` the currencies that a workbook shows with numbers.

    Return, by field, a problem for each number that shows another currency than its row.
    """
    amount, currency = target.money or ("", "")
    wrong = {}
    for name in target.numbers:
        if name in values:
            try:
                values[name] = number_of_workbook(values[name], values.get(currency) if name == amount else None)
            except Misread as misread:
                message = f"{quoted(values[name])} {misread}"
                wrong[name] = _cell(name, values.pop(name), message, misread.expected)
    return wrong


def flaw_of(table: Table, line: int, place: int, cells: Sequence[str]) -> str:
    """Return why a cell cannot be read (such as a spreadsheet error); empty if the cell can be read."""
    if table.flaws and line in table.flaws and (why := table.flaws[line].get(place)):
        return why
    cell = cells[place].strip() if place < len(cells) else ""
    return "is a spreadsheet error, not a value" if cell and is_error(cell) else ""


def fits(cells: Sequence[str], width: int, needed: Sequence[int]) -> bool:
    """Return True if a row with fewer or more cells than headings can be read.

    A shorter row must reach all needed columns. In a longer row, the extra cells must be empty.
    """
    if len(cells) > width:
        return not filled(cells[width:])
    return all(place < len(cells) for place in needed)


def sheet_of(
    table: Table, needed: Sequence[str], known: Collection[str], row: Callable[[int, list[str], list[str]], ParsedRow]
) -> Sheet:
    """Read a table with `row`, which turns the columns and cells of a line into a row. Raises UnreadableFile."""
    (line, heading), *_ = table.head(1) or [(0, [])]
    if not heading:
        raise UnreadableFile("empty", "the file is empty: upload a file with headings and rows")
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
        notes=notes_of(table, line, [place for place, column in enumerate(columns) if column in known]),
    )


def notes_of(table: Table, heading: int, used: Collection[int]) -> list[str]:
    """Return notes for people on how the table was opened, on decimals that were left out in the columns `used`, and on
    hidden cells.
    """
    notes = list(table.notes)
    below = [line for line in table.hidden if line > heading]
    if below:
        many = "1 hidden row is" if len(below) == 1 else f"{len(below):,} hidden rows are"
        notes.append(f"{many} skipped, from line {min(below)} on: show them in the workbook, or read what is hidden")
    unseen: dict[int, str] = {}
    for line, texts in sorted(table.unseen.items()):
        for place, text in texts.items():
            if line <= heading or place not in unseen:
                unseen[place] = text
    if unseen:
        listed = ", ".join(quoted(unseen[place]) for place in sorted(unseen)[:10])
        notes.append(f"hidden columns are not read: {listed}")
    rounded = [name for place in used for name in table.rounded.get(place, ())]
    if rounded:
        more = " and others hold" if len(rounded) > 3 else " holds" if len(rounded) == 1 else " hold"
        notes.append(f"{', '.join(rounded[:3])}{more} more decimals than the workbook shows: read as shown")
    return notes


def counted(table: Table, heading: int) -> tuple[int, int]:
    """Go through the whole table and count rows and blank lines below the headings. Raises UnreadableFile."""
    count = blank = 0
    for line, cells in table.below(heading):
        if filled(cells):
            if count == MAX_ROWS:
                raise UnreadableFile("too_large", f"the file has more than {MAX_ROWS:,} rows: split the file", line)
            count += 1
        else:
            blank += 1
    if not count:
        raise UnreadableFile("empty", "the file has headings but no rows: add rows and upload the new file")
    return count, blank


# --------------------------------------------------------------------------------------------------------- the headings


def plain_columns(cells: Sequence[str]) -> list[str]:
    """Return the headings as they are compared with the names of fields."""
    # Joining two exported files leaves a second byte order mark.
    return [cell.replace("\ufeff", "").strip().lower() for cell in cells]


def check_headings(line: int, cells: Sequence[str], delimiter: str | None) -> None:
    """Raise UnreadableFile for headings that cannot be read, even with a mapping."""
    if len(cells) > MAX_COLUMNS:
        raise UnreadableFile(
            "too_large",
            f"the file has {len(cells):,} columns, and at most {MAX_COLUMNS} are allowed: remove columns",
            line,
        )
    titles = [cell for cell in cells if cell.strip()]
    if len(titles) == 1 and "|" in titles[0]:
        raise UnreadableFile("headers", "the columns are separated by bars: separate the columns by commas", line)
    if len(titles) == 1 and len(_parted(titles[0], delimiter)) > 1:
        raise UnreadableFile("headers", f"all headings are in one cell: {_UNQUOTE}", line)


def _columns(line: int, cells: list[str], needed: Sequence[str], delimiter: str | None) -> list[str]:
    """Return the headings in the form in which they are compared, and check them.

    The cells of a column with a blank heading are ignored.
    """
    check_headings(line, cells, delimiter)
    columns = plain_columns(cells)
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise UnreadableFile(
            "headers",
            f"these headings appear more than once: {', '.join(twice)}: give each column its own heading",
            line,
        )
    missing = [name for name in needed if name not in columns]
    if missing:
        raise UnreadableFile("headers", _missing(missing, cells), line)
    return columns


def _missing(missing: list[str], cells: list[str]) -> str:
    found = ", ".join(quoted(cell) for cell in cells[:20])
    return f"these headings are missing: {', '.join(missing)}. Found: {found}"


# ------------------------------------------------------------------------------------------------------------- the rows


def cells_of(columns: list[str], cells: list[str]) -> dict[str, str]:
    """Return the cells of a row by column, without blank ones."""
    return {name: cell.strip() for name, cell in zip(columns, cells, strict=False) if name and cell.strip()}


def uneven(line: int, columns: Sequence[str], cells: Sequence[str], reference: str) -> ParsedRow:
    """Return an invalid row for a line with more or fewer cells than headings."""
    # The cells may have moved into other columns, so other errors of the row would mislead.
    few_or_many = "few" if len(cells) < len(columns) else "many"
    wrong = f"too {few_or_many} cells: {len(cells)} for {len(columns)} headings"
    problem = FieldProblem(column=None, message=wrong, value=f"{len(cells)} cells", expected=f"{len(columns)} cells")
    return ParsedRow(line=line, reference=reference, key="", errors=[problem])


_UNQUOTE = (
    "each line is quoted as a whole. Remove the quotes around each line, and write two quotes inside a line as one; "
    "in a spreadsheet, split the column at its commas and save the file again"
)


def _parted(cell: str, delimiter: str | None) -> list[str]:
    """Read the text of one cell as a line, and return the cells of this line."""
    marks = [delimiter] if delimiter else [",", ";", "\t"]
    try:
        return max((next(csv.reader([cell], delimiter=mark)) for mark in marks), key=len)
    except (csv.Error, StopIteration):
        return []


def quoted_whole(cells: Sequence[str], width: int, delimiter: str | None) -> FieldProblem | None:
    """Return the problem of a row whose cells are all in the first cell, as one quoted text."""
    if width < 2 or not cells or any(cell.strip() for cell in cells[1:]) or len(_parted(cells[0], delimiter)) != width:
        return None
    # The text is not repeated, as it can contain a bank account.
    message = "the whole row is in one cell: remove the quotes around the row, and write two quotes inside it as one"
    return FieldProblem(column=None, message=message, value="1 cell", expected=f"{width} cells")


def typed(
    line: int,
    values: dict[str, Any],
    model: type[BaseModel],
    shown: Shown,
    names: Mapping[str, str] = MappingProxyType({}),
    wrong: Mapping[str, FieldProblem] = MappingProxyType({}),
    written: Mapping[str, str] = MappingProxyType({}),
) -> ParsedRow:
    """Return the row of these values, with all problems: those of the values, and those found earlier (`wrong`).

    `names` has the headings of fields whose columns have other names, `written` the original texts of cells.
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
                f"{quoted(reference)} is a long number that a spreadsheet has shortened, so digits are lost: "
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
    for name, kind in structured(model).items():
        if isinstance(cell := values.get(name), str):
            try:
                values[name] = value_of(cell, kind)
            except ValueError as bad:
                errors.append(_cell(names.get(name, name), cell, f"{quoted(cell)} {bad}", "JSON"))
                wrong = {**wrong, name: errors[-1]}
                del values[name]
    returned = masked_values(values, shown)
    wrong = {**wrong, **{str(each.column): each for each in returned}}
    errors += [each.model_copy(update={"column": names.get(each.column or "", each.column)}) for each in returned]
    parsed = None
    now = datetime.now(UTC)
    try:
        parsed = model.model_validate(values, context=asked(max(now, start_at or now)))
    except ValidationError as bad:
        found = [each for each in problems_of(bad, shown({**values, **written})) if each.column not in wrong]
        errors += [each.model_copy(update={"column": names.get(each.column or "", each.column)}) for each in found]
    if errors or parsed is None:
        return ParsedRow(line=line, reference=reference, key=key, errors=errors)
    return ParsedRow(line, reference, key, int(priority) if priority else None, parsed, start_at=start_at)


def moment(cell: str, column: str) -> tuple[datetime | None, FieldProblem | None]:
    """Return the start time of a row. A time without a zone is UTC, a day without a time is 00:00."""
    try:
        at = day_or_moment(cell, UTC, end=False)
    except ValueError as bad:
        return None, _cell(column, cell, f"{quoted(cell)}: {bad}", A_MOMENT)
    wrong = why_not_at(at)
    return at, _cell(column, cell, wrong, wrong) if wrong else None


def _cell(column: str, value: str, message: str, expected: str) -> FieldProblem:
    return FieldProblem(column=column, message=message, value=shortened(value) or None, expected=expected)


_PRIORITIES = frozenset("12345")
_MANGLED = re.compile(r"[+-]?\d([.,]\d+)?[eE]\+\d{1,3}")
"""Match a number that a spreadsheet has shortened, such as `4.63E+07`. Nobody types the plus sign in a reference."""
