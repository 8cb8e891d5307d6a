"""The bad rows of an uploaded file as a CSV: mend it and upload it again."""

import csv
import io
from collections.abc import Mapping, Sequence

from intake.csv_out import BOM, defused

ERROR = "error"
"""The first column, so that rows with too few or too many cells do not shift it. An import ignores it."""


def bad_rows(data: bytes, errors: Mapping[int, str]) -> str:
    """The rows of a file that start on these lines, as they stood there, each behind what is wrong with it."""
    text = io.StringIO()
    text.write(BOM)
    out = csv.writer(text, lineterminator="\r\n")
    reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    old_error: int | None = None
    heading = True
    while True:
        line = reader.line_num + 1
        cells = next(reader, None)
        if cells is None:
            return text.getvalue()
        if not any(cell.strip() for cell in cells):
            continue
        if heading:
            names = [cell.strip().lower() for cell in cells]
            old_error = names.index(ERROR) if ERROR in names else None
            out.writerow([ERROR, *(defused(cell) for cell in _without(cells, old_error))])
            heading = False
        elif line in errors:
            out.writerow([defused(cell) for cell in (errors[line], *_without(cells, old_error))])


def _without(cells: Sequence[str], place: int | None) -> list[str]:
    """The cells without the error column of a file that we gave back before."""
    return [cell for number, cell in enumerate(cells) if number != place]
