"""What a verification finds, and how it names things."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Column, literal_column
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.case import ChainHead

Told = Callable[[int, int], None]
ROWS_AT_ONCE = 1000
_TURN = 50
"""Rows that are checked before others in this process have their turn."""


class Verification(BaseModel):
    """What came out: no problems means that nothing was edited, removed, inserted or moved."""

    problems: list[str]
    """Sentences that name the event, the row, the case or the positions."""
    events: int
    cases: int
    erased: int
    """Events whose payload was erased; their places and envelopes are still proven."""
    head: ChainHead | None = None
    """Number and hash of the newest event: of the whole record, or of the one case that was checked."""

    def with_problems(self, more: list[str]) -> "Verification":
        """The same with these problems, too, each once and so that it can be shown."""
        problems = [said.encode(errors="replace").decode() for said in (*self.problems, *more)]
        return self.model_copy(update={"problems": list(dict.fromkeys(problems))})

    def lines(self, most: int = 100) -> list[str]:
        """The problems for people to read: those of one table or of the events together, at most so many."""
        groups: dict[str, list[str]] = {}
        for problem in self.problems:
            words = problem.partition(",")[0]
            groups.setdefault(words if words.startswith("table ") else "", []).append(problem)
        ordered = [problem for group in groups.values() for problem in group]
        left = len(ordered) - most
        return ordered[:most] + ([f"and {left:,} more problems; --json lists all of them"] if left > 0 else [])


class Erased:
    """What events of kind `erased` allow to be empty: events and seals that came before them."""

    def __init__(self) -> None:
        self.seals: set[int] = set()

    def read(self, data: Any) -> tuple[list[str], list[int]]:
        """The event ids and the positions that the data of such an event names; its seals are remembered here."""
        if not isinstance(data, dict):
            return [], []
        named = [data.get(name) for name in ("event_ids", "positions", "seals")]
        ids, positions, seals = (each if isinstance(each, list) else [] for each in named)
        self.seals |= {number for number in seals if isinstance(number, int)}
        return [id for id in ids if isinstance(id, str)], [place for place in positions if isinstance(place, int)]


async def paged(conn: AsyncConnection, query: Any, key: Column[Any]) -> AsyncIterator[Any]:
    """All rows in the order of their key, never more than a page of them in memory; others have turns in between.

    SQLite goes by its own numbers of rows: a key that was edited may be of any type, and stand in no order.
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


def case_words(case_id: str | None) -> str:
    """How a case is named."""
    return f"case {case_id}" if case_id else "no case"
