"""Read a sheet in one pass: values, formats, hidden rows and columns, error cells and merged cells.

The pass stops at the first cell beyond a limit.
"""

import csv
import re
from collections import defaultdict
from dataclasses import dataclass, field

from intake.tables.number_formats import Format, general
from intake.tables.table import SEARCHED, filled
from intake.tables.xlsx_package import too_large
from intake.tables.xlsx_parts import YES, EnoughRead, LocalNames, parse_part, unescaped

MAX_COLUMNS = 200
MAX_ROWS = 100_001
"""The maximum number of rows of a sheet, including the headings."""
MAX_CELLS = 5_000_000
"""The maximum number of cells of a sheet, filled or not, from the first to the last."""
MAX_TEXT = 200 * 1024 * 1024
"""The maximum number of characters in all cells.

A long text that many cells share is stored once in the file, but many times in memory.
"""
MAX_FLAWS = 100_000
"""The maximum number of cells that cannot be read."""
NAMED = 3
"""The maximum number of cells of a column that a note names."""
MAX_MERGED = 1_000_000
"""The maximum number of rows over which merged cells go, added for all merged cells of a sheet."""


@dataclass
class SheetRows:
    """The content of a sheet. The fields have the same meaning as those of `Table`."""

    rows: list[str] = field(default_factory=list)
    hidden: dict[int, str] = field(default_factory=dict)
    flaws: dict[int, dict[int, str]] = field(default_factory=dict)
    rounded: dict[int, list[str]] = field(default_factory=dict)
    unseen: dict[int, dict[int, str]] = field(default_factory=dict)


def cell_name(line: int, place: int) -> str:
    """Return the name of a cell in spreadsheets, such as B7."""
    letters, number = "", place + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return f"{letters}{line}"


_PLACE = re.compile(r"\$?([A-Za-z]{1,4})\$?([0-9]{1,9})")
_RANGE = re.compile(r"\$?([A-Za-z]{1,3})\$?([0-9]{1,7}):\$?([A-Za-z]{1,3})\$?([0-9]{1,7})")
_FORMULA_SHOWN = 60


def _column(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number


class SheetReader:
    """Handlers of the XML parser for one pass over a sheet. The code must be fast, because it runs for every cell."""

    def __init__(self, texts: list[str], formats: list[Format], *, hidden: bool, count: int | None = None) -> None:
        self._texts, self._formats, self._hidden_too, self._count = texts, formats, hidden, count
        self._found = SheetRows()
        self._local = LocalNames()
        self._columns: dict[str, int] = {}
        self._by_style: dict[str, Format] = {}
        self._hidden_columns: set[int] = set()
        self._merged: list[tuple[int, int, int, int, str]] = []
        self._in_data = self._in_row = False
        self._reading: list[str] | None = None
        self._line = self._place = self._width = self._widest = self._characters = self._flaws = 0
        self._row: list[str] = []
        self._suffix, self._numbered = "", False
        self._heads: list[list[str]] = []
        self._lines = 0
        """How many rows that are not blank were read."""
        self._filtered = self._row_hidden = self._aside = False
        self._type = self._style = ""
        self._value: list[str] = []
        self._formula: list[str] = []
        self._has_value = self._has_formula = False
        self._write = csv.writer(_Lines(self._found.rows), lineterminator="\r\n").writerow

    def head(self, part: bytes) -> list[list[str]]:
        parse_part(part, self._start, self._end, self._text)
        return self._heads

    def read(self, part: bytes) -> SheetRows:
        parse_part(part, self._start, self._end, self._text)
        if self._filtered:
            self._found.hidden = dict.fromkeys(self._found.hidden, "hidden by a filter of the workbook")
        self._tell_merged()
        return self._found

    def _start(self, name: str, about: dict[str, str]) -> None:
        local = self._local[name]
        if local == "c":
            if self._in_row:
                self._begin_cell(about)
        elif local == "v":
            self._reading = self._value
            self._has_value = True
        elif local == "row":
            if self._in_data:
                self._begin_row(about)
        elif local == "t":
            if not self._aside:
                self._reading = self._value
                self._has_value = True
        elif local == "f":
            self._reading = self._formula
            self._has_formula = True
        elif local == "rPh":
            self._aside = True
        elif local == "sheetData":
            self._in_data = True
        elif local == "col":
            self._column_of(about)
        elif local == "filterColumn":
            self._filtered = True
        elif local == "mergeCell":
            self._merge(about.get("ref", ""))

    def _text(self, text: str) -> None:
        if self._reading is not None:
            self._reading.append(text)

    def _end(self, name: str) -> None:
        local = self._local[name]
        if local == "c":
            if self._in_row:
                self._end_cell()
        elif local in ("v", "t", "f"):
            self._reading = None
        elif local == "row":
            if self._in_row:
                self._end_row()
        elif local == "rPh":
            self._aside = False
        elif local == "sheetData":
            self._in_data = False

    def _column_of(self, about: dict[str, str]) -> None:
        if self._hidden_too or not (about.get("hidden") in YES or about.get("width") == "0"):
            return
        first, last = int(about.get("min", 1)), int(about.get("max", 1))
        self._hidden_columns.update(range(first - 1, min(last, MAX_COLUMNS)))

    def _begin_row(self, about: dict[str, str]) -> None:
        number = about.get("r")
        self._go_to(int(number) if number else self._line + 1)
        self._place, self._row, self._in_row, self._numbered = -1, [], True, number is not None
        height = about.get("ht")
        self._row_hidden = about.get("hidden") in YES or (height is not None and float(height) == 0)

    def _go_to(self, line: int) -> None:
        if line <= self._line:
            raise ValueError(f"row {line:,} occurs twice or out of order")
        if line > MAX_ROWS:
            too_large(f"the sheet has cells down to row {line:,}, and at most {MAX_ROWS:,} rows are read")
        self._found.rows.extend("" for _ in range(line - self._line - 1))
        self._line, self._suffix = line, str(line)

    def _begin_cell(self, about: dict[str, str]) -> None:
        place = about.get("r")
        if place is None:
            self._place += 1
        else:
            if not place.endswith(self._suffix) or place[-len(self._suffix) - 1 : -len(self._suffix)].isdigit():
                self._of_another_row(place)
            letters = place[: -len(self._suffix)]
            column = self._columns.get(letters)
            if column is None:
                found = _PLACE.fullmatch(place)
                if found is None:
                    raise ValueError(f"a cell has the invalid address {place[:20]}")
                column = self._columns[letters] = _column(found[1]) - 1
            if column <= self._place:
                raise ValueError(f"cell {cell_name(self._line, column)} occurs twice or out of order")
            self._place = column
        if self._place >= MAX_COLUMNS:
            too_large(f"the sheet has {self._place + 1:,} columns, and at most {MAX_COLUMNS} are read")
        self._type, self._style = about.get("t", "n"), about.get("s", "")
        self._value.clear()
        self._formula.clear()
        self._has_value = self._has_formula = False

    def _of_another_row(self, place: str) -> None:
        """If a row has no number, use the number of the row that its first cell names.

        Raises ValueError if the cell names another row.
        """
        found = _PLACE.fullmatch(place)
        if found is None or self._numbered or self._place >= 0:
            raise ValueError(f"cell {place[:20]} is in row {self._line:,}")
        self._line -= 1
        self._go_to(int(found[2]))

    def _end_cell(self) -> None:
        value = "".join(self._value) if len(self._value) != 1 else self._value[0]
        kind = self._type
        if kind == "n":
            text = self._number(value.strip()) if value else ""
        elif kind == "s":
            try:
                text = self._texts[int(value)] if value else ""
            except (IndexError, ValueError):
                raise ValueError(
                    f"cell {cell_name(self._line, self._place)} refers to a text that is missing"
                ) from None
        elif kind in ("inlineStr", "str"):
            text = unescaped(value)
        elif kind == "b":
            text = "true" if value in YES else "false"
        elif kind == "e":
            text = value.strip() or "#ERROR!"
            self._flaw(f"holds the error {text[:20]}")
        elif kind == "d":
            text = value.removesuffix("T00:00:00").replace("T", " ")
        else:
            raise ValueError(f"{cell_name(self._line, self._place)} is of an unknown kind")
        if self._has_formula and not value and kind != "str":
            text = f"={''.join(self._formula)[:_FORMULA_SHOWN]}"
            self._flaw("contains a formula without a result: open the workbook in a spreadsheet and save the workbook")
        if not text:
            return
        self._characters += len(text)
        if self._characters > MAX_TEXT:
            too_large(f"the cells of the sheet hold more than {MAX_TEXT // 1024**2} MB of text")
        row = self._row
        if self._place > len(row):
            row.extend([""] * (self._place - len(row)))
        row.append(text)

    def _number(self, digits: str) -> str:
        style = self._style
        shown_by = self._by_style.get(style)
        if shown_by is None:
            number = int(style) if style else 0
            shown_by = self._formats[number] if style and 0 <= number < len(self._formats) else general
            self._by_style[style] = shown_by
        shown = shown_by(digits)
        if isinstance(shown, str):
            return shown
        if shown.flaw:
            self._flaw(shown.flaw)
        elif shown.rounded and len(cells := self._found.rounded.setdefault(self._place, [])) <= NAMED:
            cells.append(cell_name(self._line, self._place))
        return shown.text

    def _flaw(self, why: str) -> None:
        self._flaws += 1
        if self._flaws > MAX_FLAWS:
            too_large(f"more than {MAX_FLAWS:,} cells of the sheet cannot be read")
        said = f"the cell {cell_name(self._line, self._place)} {why}"
        self._found.flaws.setdefault(self._line, {})[self._place] = said

    def _end_row(self) -> None:
        self._in_row = False
        row, line = self._row, self._line
        # A row with only wide empty cells needs as much memory as a full one.
        self._width = max(self._width, self._place + 1)
        if self._width * line > MAX_CELLS:
            too_large(f"the sheet spans {self._width * line:,} cells, and at most {MAX_CELLS:,} are read")
        if self._hidden_columns and row:
            self._leave_out(row, line)
        if not filled(row):
            self._found.rows.append("")
            return
        if self._row_hidden and not self._hidden_too:
            self._found.hidden[line] = "hidden in the workbook"
        else:
            self._lines += 1
            if self._count is not None:
                self._heads.append(row)
                if self._lines >= self._count:
                    raise EnoughRead
        if len(row) < self._widest:
            row.extend([""] * (self._widest - len(row)))
        self._widest = len(row)
        self._write(row)

    def _leave_out(self, row: list[str], line: int) -> None:
        unseen = {place: row[place] for place in self._hidden_columns if place < len(row) and row[place].strip()}
        for place in unseen:
            row[place] = ""
            if line in self._found.flaws:
                self._found.flaws[line].pop(place, None)
        if unseen and self._lines <= SEARCHED:
            self._found.unseen[line] = unseen

    def _merge(self, ref: str) -> None:
        if found := _RANGE.fullmatch(ref):
            first, top, last, bottom = _column(found[1]), int(found[2]), _column(found[3]), int(found[4])
            self._merged.append((top, bottom, first - 1, min(last, MAX_COLUMNS) - 1, ref))

    def _tell_merged(self) -> None:
        """Mark cells of merged ranges that have no value of their own as unreadable.

        A value for several rows counts for the first row only.
        """
        goes_over = 0
        at: dict[int, list[tuple[int, int, str]]] = defaultdict(list)
        for top, bottom, first, last, ref in self._merged:
            bottom = min(bottom, len(self._found.rows))
            goes_over += max(0, bottom - top + 1)
            if goes_over > MAX_MERGED:
                too_large(f"merged cells of the sheet go over more than {MAX_MERGED:,} rows")
            for line in range(top, bottom + 1):
                at[line].append((first + 1 if line == top else first, last, ref))
        for line, ranges in at.items():
            if not self._found.rows[line - 1]:
                continue
            self._line = line
            for first, last, ref in ranges:
                for self._place in range(first, last + 1):
                    self._flaw(f"is part of the merged cells {ref}, which have one value: unmerge the cells")


class _Lines:
    """A file object to which the csv module writes whole lines. The object keeps the lines in a list."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append
