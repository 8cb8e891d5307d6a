"""The result of a verification, and the names it uses for events and rows."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Column, literal_column

from domain.case import ChainHead
from store.db.connection import AsyncConnection

Told = Callable[[int, int], None]
"""A function that is called with the last position checked, and the newest position of the audit log."""
ROWS_AT_ONCE = 1000
"""The number of rows that are read at once."""
_TURN = 50
"""Rows checked before other tasks of this process may run."""


class Verification(BaseModel):
    """The result of a verification.

    If `problems` is empty, the check found no row, event or file that was edited, removed, inserted or moved.
    """

    problems: list[str]
    """Sentences that name the event, the row, the case or the positions."""
    events: int
    cases: int
    erased: int
    """Events with an erased payload; their positions and envelopes are still proven."""
    erased_rows: int = 0
    """Rows that erasures emptied or deleted, by their events."""
    erased_proofs: int = 0
    """Signed messages whose text and signature were erased."""
    erased_seals: int = 0
    """Seals that were erased; their places in the chain of seals are still proven."""
    erased_files: int = 0
    unsequenced: int = 0
    """Events and seals that have no position in their global order yet. Such events and seals are no problem in
    themselves.
    """
    oldest_unsequenced_s: float = 0.0
    """How many seconds ago the oldest event or seal without a position was written; 0 if all have positions."""
    checkpoints: int = 0
    """How many signed checkpoints the audit log was compared with; 0 for one case."""
    newest_checkpoint: int = 0
    """How many events the newest of these checkpoints covers; 0 if there is none."""
    head: ChainHead | None = None
    """For the whole audit log: the newest position and the root of the tree over the events. For one case: number and
    hash of its newest event. None if there is no event, or if the head of the audit log cannot be read.
    """

    def with_problems(self, more: list[str]) -> "Verification":
        """Return a copy with these problems added, each once and in printable form."""
        problems = [said.encode(errors="replace").decode() for said in (*self.problems, *more)]
        return self.model_copy(update={"problems": list(dict.fromkeys(problems))})

    @property
    def erased_in_words(self) -> str:
        """Return how much was erased, such as `12 rows and 2 files`; empty if nothing was."""
        numbers = {"event": self.erased, "row": self.erased_rows, "signed message": self.erased_proofs}
        numbers |= {"seal": self.erased_seals, "file": self.erased_files}
        parts = [f"{number:,} {name}{'s' * (number != 1)}" for name, number in numbers.items() if number]
        return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)

    def lines(self, most: int = 100) -> list[str]:
        """Return at most `most` problems, one in each line, for people.

        If there are more problems, one more line says how many. Problems of the same table are grouped, and so are all
        other problems.
        """
        groups: dict[str, list[str]] = {}
        for problem in self.problems:
            words = problem.partition(",")[0]
            groups.setdefault(words if words.startswith("table ") else "", []).append(problem)
        ordered = [problem for group in groups.values() for problem in group]
        left = len(ordered) - most
        return ordered[:most] + ([f"and {left:,} more problems; --json lists all of them"] if left > 0 else [])


async def paged(conn: AsyncConnection, query: Any, key: Column[Any]) -> AsyncIterator[Any]:
    """Yield all rows of a query in the order of their key.

    Only one page of `ROWS_AT_ONCE` rows is in memory. Every `_TURN` rows other asyncio tasks can run.

    On SQLite the order is that of the row numbers, because a key that somebody edited may have any type and then has no
    order.
    """
    rows: Sequence[Any]
    place: Any = literal_column(f"{key.table.name}.rowid") if conn.dialect.name == "sqlite" else key
    query = query.add_columns(place.label("place")).order_by(place).limit(ROWS_AT_ONCE)
    rows = (await conn.execute(query)).all()
    while rows:
        for number, row in enumerate(rows):
            if number % _TURN == 0:
                await asyncio.sleep(0)
            yield row
        rows = (await conn.execute(query.where(place > rows[-1].place))).all()


async def only_row(conn: AsyncConnection, query: Any) -> Any:
    """Return the row of a table that has one row; None if the row is missing, or if rows were inserted."""
    rows = (await conn.execute(query)).all()
    return rows[0] if len(rows) == 1 else None


def case_words(case_id: str | None) -> str:
    """Return the name of a case for messages. Seals of uploads have `batch:` and the id of the upload in its place."""
    if isinstance(case_id, str) and case_id.startswith("batch:"):
        return f"upload {case_id.removeprefix('batch:')}"
    return f"case {case_id}" if case_id else "no case"


def stored_moment(stored: Any) -> datetime | str:
    """Return a moment that was read without its type: SQLite returns text, PostgreSQL a datetime.

    A text that is no moment is returned as it is.
    """
    if isinstance(stored, datetime):
        return stored
    try:
        return datetime.fromisoformat(stored).replace(tzinfo=UTC)
    except (ValueError, TypeError):
        return str(stored)
