"""The bad rows of an uploaded file as a CSV: mend it and upload it again."""

import csv
import io
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

from intake.tables import FileFormat, filled, table_of

ERROR = "error"
"""The first column, so that rows with too few or too many cells do not shift it. An import ignores it."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # noqa: RUF001  # full-width forms too


def bad_rows(data: bytes, errors: Mapping[int, str], read_as: FileFormat | None = None) -> str:
    """The rows of a file that start on these lines, as they stood there, each behind what is wrong with it.

    Whatever the file was `read_as`, a CSV comes back. Without it the first line that is filled holds the headings.
    """
    text = io.StringIO()
    # Spreadsheets take a CSV for UTF-8 only when it starts with this mark; our import allows it.
    text.write("\ufeff")
    out = csv.writer(text, lineterminator="\r\n")
    old_error: int | None = None
    titles: list[str] | None = None
    table = table_of(data, delimiter=read_as.delimiter if read_as else None)
    heading = (read_as.heading_line if read_as else None) or 1
    for line, cells in table.lines():
        if not filled(cells) or line < heading:
            continue
        if titles is None:
            titles = cells
            names = [cell.strip().lower() for cell in cells]
            old_error = names.index(ERROR) if ERROR in names else None
            out.writerow([ERROR, *_without(cells, old_error)])
        elif line in errors:
            out.writerow([defused(cell) for cell in (errors[line], *_without(cells, old_error))])
    return text.getvalue()


def defused(cell: str) -> str:
    """The cell so that no spreadsheet takes it for a formula. Plain numbers stay: they are none."""
    if not cell.lstrip(" ").startswith(_FORMULA):
        return cell
    try:
        Decimal(cell)
    except InvalidOperation:
        return f"'{cell}"
    return cell


def _without(cells: Sequence[str], place: int | None) -> list[str]:
    """The cells without the error column of a file that we gave back before."""
    return [cell for number, cell in enumerate(cells) if number != place]
