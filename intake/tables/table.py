"""The lines of a file as cells, and how the file was opened. It knows no fields and no headings."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from pydantic import BaseModel, ConfigDict

MAX_CELL = 128 * 1024
"""Characters in one cell: the limit of the csv module."""
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
SEARCHED = 10
"""Lines that are not blank in which the headings are searched: titles can come before them."""

Kind = Literal["empty", "encoding", "format", "headers", "too_large", "limit"]
Hidden = Literal["skip", "read"]


class UnreadableFile(Exception):
    """The file as a whole cannot be read, so nothing is imported. `str()` is a sentence for the person who sent it.

    `kind` is `empty`, `encoding`, `format` (no table, or a broken one), `headers`, `too_large` or `limit` (the file
    needs more time or memory than allowed). `line` is the line of the file, or the row of the sheet, counted from 1,
    where it is known. `said` is the sentence without the line.
    """

    def __init__(self, kind: Kind, message: str, line: int | None = None) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.kind: Kind = kind
        self.line = line
        self.said = message


class WrongChoice(UnreadableFile):
    """A choice of how to open the file that does not fit it; `key` names the choice."""

    def __init__(self, key: Literal["encoding", "sheet"], message: str) -> None:
        super().__init__("encoding" if key == "encoding" else "format", message)
        self.key = key


@dataclass(frozen=True)
class Opening:
    """The choices of how to open a file; empty ones are detected."""

    encoding: str = ""
    sheet: str = ""
    hidden: Hidden = "skip"
    """True if hidden rows and columns, and hidden sheets that are not named, are read."""
    delimiter: str | None = None


class FileFormat(BaseModel):
    """How a file was read."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["csv", "xlsx"]
    encoding: str | None = None
    """The encoding of a CSV, such as `UTF-8`, `Windows-1252` or `Shift-JIS`."""
    delimiter: str | None = None
    """The mark between two cells of a CSV."""
    sheet: str | None = None
    """The sheet of the workbook that was read."""
    ignored_sheets: tuple[str, ...] = ()
    hidden: Hidden = "skip"
    """True if hidden parts of a workbook were read."""
    heading_line: int | None = None
    """The line with the headings, counted from 1."""

    def __str__(self) -> str:
        if self.kind == "xlsx":
            rest = f"; not read: {', '.join(self.ignored_sheets)}" if self.ignored_sheets else ""
            return f"Excel workbook, sheet '{self.sheet}'{rest}"
        return f"CSV in {self.encoding} with {DELIMITERS.get(self.delimiter or ',', 'other marks')} between the cells"

    @property
    def opening(self) -> Opening:
        """The choices that open the file in the same way again."""
        return Opening(self.encoding or "", self.sheet or "", self.hidden, self.delimiter)


@dataclass(frozen=True)
class Table:
    """The lines of a file. They can be read any number of times; cells are parsed again each time."""

    format: FileFormat
    source: Callable[[], Iterable[str]]
    """Returns the lines as text, or the rows of a sheet as CSV."""
    hidden: Mapping[int, str] = field(default_factory=dict)
    """Lines that a workbook hides, with the reason."""
    flaws: Mapping[int, Mapping[int, str]] = field(default_factory=dict)
    """By line and place: why a cell of a workbook cannot be read."""
    rounded: Mapping[int, list[str]] = field(default_factory=dict)
    """By place: cells that store more decimals than they show."""
    unseen: Mapping[int, Mapping[int, str]] = field(default_factory=dict)
    """By line and place: texts in hidden columns of the first lines."""
    sheets: tuple[str, ...] = ()
    """All sheets of the workbook."""
    notes: tuple[str, ...] = ()
    """Notes for people on how the file was opened."""

    def lines(self) -> Iterator[tuple[int, list[str]]]:
        """Yield every line with its number, also blank ones. Raises UnreadableFile where the rest cannot be read."""
        reader = csv.reader(self.source(), delimiter=self.format.delimiter or ",", strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as wrong:
                raise _broken(wrong, line, reader.line_num) from wrong
            yield line, cells

    def head(self, count: int) -> list[tuple[int, list[str]]]:
        """Return the first lines that are visible and not blank."""
        seen = ((line, cells) for line, cells in self.lines() if line not in self.hidden and filled(cells))
        return list(islice(seen, count))

    def below(self, heading: int) -> Iterator[tuple[int, list[str]]]:
        """Yield every line after this one."""
        return ((line, cells) for line, cells in self.lines() if line > heading)

    def seen_below(self, heading: int) -> Iterator[tuple[int, list[str]]]:
        """Yield every visible line after this one; these decide how a file is read."""
        return ((line, cells) for line, cells in self.below(heading) if line not in self.hidden)


def filled(cells: Iterable[str]) -> bool:
    """Return True if any cell is not blank."""
    return any(cell and not cell.isspace() for cell in cells)


def _broken(wrong: csv.Error, start: int, end: int) -> UnreadableFile:
    match str(wrong):
        case "unexpected end of data":
            return UnreadableFile("format", "the row that starts here opens a quote that is never closed", start)
        case message if message.startswith("field larger than field limit"):
            hint = f"a cell is longer than {MAX_CELL // 1024} KB: shorten the cell, or close the quote in it"
            return UnreadableFile("too_large", hint, start)
        case message if "expected after" in message:
            since = f" (in the row that starts on line {start})" if start != end else ""
            hint = f"text follows a closing quote{since}: write a quote inside a quoted cell twice"
            return UnreadableFile("format", hint, end)
        case message:
            return UnreadableFile("format", message, start)
