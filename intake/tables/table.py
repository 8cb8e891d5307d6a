"""The lines of a file as cells, and how they were come by. Knows no fields and no headings."""

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
"""Lines that are not blank among which the headings are looked for: titles may stand above them."""

Kind = Literal["empty", "encoding", "format", "headers", "too_large", "limit"]
Hidden = Literal["skip", "read"]


class UnreadableFile(Exception):
    """The file as a whole cannot be read, so nothing of it was taken. `str()` is a sentence for the person who sent it.

    `kind` says why: `empty`, `encoding`, `format` (no table, or a broken one), `headers`, `too_large`, `limit`
    (reading the file takes more time or memory than a file may). `line` is the physical line, or the row of the sheet,
    counted from 1, where that can be said. `said` is the sentence without it.
    """

    def __init__(self, kind: Kind, message: str, line: int | None = None) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.kind: Kind = kind
        self.line = line
        self.said = message


class WrongChoice(UnreadableFile):
    """What was said about how to open the file does not fit it; `key` is what was said."""

    def __init__(self, key: Literal["encoding", "sheet"], message: str) -> None:
        super().__init__("encoding" if key == "encoding" else "format", message)
        self.key = key


@dataclass(frozen=True)
class Opening:
    """How a file is to be opened, as far as somebody says so."""

    encoding: str = ""
    sheet: str = ""
    hidden: Hidden = "skip"
    """What becomes of rows and columns that a workbook hides, and of hidden sheets that nobody names."""
    delimiter: str | None = None


class FileFormat(BaseModel):
    """As what a file was read."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["csv", "xlsx"]
    encoding: str | None = None
    """Such as `UTF-8`, `Windows-1252` or `Shift-JIS`; of a CSV only."""
    delimiter: str | None = None
    """What stands between two cells of a CSV."""
    sheet: str | None = None
    """The sheet of the workbook that was read."""
    ignored_sheets: tuple[str, ...] = ()
    hidden: Hidden = "skip"
    """Of a workbook: whether what it hides was read."""
    heading_line: int | None = None
    """The line with the headings, counted from 1."""

    def __str__(self) -> str:
        if self.kind == "xlsx":
            rest = f"; not read: {', '.join(self.ignored_sheets)}" if self.ignored_sheets else ""
            return f"Excel workbook, sheet '{self.sheet}'{rest}"
        return f"CSV in {self.encoding} with {DELIMITERS.get(self.delimiter or ',', 'other marks')} between the cells"

    @property
    def opening(self) -> Opening:
        """Opens the same file in the same way again."""
        return Opening(self.encoding or "", self.sheet or "", self.hidden, self.delimiter)


@dataclass(frozen=True)
class Table:
    """The lines of a file. It may be gone through as often as needed; cells are made anew each time."""

    format: FileFormat
    source: Callable[[], Iterable[str]]
    """Its lines as text, or its rows as CSV of one dialect."""
    hidden: Mapping[int, str] = field(default_factory=dict)
    """Lines that a workbook hides, and what hides them."""
    flaws: Mapping[int, Mapping[int, str]] = field(default_factory=dict)
    """By line and place: why a cell of a workbook cannot be read."""
    rounded: Mapping[int, list[str]] = field(default_factory=dict)
    """By place: cells that hold more decimals than they show."""
    unseen: Mapping[int, Mapping[int, str]] = field(default_factory=dict)
    """By line and place: what stands in hidden columns of the first lines."""
    sheets: tuple[str, ...] = ()
    """All sheets of the workbook."""
    notes: tuple[str, ...] = ()
    """What people should know of how it was opened."""

    def lines(self) -> Iterator[tuple[int, list[str]]]:
        """Every line with its number, blank ones too. Raises UnreadableFile where the rest cannot be read."""
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
        """The first lines that are seen and not blank."""
        seen = ((line, cells) for line, cells in self.lines() if line not in self.hidden and filled(cells))
        return list(islice(seen, count))

    def below(self, heading: int) -> Iterator[tuple[int, list[str]]]:
        """Every line below this one."""
        return ((line, cells) for line, cells in self.lines() if line > heading)

    def seen_below(self, heading: int) -> Iterator[tuple[int, list[str]]]:
        """The same without those that are hidden: what a file is judged by."""
        return ((line, cells) for line, cells in self.below(heading) if line not in self.hidden)


def filled(cells: Iterable[str]) -> bool:
    """Whether any cell holds something."""
    return any(cell and not cell.isspace() for cell in cells)


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
