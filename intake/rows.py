"""Bytes to typed rows: one CSV file and one input model in, every row with all its errors out.

Pure: knows nothing of Temporal or SQL. A file that cannot be read at all raises `UnreadableFile`; whatever is wrong
with a single row is kept with that row, so that bad rows never stop good ones. A misplaced quote is the exception:
after it nobody knows where a row ends, and a payment must not be read out of the middle of somebody's memo.

The format: UTF-8 (a byte order mark is allowed), commas, line ends LF, CRLF or CR, RFC 4180 quotes. The first line
that is not blank holds the headings, matched without case and surrounding blanks: `reference`, the fields of the
model, and optionally `priority`. Other columns are ignored and reported. Blank cells count as absent. Lines in which
every cell is blank are skipped and are not counted as rows.
"""

import csv
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from intake.problems import problems_of, quoted
from workflows.models import Problem, normalise_reference, reference_key

MAX_ROWS = 100_000
MAX_COLUMNS = 200
MAX_CELL = 128 * 1024
"""Characters in one cell: the limit of the csv module."""

REFERENCE = "reference"
PRIORITY = "priority"

Shown = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""What may be repeated of an input: bank accounts only by their last four."""

Kind = Literal["empty", "encoding", "format", "headers", "too_large"]


class UnreadableFile(Exception):
    """The file as a whole cannot be read, so nothing of it was taken. `str()` is a sentence for the person who sent it.

    `kind` says why: `empty`, `encoding` (not UTF-8), `format` (not CSV, or broken CSV), `headers`, `too_large`. `line`
    is the physical line, counted from 1, where that can be said.
    """

    def __init__(self, kind: Kind, message: str, line: int | None = None) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.kind: Kind = kind
        self.line = line


@dataclass(frozen=True)
class Row:
    """One row of a file. It is valid when `input` is there; else `errors` says everything that is wrong with it."""

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


@dataclass(frozen=True)
class Sheet:
    """All rows of one file, in file order."""

    columns: list[str]
    ignored_columns: list[str]
    """Headings that no field of the model has, as they stand in the file."""
    rows: list[Row]


def read(data: bytes, model: type[BaseModel], shown: Shown = dict) -> Sheet:
    """Read a whole file. Errors repeat a row's cells as `shown` gives them back. Raises UnreadableFile."""
    needed = [REFERENCE, *(name for name, info in model.model_fields.items() if info.is_required())]
    known = {REFERENCE, PRIORITY, *model.model_fields}
    return sheet_of(data, needed, known, lambda line, columns, cells: _row(line, cells, columns, known, model, shown))


def sheet_of(
    data: bytes, needed: Sequence[str], known: Collection[str], row: Callable[[int, list[str], list[str]], Row]
) -> Sheet:
    """Read a whole file with a `row` of each line, from its columns and cells. Raises UnreadableFile."""
    lines = _lines(_text(data))
    heading = next(lines, None)
    if heading is None:
        raise UnreadableFile("empty", "the file is empty")
    columns = _columns(*heading, needed)
    rows: list[Row] = []
    for line, cells in lines:
        if len(rows) == MAX_ROWS:
            raise UnreadableFile("too_large", f"more than {MAX_ROWS:,} rows: split the file", line)
        rows.append(row(line, columns, cells))
    if not rows:
        raise UnreadableFile("empty", "the file has headings but no rows")
    ignored = [
        title.strip() or f"(column {number})"
        for number, (title, column) in enumerate(zip(heading[1], columns, strict=True), 1)
        if column not in known
    ]
    return Sheet(columns=columns, ignored_columns=ignored, rows=rows)


# ------------------------------------------------------------------------------------------------------------- the file

_NOT_CSV = {
    b"PK\x03\x04": "an Excel workbook or another ZIP archive",
    b"PK\x05\x06": "an empty ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF",
    b"{": "JSON",
    b"[": "JSON",
    b"<": "HTML or XML",
}


def _text(data: bytes) -> str:
    """Decode the file, or say what it looks like instead."""
    if not data.strip(b"\xef\xbb\xbf \t\r\n"):
        raise UnreadableFile("empty", "the file is empty")
    for start, what in _NOT_CSV.items():
        if data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(start):
            raise UnreadableFile("format", f"this is {what}, not CSV: save it as 'CSV UTF-8' and upload that")
    if _looks_like_utf16(data):
        raise UnreadableFile("encoding", "the file looks like UTF-16: save it as 'CSV UTF-8' and upload that")
    nul = data.find(b"\0")
    if nul >= 0:
        raise UnreadableFile("format", "holds a NUL byte, so this is not a text file", _line_at(data, nul))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        # utf-8-sig counts from behind the byte order mark.
        place = wrong.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        raise UnreadableFile("encoding", _not_utf8(data, place), _line_at(data, place)) from wrong


def _looks_like_utf16(data: bytes) -> bool:
    """By its byte order mark, or because every second byte of plain text is NUL."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        return True
    head = data[:200]
    return len(head) >= 4 and max(head[::2].count(0), head[1::2].count(0)) * 4 > len(head)


def _not_utf8(data: bytes, place: int) -> str:
    byte = data[place : place + 1]
    try:
        char = byte.decode("cp1252")
    except UnicodeDecodeError:
        return f"the file is not UTF-8 (byte 0x{byte.hex()}): save it as 'CSV UTF-8' and upload that"
    return (
        f"the file is not UTF-8; it looks like Latin-1 or Windows-1252 (byte 0x{byte.hex()} is '{char}' there): "
        "save it as 'CSV UTF-8' and upload that"
    )


def _line_at(data: bytes, place: int) -> int:
    before = data[:place].replace(b"\r\n", b"\n")
    return 1 + before.count(b"\n") + before.count(b"\r")


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the physical line on which it starts."""
    # newline="" keeps line ends inside quotes as they are, and takes LF, CRLF and CR alike as the end of a line.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as wrong:
            raise _broken(wrong, line, reader.line_num) from wrong
        if any(cell.strip() for cell in cells):
            yield line, cells


def _broken(wrong: csv.Error, start: int, end: int) -> UnreadableFile:
    match str(wrong):
        case "unexpected end of data":
            return UnreadableFile("format", "the row that starts here opens a quote that is never closed", start)
        case message if message.startswith("field larger than field limit"):
            hint = f"a cell is longer than {MAX_CELL // 1024} KB; is a quote in it never closed?"
            return UnreadableFile("too_large", hint, start)
        case message if "expected after" in message:
            since = f" (in the row that starts on line {start})" if start != end else ""
            hint = f"text follows a closing quote{since}: write a quote inside a quoted cell twice"
            return UnreadableFile("format", hint, end)
        case message:
            return UnreadableFile("format", message, start)


# --------------------------------------------------------------------------------------------------------- the headings


def _columns(line: int, cells: list[str], needed: Sequence[str]) -> list[str]:
    """The headings as they are compared. A blank one names no column and its cells are ignored."""
    if len(cells) > MAX_COLUMNS:
        raise UnreadableFile("too_large", f"{len(cells):,} columns; at most {MAX_COLUMNS} are read", line)
    # A second byte order mark is what joining two exported files leaves behind.
    columns = [cell.replace("\ufeff", "").strip().lower() for cell in cells]
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise UnreadableFile("headers", f"these headings stand there more than once: {', '.join(twice)}", line)
    missing = [name for name in needed if name not in columns]
    if missing:
        raise UnreadableFile("headers", _missing(missing, cells), line)
    return columns


def _missing(missing: list[str], cells: list[str]) -> str:
    other = next((name for mark, name in _SEPARATORS.items() if len(cells) == 1 and mark in cells[0]), None)
    if other:
        return f"the columns are separated by {other}; separate them by commas"
    found = ", ".join(quoted(cell) for cell in cells[:20])
    return f"these headings are missing: {', '.join(missing)}. Found: {found}"


_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


# ------------------------------------------------------------------------------------------------------------- the rows


def _row(line: int, cells: list[str], columns: list[str], known: set[str], model: type[BaseModel], shown: Shown) -> Row:
    values = cells_of(columns, cells)
    if wrong := uneven(line, columns, cells, values.get(REFERENCE, "")):
        return wrong
    return typed(line, {name: cell for name, cell in values.items() if name in known}, model, shown)


def cells_of(columns: list[str], cells: list[str]) -> dict[str, str]:
    """The cells of a row by their column; blank ones count as absent."""
    return {name: cell.strip() for name, cell in zip(columns, cells, strict=False) if name and cell.strip()}


def uneven(line: int, columns: list[str], cells: list[str], reference: str) -> Row | None:
    """The row, if it has more or fewer cells than there are headings."""
    if len(cells) == len(columns):
        return None
    # The cells may have slid into other columns, so what else looks wrong with them would mislead.
    few_or_many = "few" if len(cells) < len(columns) else "many"
    wrong = f"too {few_or_many} cells: {len(cells)}, and the headings are {len(columns)}"
    return Row(line=line, reference=reference, key="", errors=[Problem(column=None, message=wrong)])


def typed(line: int, values: dict[str, Any], model: type[BaseModel], shown: Shown) -> Row:
    """The row of these values, with everything that is wrong with them."""
    reference, priority = values.pop(REFERENCE, ""), values.pop(PRIORITY, None)
    errors: list[Problem] = []
    key = ""
    try:
        key, reference = reference_key(reference), normalise_reference(reference)
    except ValueError as bad:
        errors.append(Problem(column=REFERENCE, message=str(bad)))
    if priority is not None and priority not in _PRIORITIES:
        errors.append(Problem(column=PRIORITY, message=f"{quoted(priority)} is not 1, 2, 3, 4 or 5"))
    try:
        parsed = model.model_validate(values)
    except ValidationError as bad:
        return Row(line=line, reference=reference, key=key, errors=errors + problems_of(bad, shown(values)))
    if errors:
        return Row(line=line, reference=reference, key=key, errors=errors)
    return Row(line, reference, key, int(priority) if priority else None, parsed)


_PRIORITIES = frozenset("12345")
