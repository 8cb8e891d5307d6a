"""The lines of a file as cells, and how the file was opened. This module knows neither fields nor headings."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from pydantic import BaseModel, ConfigDict

MAX_CELL = 128 * 1024
"""The maximum number of characters in one cell: the limit of the csv module of Python."""
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
SEARCHED = 10
"""How many lines that are not blank are searched for the headings. Titles can come before the headings."""

Kind = Literal["empty", "encoding", "format", "headers", "too_large", "limit"]
Hidden = Literal["skip", "read"]


class UnreadableFile(Exception):
    """Raised if the file as a whole cannot be read, so that nothing is imported.

    `str()` is a sentence for the person who sent the file.

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
    """Raised if a choice of how to open the file does not fit the file. `key` names the choice, such as `sheet`."""

    def __init__(self, key: Literal["encoding", "sheet"], message: str) -> None:
        super().__init__("encoding" if key == "encoding" else "format", message)
        self.key = key


@dataclass(frozen=True)
class Opening:
    """The choices of how to open a file; empty choices are detected from the file."""

    encoding: str = ""
    sheet: str = ""
    hidden: Hidden = "skip"
    """`read`: hidden rows and columns, and hidden sheets that are not named, are read; `skip`: they are left out."""
    delimiter: str | None = None


class FileFormat(BaseModel):
    """How a file was read."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["csv", "xlsx"]
    encoding: str | None = None
    """The encoding of a CSV, such as `UTF-8`, `Windows-1252` or `Shift-JIS`."""
    delimiter: str | None = None
    """The mark between two cells of a CSV, such as `;`; None for a workbook."""
    sheet: str | None = None
    """The sheet of the workbook that was read."""
    ignored_sheets: tuple[str, ...] = ()
    hidden: Hidden = "skip"
    """`read`: the hidden parts of a workbook were read; `skip`: they were left out."""
    heading_line: int | None = None
    """The line with the headings, counted from 1."""

    def __str__(self) -> str:
        if self.kind == "xlsx":
            rest = f"; not read: {', '.join(self.ignored_sheets)}" if self.ignored_sheets else ""
            return f"Excel workbook, sheet '{self.sheet}'{rest}"
        return f"CSV in {self.encoding} with {DELIMITERS.get(self.delimiter or ',', 'other marks')} between the cells"

    @property
    def opening(self) -> Opening:
        """Return the choices with which the file is opened in the same way again."""
        return Opening(self.encoding or "", self.sheet or "", self.hidden, self.delimiter)


@dataclass(frozen=True)
class Table:
    """The lines of a file. The lines can be read any number of times; cells are parsed again each time."""

    format: FileFormat
    source: Callable[[], Iterable[str]]
    """A function that returns an iterator over the lines of the file as text, or over the rows of a sheet as CSV."""
    hidden: Mapping[int, str] = field(default_factory=dict)
    """By line: why the workbook hides this line."""
    flaws: Mapping[int, Mapping[int, str]] = field(default_factory=dict)
    """By line and place of the column: why this cell of a workbook cannot be read."""
    rounded: Mapping[int, list[str]] = field(default_factory=dict)
    """By place of the column: names of cells that store more decimals than they show."""
    unseen: Mapping[int, Mapping[int, str]] = field(default_factory=dict)
    """By line and place of the column: texts in hidden columns of the first lines."""
    sheets: tuple[str, ...] = ()
    """All sheets of the workbook."""
    notes: tuple[str, ...] = ()
    """Notes for people on how the file was opened."""

    def lines(self) -> Iterator[tuple[int, list[str]]]:
        """Yield every line with its number, also blank ones.

        Raises UnreadableFile at the first line that cannot be read.
        """
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
        """Yield every line after the line `heading`, with its number."""
        return ((line, cells) for line, cells in self.lines() if line > heading)

    def seen_below(self, heading: int) -> Iterator[tuple[int, list[str]]]:
        """Yield every visible line after the line `heading`, with its number.

        Only visible lines decide how a file is read.
        """
        return ((line, cells) for line, cells in self.below(heading) if line not in self.hidden)


def filled(cells: Iterable[str]) -> bool:
    """Return True if any cell is not blank."""
    return any(cell and not cell.isspace() for cell in cells)


def _broken(wrong: csv.Error, start: int, end: int) -> UnreadableFile:
    match str(wrong):
        case "unexpected end of data":
            return UnreadableFile(
                "format",
                "a cell in the row that starts here begins with a quote that is never closed: close or remove "
                "the quote",
                start,
            )
        case message if message.startswith("field larger than field limit"):
            hint = f"a cell is longer than {MAX_CELL // 1024} KB: shorten the cell, or close the quote in it"
            return UnreadableFile("too_large", hint, start)
        case message if "expected after" in message:
            since = f" (in the row that starts on line {start})" if start != end else ""
            hint = f"text follows a closing quote{since}: write a quote inside a quoted cell twice"
            return UnreadableFile("format", hint, end)
        case message:
            return UnreadableFile("format", message, start)
