"""Bytes to lines of cells, whatever a person's program made of them: CSV in its dialects and encodings, or a workbook.

Pure: knows no fields and no headings. What was detected is told in a `FileFormat`, so that nobody has to guess what we
guessed. After a misplaced quote nobody knows where a row ends, and a payment must not be read out of the middle of
somebody's memo: such a file is refused as a whole.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from intake.tables.table import (
    DELIMITERS,
    MAX_CELL,
    SEARCHED,
    FileFormat as FileFormat,
    Opening,
    Table,
    UnreadableFile as UnreadableFile,
    WrongChoice,
    filled,
)
from intake.tables.text_encoding import text_of

if TYPE_CHECKING:
    from intake.tables.xlsx_file import SheetInfo, Workbook

_SAMPLE = 40
"""Lines that are not blank by which the delimiter is found."""

Named = Callable[[list[str]], int]
"""How many of a line's cells are headings that somebody knows."""

_AS_IT_IS = Opening()


def table_of(data: bytes, named: Named = len, opening: Opening = _AS_IT_IS) -> Table:
    """The table in a file. What `opening` leaves open is found so that most cells of a heading line are `named`.

    Raises UnreadableFile; for what is wrong with lines of a CSV, `Table.lines` does.
    """
    if not data.strip(b"\xef\xbb\xbf \t\r\n"):
        raise UnreadableFile("empty", "the file is empty")
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _workbook(data, named, opening)
    text, encoding, doubt = text_of(data, opening.encoding)
    if not text.strip("\ufeff \t\r\n"):
        raise UnreadableFile("empty", "the file is empty")
    delimiter = opening.delimiter
    if told := _TOLD.match(text):
        # Excel's own way of saying it. The line stays a line, and is blank.
        delimiter, text = told[1], text[told.end() :]
    delimiter = delimiter or _delimiter(text, named)
    # newline="" keeps line ends inside quotes as they are, and takes LF, CRLF and CR alike as the end of a line.
    return Table(
        FileFormat(kind="csv", encoding=encoding, delimiter=delimiter),
        lambda: io.StringIO(text, newline=""),
        notes=(doubt,) if doubt else (),
    )


# ----------------------------------------------------------------------------------------------------------- workbooks


def _workbook(data: bytes, named: Named, opening: Opening) -> Table:
    from intake.tables.xlsx_file import Workbook  # of use to few uploads

    book = Workbook(data)
    chosen = _named_sheet(book, opening.sheet) if opening.sheet else _likeliest_sheet(book, named, opening)
    found = book.rows(chosen, hidden=opening.hidden == "read")
    if not any(found.rows):
        raise UnreadableFile("empty", f"the sheet '{chosen.name}' is empty")
    names = tuple(sheet.name for sheet in book.sheets)
    read_as = FileFormat(
        kind="xlsx",
        sheet=chosen.name,
        ignored_sheets=tuple(name for name in names if name != chosen.name),
        hidden=opening.hidden,
    )
    notes = (f"the sheet '{chosen.name}' is hidden in the workbook and is read",) if chosen.hidden else ()
    return Table(
        read_as,
        lambda: found.rows,
        hidden=found.hidden,
        flaws=found.flaws,
        rounded=found.rounded,
        unseen=found.unseen,
        sheets=names,
        notes=notes,
    )


def _named_sheet(book: "Workbook", name: str) -> "SheetInfo":
    wanted = name.strip().casefold()
    for sheet in book.sheets:
        if sheet.name.strip().casefold() == wanted:
            return sheet
    listed = ", ".join(f"'{sheet.name}'" for sheet in book.sheets[:30])
    raise WrongChoice("sheet", f"the workbook has no sheet '{name.strip()[:100]}'; there are {listed or 'none'}")


def _likeliest_sheet(book: "Workbook", named: Named, opening: Opening) -> "SheetInfo":
    """The first sheet with about as many headings as any: a cover sheet stands before the table, and has few."""
    scores: dict[int, int] = {}
    unseen = []
    for number, sheet in enumerate(book.sheets):
        lines = book.head(sheet, hidden=opening.hidden == "read")
        if lines and sheet.hidden and opening.hidden != "read":
            unseen.append(f"'{sheet.name}'")
        elif lines:
            scores[number] = max(named(line) for line in lines)
    if not scores:
        if unseen:
            hint = "show it in the spreadsheet, or name it as the sheet"
            raise UnreadableFile("empty", f"only hidden sheets have content: {', '.join(unseen[:30])}; {hint}")
        raise UnreadableFile("empty", "the workbook has no sheet with content, or all its rows are hidden")
    best = max(scores.values())
    return book.sheets[next(number for number, score in scores.items() if score * 3 >= best * 2)]


# ------------------------------------------------------------------------------------------------ lines and their cells


_TOLD = re.compile(r'"?sep=([,;\t])"?[ \t]{0,20}(?=[\r\n]|\Z)')


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
