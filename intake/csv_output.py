"""CSV as it leaves the house: RFC 4180, readable by spreadsheets, and nothing in it that one would run."""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

MEDIA_TYPE = "text/csv"
BOM = "\ufeff"
"""Spreadsheets take a CSV for UTF-8 only when it starts with this mark; our import allows it."""

_SIGNS = frozenset("=+-@")
_UNSEEN = frozenset("CZ")
"""Categories of characters that spreadsheets may skip before a formula: controls, formats, blanks of all kinds."""
_NUMBER = re.compile(r"[+-]?(?:[0-9][0-9.,]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def defused(cell: str) -> str:
    """The cell so that no spreadsheet takes it for a formula. Plain numbers stay: they are none."""
    if not cell or _NUMBER.fullmatch(cell.strip(" ")):
        return cell
    seen = next((char for char in cell if unicodedata.category(char)[0] not in _UNSEEN), "")
    # NFKC makes ordinary signs of full-width, small and raised ones, which some spreadsheets read alike.
    risky = unicodedata.normalize("NFKC", seen) in _SIGNS or cell[0] in "\t\r\n"
    return f"'{cell}" if risky else cell


def record(cells: Iterable[Any]) -> str:
    """One record of JSON values. Texts are defused, numbers stay numbers, None is empty."""
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
            return defused("; ".join(value))  # as our import reads lists of names
        case _:
            return defused(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
