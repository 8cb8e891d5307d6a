"""Bytes to lines of cells, whatever a person's program made of them: CSV in its dialects and encodings, or a workbook.

Pure: knows no fields and no headings. What was detected is told in a `FileFormat`, so that nobody has to guess what we
guessed. A file is UTF-8 if it can be; UTF-16 by its byte order mark or its NULs; else Windows-1252, which fits nearly
any bytes and is therefore believed only where nothing speaks against it. After a misplaced quote nobody knows where a
row ends, and a payment must not be read out of the middle of somebody's memo: such a file is refused as a whole.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from pydantic import BaseModel, ConfigDict

MAX_CELL = 128 * 1024
"""Characters in one cell: the limit of the csv module."""
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
SEARCHED = 10
"""Lines that are not blank among which the headings are looked for: titles may stand above them."""
_SAMPLE = 40
"""Lines that are not blank by which the delimiter is found."""

Kind = Literal["empty", "encoding", "format", "headers", "too_large"]


class UnreadableFile(Exception):
    """The file as a whole cannot be read, so nothing of it was taken. `str()` is a sentence for the person who sent it.

    `kind` says why: `empty`, `encoding`, `format` (no table, or a broken one), `headers`, `too_large`. `line` is the
    physical line, or the row of the sheet, counted from 1, where that can be said.
    """

    def __init__(self, kind: Kind, message: str, line: int | None = None) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.kind: Kind = kind
        self.line = line


class FileFormat(BaseModel):
    """As what a file was read."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["csv", "xlsx"]
    encoding: str | None = None
    """`UTF-8`, `UTF-16` or `Windows-1252`; of a CSV only."""
    delimiter: str | None = None
    """What stands between two cells of a CSV."""
    sheet: str | None = None
    """The sheet of the workbook that was read."""
    ignored_sheets: tuple[str, ...] = ()
    heading_line: int | None = None
    """The line with the headings, counted from 1."""

    def __str__(self) -> str:
        if self.kind == "xlsx":
            rest = f"; not read: {', '.join(self.ignored_sheets)}" if self.ignored_sheets else ""
            return f"Excel workbook, sheet '{self.sheet}'{rest}"
        return f"CSV in {self.encoding} with {DELIMITERS.get(self.delimiter or ',', 'other marks')} between the cells"


@dataclass(frozen=True)
class Table:
    """The lines of a file. It may be gone through as often as needed; cells are made anew each time."""

    format: FileFormat
    source: Callable[[], Iterable[str]]
    """Its lines as text, or its rows as CSV of one dialect."""

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
        """The first lines that are not blank."""
        return list(islice(((line, cells) for line, cells in self.lines() if filled(cells)), count))

    def below(self, heading: int) -> Iterator[tuple[int, list[str]]]:
        """Every line below this one."""
        return ((line, cells) for line, cells in self.lines() if line > heading)


def filled(cells: Iterable[str]) -> bool:
    """Whether any cell holds something."""
    return any(cell and not cell.isspace() for cell in cells)


Named = Callable[[list[str]], int]
"""How many of a line's cells are headings that somebody knows."""


def table_of(data: bytes, named: Named = len, delimiter: str | None = None) -> Table:
    """The table in a file, parted by the `delimiter` under which most cells of a heading line are `named`.

    Raises UnreadableFile; for what is wrong with lines of a CSV, `Table.lines` does.
    """
    if not data.strip(b"\xef\xbb\xbf \t\r\n"):
        raise UnreadableFile("empty", "the file is empty")
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        from intake.workbook import rows_of  # of use to few uploads, and the only one that needs the reader

        sheet, ignored, rows = rows_of(data)
        return Table(FileFormat(kind="xlsx", sheet=sheet, ignored_sheets=ignored), lambda: rows)
    text, encoding = _text(data)
    if not text.strip("\ufeff \t\r\n"):
        raise UnreadableFile("empty", "the file is empty")
    told = re.match(r'"?sep=([,;\t])"?[ \t]*(?:\r\n?|\n)', text)
    if told:
        # Excel's own way of saying it. The line stays a line, and is blank.
        text = told[0].replace(told[0].rstrip("\r\n"), "") + text[told.end() :]
    delimiter = told[1] if told else delimiter or _delimiter(text, named)
    # newline="" keeps line ends inside quotes as they are, and takes LF, CRLF and CR alike as the end of a line.
    return Table(FileFormat(kind="csv", encoding=encoding, delimiter=delimiter), lambda: io.StringIO(text, newline=""))


# --------------------------------------------------------------------------------------------------------- the encoding

_NOT_CSV = {
    b"\xd0\xcf\x11\xe0": "an old Excel workbook, or one that is protected by a password",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF",
    b"{": "JSON",
    b"[": "JSON",
    b"<": "HTML or XML",
}
_UTF8 = b"\xef\xbb\xbf"
_UTF32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_LIKE_UTF8 = re.compile(rb"[\xc2-\xc5][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
"""Letters of Latin scripts, and what needs three bytes, as UTF-8 has them. Hardly a Windows-1252 text has these."""


def _text(data: bytes) -> tuple[str, str]:
    """The text and its encoding, or what the file looks like instead."""
    for start, what in _NOT_CSV.items():
        if data.removeprefix(_UTF8).lstrip().startswith(start):
            raise UnreadableFile("format", f"this is {what}, neither CSV nor .xlsx: save it as one of these")
    if data.startswith(_UTF32):
        raise UnreadableFile("encoding", "the file is UTF-32: save it as 'CSV UTF-8' and upload that")
    if utf16 := _utf16(data):
        try:
            text = data.decode(utf16)
        except UnicodeDecodeError as wrong:
            what = f"the file looks like UTF-16 and is broken (byte {wrong.start:,}): save it as 'CSV UTF-8'"
            raise UnreadableFile("encoding", what) from wrong
        _no_nul(text)
        return text.removeprefix("\ufeff"), "UTF-16"
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        # utf-8-sig counts from behind the byte order mark.
        return _windows(data, wrong.start + (3 if data.startswith(_UTF8) else 0)), "Windows-1252"
    _no_nul(text)
    return text, "UTF-8"


def _utf16(data: bytes) -> str | None:
    """The kind of UTF-16, by its byte order mark, or because every second byte of plain text is NUL."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    head = data[:200]
    first, second = head[::2].count(0), head[1::2].count(0)
    if len(head) < 4 or max(first, second) * 4 <= len(head):
        return None
    return "utf-16-be" if first > second else "utf-16-le"


def _no_nul(text: str) -> None:
    nul = text.find("\0")
    if nul >= 0:
        raise UnreadableFile("format", "holds a NUL byte, so this is not a text file", _line_at(text[:nul]))


def _windows(data: bytes, place: int) -> str:
    """A text that is not UTF-8 from `place` on, as Windows-1252, if nothing speaks against that."""
    if control := _CONTROLS.search(data):
        line = _line_at(data[: control.start()].decode("latin-1"))
        raise UnreadableFile("format", "holds control characters, so this is not a text file", line)
    line = _line_at(data[:place].decode("latin-1"))
    if data.startswith(_UTF8) or _LIKE_UTF8.search(data):
        what = f"the file is UTF-8 in part, and byte 0x{data[place]:02x} here is not: save it anew as 'CSV UTF-8'"
        raise UnreadableFile("encoding", what, line)
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError as wrong:
        what = f"byte 0x{data[wrong.start]:02x} is of no text that we know, neither UTF-8 nor Windows-1252"
        line = _line_at(data[: wrong.start].decode("latin-1"))
        raise UnreadableFile("encoding", f"{what}: save the file as 'CSV UTF-8' and upload that", line) from wrong


def _line_at(before: str) -> int:
    unified = before.replace("\r\n", "\n")
    return 1 + unified.count("\n") + unified.count("\r")


# ------------------------------------------------------------------------------------------------ lines and their cells


def _delimiter(text: str, named: Named) -> str:
    """The mark that parts a heading line into most headings; else the first lines into the same number of cells."""

    def fits(mark: str) -> tuple[int, int, int]:
        lines = _first_lines(text, mark)
        widths = Counter(len(cells) for cells in lines if len(cells) > 1)
        width, times = max(widths.items(), key=lambda each: each[::-1], default=(1, 0))
        return max((named(cells) for cells in lines[:SEARCHED]), default=0), times, width

    return max(DELIMITERS, key=fits)


def _first_lines(text: str, mark: str) -> list[list[str]]:
    """The first lines that are not blank, as far as they can be read with this mark."""
    lines: list[list[str]] = []
    with suppress(csv.Error):  # said where the lines are read
        for cells in csv.reader(io.StringIO(text[: MAX_CELL * 4], newline=""), delimiter=mark, strict=True):
            if filled(cells):
                lines.append(cells)
            if len(lines) == _SAMPLE:
                break
    return lines


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
