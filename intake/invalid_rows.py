"""Write the invalid rows of an uploaded file as a CSV that can be corrected and uploaded again."""

import csv
import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from intake.csv_output import BOM, defused
from intake.masked_columns import MaskedColumns
from intake.tables.open_table import table_of
from intake.tables.table import FileFormat, filled

ERROR = "error"
"""The heading of the column with the errors.

This column is the first one, so that cells of rows with too few or too many cells stay under their headings. An import
ignores this column.
"""


def bad_rows(
    data: bytes,
    errors: Mapping[int, str],
    read_as: Mapping[str, Any] = MappingProxyType({}),
    columns: MaskedColumns | None = None,
) -> str:
    """Return the rows that start on these lines as CSV, each with its error in the first column.

    `errors` has the errors by line. The result is CSV for any kind of file. `read_as` is the stored FileFormat of the
    file, with the line of the headings. `columns` says which cells are masked; None if none are.
    """
    text = io.StringIO()
    text.write(BOM)
    out = csv.writer(text, lineterminator="\r\n")
    old_error: int | None = None
    titles: list[str] | None = None
    table = table_of(data, opening=FileFormat.model_validate({"kind": "csv", **read_as}).opening)
    heading = read_as.get("heading_line") or 1
    for line, cells in table.lines():
        if not filled(cells) or line < heading:
            continue
        if titles is None:
            titles = cells
            names = [cell.strip().lower() for cell in cells]
            old_error = names.index(ERROR) if ERROR in names else None
            out.writerow([ERROR, *(defused(cell) for cell in _without(cells, old_error))])
        elif line in errors:
            shown = columns.cells(titles, cells) if columns else cells
            out.writerow([defused(cell) for cell in (errors[line], *_without(shown, old_error))])
    return text.getvalue()


def _without(cells: Sequence[str], place: int | None) -> list[str]:
    """Return the cells without the error column of an earlier file of invalid rows."""
    return [cell for number, cell in enumerate(cells) if number != place]
