"""The digest of one row, as the seals store it: see `store.audit.seals`."""

import hashlib
import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import String, Table

from store.audit.hashing import canonical

HINT = 4
"""Characters of each column's hint: for one in 65,536 edits the changed column is not named."""
DIGEST = 32
"""Characters of a row's digest (128 bits)."""


class Shape(NamedTuple):
    """A sealed table, with the columns whose values are hashed and their order."""

    table: Table
    raw: Table
    """The table without types, so that its columns are read as stored."""
    whole: Any
    """A row as one JSON text, built by SQLite: the driver and SQLAlchemy then handle one column only."""
    listed: Any
    """All columns as stored, in one expression: its cache key is computed for each statement."""
    names: tuple[str, ...]
    """Names of the sealed columns, in the order of the hints."""
    places: tuple[tuple[int, str, bool], ...]
    """Index, name and whether the column is a boolean, for each sealed column."""
    key: tuple[int, ...]
    """Indexes of the primary key columns."""
    case: int | None
    """Index of the column with the id of the row's case; None if the table is not in `OF_A_CASE`."""
    batch: int | None
    """Index of the column with the id of the row's upload; None if the table is not in `OF_AN_UPLOAD`."""
    parent: tuple[int, str] | None
    """Index of the column that refers to a row of a case, and the table of that row; None if the table is not in
    `PARENTS`."""


def key_of(shape: Shape, row: Sequence[Any]) -> str:
    """Return the key that a seal record uses for the row."""
    if len(shape.key) == 1 and isinstance(row[shape.key[0]], str):
        return str(row[shape.key[0]])
    return canonical([_plain(row[place]) for place in shape.key])


def row_of(shape: Shape, key: str) -> list[Any]:
    """Return a row that has only the values of this key, which `key_of` made."""
    columns = list(shape.table.c)
    one_text = len(shape.key) == 1 and isinstance(columns[shape.key[0]].type, String)
    row: list[Any] = [None] * len(columns)
    for place, value in zip(shape.key, [key] if one_text else json.loads(key), strict=True):
        row[place] = value
    return row


def seal_of(shape: Shape, row: Sequence[Any], salt: str) -> str:
    """Return the digest and the hints of a row, as a seal record stores them.

    A column that is null counts as a missing column.
    """
    parts: list[str] = []
    hints: list[str] = []
    start = zlib.crc32(salt.encode())
    for place, name, boolean in shape.places:
        value = row[place]
        if value is None:
            hints.append("----")
            continue
        part = _part(value, boolean)
        parts += (name, part)
        hints.append(f"{zlib.crc32(part.encode('utf-8', 'surrogatepass'), start) & 65535:04x}")
    said = json.dumps([shape.table.name, *parts])
    return hashlib.sha256((salt + said).encode()).hexdigest()[:DIGEST] + "".join(hints)


def differing(shape: Shape, sealed: str, found: str) -> list[str]:
    """Return the names of the columns whose values differ from their seal.

    The list is empty if the hints do not show which column differs, or if the table had more or fewer columns when the
    row was sealed.
    """
    if len(sealed) != len(found):
        return []
    before, now = sealed[DIGEST:], found[DIGEST:]
    pairs = zip(shape.names, range(0, len(before), HINT), strict=True)
    return [name for name, at in pairs if before[at : at + HINT] != now[at : at + HINT]]


def _part(value: Any, boolean: bool) -> str:
    """Return the text of a value together with its type, because SQLite can store any type in any column."""
    if isinstance(value, str):
        return "s" + value
    if isinstance(value, int):
        # SQLite has no booleans.
        return f"b{int(value)}" if isinstance(value, bool) or (boolean and value in (0, 1)) else f"i{value}"
    if isinstance(value, datetime):  # as SQLite stores it
        return "s" + value.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
    if isinstance(value, bytes | memoryview):
        return "x" + bytes(value).hex()
    if isinstance(value, dict | list):  # JSON, as PostgreSQL's driver returns it
        return "j" + canonical(value)
    return f"{type(value).__name__} {value!r}"


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int) and not isinstance(value, bool) else _part(value, False)
