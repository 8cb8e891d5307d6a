"""Seal rows that were there before: of a database without seals, and rows that a migration writes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, select

from store.audit.seals import SHAPES, Left, sealed_rows, sequence_now, write_listed
from store.audit.sequencing import runner_of, sequence_listed
from store.tables.audit import seals

_MANY = 500
"""Rows in one record."""


def baseline(conn: Connection) -> int:
    """Seal all rows of a database that has no seals yet, and return their number; 0 if the database has seals.

    From then on the present content of the rows counts as correct. A later migration that changes rows, or adds a
    column that is not null, must call `seal_rows` for these rows.
    """
    if conn.execute(select(seals.c.number).limit(1)).first():
        return 0
    count = 0
    for shape in SHAPES.values():
        for rows in _chunks(conn.execute(select(*shape.raw.c))):
            seal_rows(conn, [Left(shape, row) for row in rows])
            count += len(rows)
    return count


def seal_rows(conn: Connection, written: Iterable[Left]) -> None:
    """Seal rows that a migration wrote, in the transaction of the migration."""
    run, new = runner_of(conn), sealed_rows(written)
    if conn.dialect.name == "sqlite":
        sequence_now(run, new, [])
    else:
        write_listed(conn, new)
        sequence_listed(run)


def _chunks(result: Any) -> Iterator[Sequence[Any]]:
    while rows := result.fetchmany(_MANY):
        yield rows
