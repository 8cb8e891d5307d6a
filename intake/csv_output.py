"""Write CSV for people: RFC 4180, readable by spreadsheets, and no cell that a spreadsheet runs as a formula."""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

MEDIA_TYPE = "text/csv"
BOM = "\ufeff"
"""The byte order mark at the start of a CSV.

Spreadsheets need this mark to read the CSV as UTF-8; an import ignores it.
"""

_SIGNS = frozenset("=+-@")
_UNSEEN = frozenset("CZ")
"""Unicode categories of characters that a spreadsheet may ignore before a formula: controls, formats and blanks."""
_NUMBER = re.compile(r"[+-]?(?:[0-9][0-9.,]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def defused(cell: str) -> str:
    """Return the text of a cell in a form that no spreadsheet runs as a formula. Return plain numbers unchanged."""
    if not cell or _NUMBER.fullmatch(cell.strip(" ")):
        return cell
    seen = next((char for char in cell if unicodedata.category(char)[0] not in _UNSEEN), "")
    # NFKC turns full-width, small and raised signs into ordinary ones: some spreadsheets read both alike.
    risky = unicodedata.normalize("NFKC", seen) in _SIGNS or cell[0] in "\t\r\n"
    return f"'{cell}" if risky else cell


def record(cells: Iterable[Any]) -> str:
    """Return one record of JSON values as CSV: texts without formulas, numbers as numbers, None as an empty cell."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([_cell(value) for value in cells])
    return line.getvalue()


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case str():
            return defused(value)
        case list() if all(isinstance(each, str) and not re.search("[,;]", each) for each in value):
            return defused("; ".join(value))  # the form in which an import reads lists of names
        case _:
            return defused(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
