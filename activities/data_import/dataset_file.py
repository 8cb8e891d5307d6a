"""Read a file of data row by row, convert each row to the types of its schema, and validate it.

The functions block, so call them in a thread. For an invalid file the functions raise Refused. The message names line
and column of each error, up to 20 errors (`MAX_PROBLEMS`).
"""

import csv
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from activities.data_import.row_schema import MAX_SCHEMA_BYTES, Row, Schema
from activities.shared.files_folder import Folder
from domain import strict_json
from domain.errors import Refused

MAX_BYTES = 50 * 1024 * 1024
MAX_ROWS = 100_000
MAX_COLUMNS = 200
MAX_LINE = 256 * 1024
"""Maximum number of characters of one line."""
MAX_PROBLEMS = 20
"""Maximum number of errors in a message, so that a person can correct several at once."""


class DatasetFile:
    """The data file and the schema file of one import."""

    def __init__(self, folder: Folder, file: str, schema_file: str) -> None:
        self._folder, self.file = folder, file
        with folder.open(schema_file, MAX_SCHEMA_BYTES) as schema:
            text = schema.read(MAX_SCHEMA_BYTES)
        self.schema = Schema(text)
        self.schema_sha256 = hashlib.sha256(text).hexdigest()
        self.sha256 = ""
        """The SHA-256 of the file, set after the whole file was read."""

    def rows(self) -> Iterator[Row]:
        """Yield all rows. Raises Refused for an invalid file, at the latest after the last row."""
        problems: list[str] = []
        count = 0
        with self._opened() as file:
            read = _csv if self.file.lower().endswith(".csv") else _json_lines
            for line, row in read(file, self.schema):
                count += 1
                if count > MAX_ROWS:
                    raise Refused(f"'{self.file}' has more than {MAX_ROWS:,} rows: split the file.")
                problems += [f"line {line}, {said}" for said in self.schema.problems(row)]
                if len(problems) >= MAX_PROBLEMS:
                    break
                if not problems:
                    yield row
        if problems:
            more = ", and perhaps more" if len(problems) >= MAX_PROBLEMS else ""
            raise Refused(f"'{self.file}' does not fit its schema: {'; '.join(problems[:MAX_PROBLEMS])}{more}.")
        if not count:
            raise Refused(f"'{self.file}' has no rows. Add rows and submit again.")

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """Compute the hash of the file, then yield the content of the file, open for reading at its beginning.

        The bytes that are read are those that were hashed.
        """
        with self._folder.open(self.file, MAX_BYTES) as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise Refused(f"'{self.file}' has more than {MAX_BYTES:,} bytes: split the file.")
        self.sha256 = hashlib.sha256(content).hexdigest()
        yield io.BytesIO(content)


def _lines(file: BinaryIO) -> Iterator[str]:
    try:
        for number, line in enumerate(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), 1):
            if len(line) > MAX_LINE:
                raise Refused(
                    f"Line {number} has more than {MAX_LINE:,} characters. Shorten the line and submit again."
                )
            if "\0" in line:
                raise Refused(
                    f"Line {number} holds a NUL character, so the file is not text. "
                    "Remove the character and submit again."
                )
            yield line
    except UnicodeDecodeError:
        raise Refused("The file is not UTF-8. Save the file as UTF-8 and submit again.") from None


def _csv(file: BinaryIO, schema: Schema) -> Iterator[tuple[int, Row]]:
    reader = csv.reader(_lines(file), strict=True)
    try:
        heads = [head.strip() for head in next(reader, [])]
        if not heads:
            raise Refused(
                "The file or its first line is empty. Name a file that begins with its headings and submit again."
            )
        if len(heads) > MAX_COLUMNS:
            raise Refused(
                f"The file has {len(heads)} columns; at most {MAX_COLUMNS} are allowed. Remove columns and submit "
                "again."
            )
        twice = sorted({head for head in heads if heads.count(head) > 1})
        if twice or "" in heads:
            raise Refused(
                f"Each column needs a heading of its own: {', '.join(twice) or 'one is blank'}. Correct the headings "
                "and submit again."
            )
        if missing := [name for name in schema.required if name not in heads]:
            raise Refused(
                f"These columns are missing: {', '.join(missing)}. Found: {', '.join(heads)[:500]}. Add the missing "
                "columns and submit again."
            )
        while True:
            line = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return
            if not any(cells):
                continue
            if len(cells) != len(heads):
                raise Refused(
                    f"Line {line} has {len(cells)} cells, and there are {len(heads)} columns. Correct the line and "
                    "submit again."
                )
            converted = {head: schema.converted(head, cell) for head, cell in zip(heads, cells, strict=True)}
            yield (
                line,
                {name: value for name, value in converted.items() if value is not None or _nullable(schema, name)},
            )
    except csv.Error as wrong:
        raise Refused(f"Line {reader.line_num}: {wrong}. Correct the line and submit again.") from None


def _nullable(schema: Schema, column: str) -> bool:
    return "null" in schema.kinds.get(column, [])


def _json_lines(file: BinaryIO, _schema: Schema) -> Iterator[tuple[int, Row]]:
    for line, text in enumerate(_lines(file), 1):
        if not text.strip():
            continue
        try:
            row = strict_json.loads(text)
        except (ValueError, RecursionError) as wrong:
            raise Refused(f"Line {line} cannot be read: {wrong}. Correct the line and submit again.") from None
        if not isinstance(row, dict):
            raise Refused(f"Line {line} does not hold a row: write each row in braces, and submit again.")
        if len(row) > MAX_COLUMNS:
            raise Refused(
                f"Line {line} has {len(row)} fields; at most {MAX_COLUMNS} are allowed. Remove fields and submit again."
            )
        yield line, row
