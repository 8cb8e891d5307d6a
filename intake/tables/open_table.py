"""Turn bytes into lines of cells: CSV in any dialect and encoding, or a workbook.

The functions are pure and know neither fields nor headings. `FileFormat` reports what was detected. After a misplaced
quote the ends of rows are unknown, and no payment must be read from the middle of a text: such a file is refused as a
whole.
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
"""How many lines that are not blank are read to find the delimiter."""

Named = Callable[[list[str]], int]
"""A function that returns how many cells of a line are known headings."""

_AS_IT_IS = Opening()


def table_of(data: bytes, named: Named = len, opening: Opening = _AS_IT_IS) -> Table:
    """Return the table in a file.

    Choices that `opening` leaves open are made so that `named` counts as many headings as possible.

    Raises UnreadableFile; for problems in lines of a CSV, `Table.lines` raises UnreadableFile later.
    """
    if not data.strip(b"\xef\xbb\xbf \t\r\n"):
        raise UnreadableFile("empty", "the file is empty: upload a file with headings and rows")
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _workbook(data, named, opening)
    text, encoding, doubt = text_of(data, opening.encoding)
    if not text.strip("\ufeff \t\r\n"):
        raise UnreadableFile("empty", "the file is empty: upload a file with headings and rows")
    delimiter = opening.delimiter
    if told := _TOLD.match(text):
        # Excel's own way to declare the delimiter. The line stays as a blank line.
        delimiter, text = told[1], text[told.end() :]
    delimiter = delimiter or _delimiter(text, named)
    # newline="" keeps line ends inside quotes, and accepts LF, CRLF and CR as line ends.
    return Table(
        FileFormat(kind="csv", encoding=encoding, delimiter=delimiter),
        lambda: io.StringIO(text, newline=""),
        notes=(doubt,) if doubt else (),
    )


# ----------------------------------------------------------------------------------------------------------- workbooks


def _workbook(data: bytes, named: Named, opening: Opening) -> Table:
    from intake.tables.xlsx_file import Workbook  # few uploads need it

    book = Workbook(data)
    chosen = _named_sheet(book, opening.sheet) if opening.sheet else _likeliest_sheet(book, named, opening)
    found = book.rows(chosen, hidden=opening.hidden == "read")
    if not any(found.rows):
        raise UnreadableFile("empty", f"the sheet '{chosen.name}' is empty: choose another sheet, or add rows")
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
    raise WrongChoice("sheet", f"the workbook has no sheet '{name.strip()[:100]}'. Choose one of: {listed}")


def _likeliest_sheet(book: "Workbook", named: Named, opening: Opening) -> "SheetInfo":
    """Return the first sheet that has at least two thirds as many known headings as the best one.

    So a cover sheet before the table, which has few known headings, is not chosen.
    """
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
        raise UnreadableFile(
            "empty", "the workbook has no sheet with content, or all its rows are hidden: add rows, or show the rows"
        )
    best = max(scores.values())
    return book.sheets[next(number for number, score in scores.items() if score * 3 >= best * 2)]


# ------------------------------------------------------------------------------------------------ lines and their cells


_TOLD = re.compile(r'"?sep=([,;\t])"?[ \t]{0,20}(?=[\r\n]|\Z)')


def _delimiter(text: str, named: Named) -> str:
    """Return the delimiter that yields most known headings; without any, the delimiter that splits lines evenly."""

    def fits(mark: str) -> tuple[int, int, int]:
        lines = _first_lines(text, mark)
        widths = Counter(len(cells) for cells in lines if len(cells) > 1)
        width, times = max(widths.items(), key=lambda each: each[::-1], default=(1, 0))
        return max((named(cells) for cells in lines[:SEARCHED]), default=0), times, width

    return max(DELIMITERS, key=fits)


def _first_lines(text: str, mark: str) -> list[list[str]]:
    """Return the first 40 lines that are not blank, but only up to the first line that cannot be read with this
    delimiter.
    """
    lines: list[list[str]] = []
    with suppress(csv.Error):  # reported when the lines are read
        for cells in csv.reader(io.StringIO(text[: MAX_CELL * 4], newline=""), delimiter=mark, strict=True):
            if filled(cells):
                lines.append(cells)
            if len(lines) == _SAMPLE:
                break
    return lines
