"""Check the rows of all sealed tables against the seals of the transactions that wrote them.

The newest seal of each row is collected in a temporary database, which is on disk when there are many rows. Then each
stored row is compared with its seal; seals without a row mean deleted rows.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import select

from store.audit.hashing import digest_of
from store.audit.row_digest import Shape, differing, key_of, seal_of
from store.audit.seals import PARENTS, SHAPES
from store.audit.sequencing import seal_hash_of
from store.audit.verification.erasures import Erased
from store.audit.verification.result import ROWS_AT_ONCE, case_words, only_row, paged
from store.audit.verification.signed_heads import SignedHeads
from store.db.connection import AsyncConnection, PostgresConnection
from store.db.sqlite import scratch
from store.tables.audit import chain, seal_positions, seals, unsequenced

_before = seal_positions.alias("before")
_WAITS = (unsequenced.c.kind == "seal") & (unsequenced.c.number == seals.c.number)
_SEAL = select(
    seal_positions.c.position,
    seal_positions.c.hash,
    seals,
    _before.c.hash.label("last"),
    unsequenced.c.number.label("waits"),
)
_IN_ORDER = _SEAL.select_from(
    seal_positions.outerjoin(seals, seals.c.number == seal_positions.c.number)
    .outerjoin(_before, _before.c.position == seal_positions.c.position - 1)
    .outerjoin(unsequenced, _WAITS)
)
_SEALS = _SEAL.select_from(
    seals.outerjoin(seal_positions, seal_positions.c.number == seals.c.number)
    .outerjoin(_before, _before.c.position == seal_positions.c.position - 1)
    .outerjoin(unsequenced, _WAITS)
)


async def check_all(conn: AsyncConnection, erased: Erased, signed: SignedHeads) -> list[str]:
    """Return the problems of the seals and of the rows of all sealed tables, one sentence each.

    Also compare the seals with the signed checkpoints, which report their problems themselves.
    """
    with _Newest() as newest:
        gather = _Gathering(newest, erased)
        async for record in paged(conn, _IN_ORDER, seal_positions.c.position):
            gather.in_order(record)
            signed.compare_seal(record.position, record.hash)
        signed.compare_seals(gather.last)
        problems = gather.problems + await _end(conn, gather.last)
        gather.problems = []
        async for record in paged(conn, _SEALS.where(seal_positions.c.position.is_(None)), seals.c.number):
            gather.one(record)
        problems += gather.problems
        for shape in SHAPES.values():
            problems += [said async for said in _compare(conn, newest, shape, [])]
        return problems + newest.missing()


async def check_case(conn: AsyncConnection, case_id: str, erased: Erased) -> list[str]:
    """Return the problems of the seals of one case and of the rows that belong to it, one sentence each."""
    with _Newest() as newest:
        gather = _Gathering(newest, erased)
        async for record in paged(conn, _SEALS.where(seals.c.case_id == case_id), seals.c.number):
            gather.one(record)
        problems = gather.problems
        for shape in SHAPES.values():
            if shape.case is not None:
                problems += [said async for said in _compare(conn, newest, shape, [shape.raw.c.case_id == case_id])]
            elif shape.parent is not None:
                name, parent = PARENTS[shape.table]
                (key,) = parent.primary_key
                its = select(key).where(parent.c.case_id == case_id)
                problems += [said async for said in _compare(conn, newest, shape, [shape.raw.c[name].in_(its)])]
        return problems + newest.missing()


class _Newest:
    """The newest seal of each row, by table and key."""

    def __init__(self) -> None:
        self._db = scratch(
            "CREATE TABLE newest (name TEXT, key TEXT, seal TEXT, salt TEXT, case_id TEXT, PRIMARY KEY (name, key))"
            " WITHOUT ROWID"
        )

    def __enter__(self) -> "_Newest":
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def note(self, rows: dict[str, dict[str, str | None]], salt: str, case_id: str | None) -> None:
        """Store the seals of the next seal record. A later seal of a row replaces the earlier seal of that row."""
        there = [(name, key, seal, salt, case_id) for name, each in rows.items() for key, seal in each.items() if seal]
        gone = [(name, key) for name, each in rows.items() for key, seal in each.items() if not seal]
        self._db.executemany("INSERT OR REPLACE INTO newest VALUES (?, ?, ?, ?, ?)", there)
        self._db.executemany("DELETE FROM newest WHERE name = ? AND key = ?", gone)

    def take(self, name: str, key: str) -> tuple[str, str] | None:
        """Return the seal and the salt of a row, and mark the row as found.

        Return None if the row has no seal, or was found before.
        """
        found = self._db.execute("DELETE FROM newest WHERE name = ? AND key = ? RETURNING seal, salt", (name, key))
        rows: list[tuple[str, str]] = found.fetchall()
        return rows[0] if rows else None

    def missing(self) -> list[str]:
        """Return one sentence for each sealed row that was not found, which means that the row was deleted."""
        left = self._db.execute("SELECT name, key, case_id FROM newest ORDER BY name, key")
        return [f"{_named(name, key, case_id)} was deleted" for name, key, case_id in left]


class _Gathering:
    """The check of the seal records while the newest seal of each row is collected."""

    def __init__(self, newest: _Newest, erased: Erased) -> None:
        self._newest = newest
        self._erased = erased
        self.last = 0
        """The newest position checked."""
        self.problems: list[str] = []

    def in_order(self, record: Any) -> None:
        """Check the next record by its position."""
        if record.number is None:
            self.problems.append(
                f"position {record.position} of the seals has no seal: it was inserted, or its seal removed"
            )
            return
        if record.position != self.last + 1:
            self.problems.append(f"seals {self.last + 1} to {record.position - 1} are missing: they were removed")
        self.last = record.position
        # After a gap there is no link to compare; the gap was already reported.
        self.one(record, linked=record.last is not None or record.position == 1)

    def one(self, record: Any, *, linked: bool = True) -> None:
        """Check one record. No later seal of its rows may have been checked before."""
        name = f"seal {record.position or 'without a position'} ({case_words(record.case_id)})"
        if record.position is None:
            if record.waits is None:
                self.problems.append(f"{name} does not wait to be sequenced: it was inserted, or its position removed")
        elif linked and not _linked(record):
            self.problems.append(f"{name} was edited, moved or replaced: it does not follow from the one before it")
        if record.salt is None and record.rows is None:
            if not self._erased.permits_seal(record.position, record.number):
                self.problems.append(f"{name} was emptied, and no later event says that it was erased")
        elif not _intact(record):
            self.problems.append(f"{name} was edited: what it says of rows does not match its digest")
        else:
            self._newest.note(json.loads(record.rows), record.salt, record.case_id)


async def _end(conn: AsyncConnection, last: int) -> list[str]:
    head = await only_row(conn, select(chain.c.seals, chain.c.seals_hash))
    if head is None:
        return []  # the check of events reports it
    stored = select(seal_positions.c.hash).where(seal_positions.c.position == last)
    newest = (await conn.execute(stored)).scalar_one_or_none() or ""
    if head.seals != last:
        return [
            f"the head of the seals (table chain) counts {head.seals}, the newest stored is {last}: seals were cut off"
            " or inserted, or the head was edited"
        ]
    if head.seals_hash != newest:
        return [f"the head of the seals (table chain) does not fit seal {last}: one of the two was edited"]
    return []


def _linked(record: Any) -> bool:
    try:
        due = seal_hash_of(record.position, record.case_id or "", record.digest, record.last or "")
        return bool(due == record.hash)
    except TypeError:
        return False  # bytes instead of text


def _intact(record: Any) -> bool:
    texts = isinstance(record.salt, str) and isinstance(record.rows, str)
    return texts and bool(digest_of(record.salt, record.rows) == record.digest)


async def _compare(conn: AsyncConnection, newest: _Newest, shape: Shape, where: list[Any]) -> AsyncIterator[str]:
    """Yield a sentence for each row that differs from its seal."""
    name = shape.table.name
    async for row in _stored(conn, shape, where):
        key = key_of(shape, row)
        sealed = newest.take(name, key)
        if sealed is None:
            yield f"{_named(name, key, _case_of(shape, row))} was inserted: Holdgate did not write it"
            continue
        found = seal_of(shape, row, sealed[1])
        if found != sealed[0]:
            columns = differing(shape, sealed[0], found)
            what = f"what Holdgate wrote into {', '.join(columns)} was changed" if columns else "it was changed"
            yield f"{_named(name, key, _case_of(shape, row))} was edited: {what}"


async def _stored(conn: AsyncConnection, shape: Shape, where: list[Any]) -> AsyncIterator[Any]:
    """Yield each row of a table as it is stored. Only one page of rows is in memory."""
    query = select(*shape.raw.c).where(*where)
    if isinstance(conn, PostgresConnection):
        async with conn.stream(query, execution_options={"yield_per": ROWS_AT_ONCE}) as rows:
            async for row in rows:
                yield row
        return
    async for row in paged(conn, query, next(iter(shape.raw.c))):
        yield row


def _case_of(shape: Shape, row: Any) -> str | None:
    return str(row[shape.case]) if shape.case is not None and row[shape.case] is not None else None


def _named(name: str, key: str, case_id: str | None) -> str:
    of = f" of case {case_id}" if case_id and case_id != key else ""
    return f"table {name}, row {key}{of}"
