"""Erase the seals of erased rows, and keep the proof of rows that only shared a seal with them.

A seal has a salted digest of each row that one transaction wrote, so a seal of an erased row would let people guess its
content. Salt and rows of such a seal are set to null; its digest stays in the chain of seals. Rows that are not erased
get a new seal, but only if they are as the erased seal says: an edit of such a row is found afterwards as before.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Select, or_, select, tuple_, update

from store.audit.row_digest import Shape, key_of, row_of, seal_of
from store.audit.seals import OF_A_CASE, OF_AN_UPLOAD, PARENTS, SHAPES, Left, SealingConnection, upload_group
from store.audit.verification.result import stored_moment
from store.tables.audit import seal_positions, seals
from store.tables.base import Instant

_AT_ONCE = 200
"""Keys in one statement."""
_BEFORE = 1000
"""How many numbers before the first seal of a case the other seals of the same transactions can have."""

Name = tuple[str, str]
"""A row: its table, and its key as seals have it."""


class ErasedSeals(NamedTuple):
    """The erased seals, as the event `erased` lists them."""

    positions: list[int]
    numbers: list[int]
    """The numbers of seals that have no position yet."""

    @property
    def number(self) -> int:
        """How many seals were erased."""
        return len(self.positions) + len(self.numbers)


class _Seal(NamedTuple):
    number: int
    position: int | None
    salt: str
    rows: dict[str, dict[str, str | None]]

    @property
    def names(self) -> Iterator[tuple[Name, str | None]]:
        for table, entries in self.rows.items():
            for key, entry in entries.items():
                yield (table, key), entry


async def erase_seals(
    conn: SealingConnection, case_id: str | None, batch_id: str | None, content: Collection[str]
) -> ErasedSeals:
    """Erase all seals of a case or of an upload, and those of the other rows that this transaction wrote.

    `content` are the names of the tables with content. Call this after the last statement that erases rows.
    """
    groups = [*([case_id] if case_id else []), *([upload_group(batch_id)] if batch_id else [])]
    erased = await _found(conn, seals.c.case_id.in_(groups))
    if case_id is not None:
        await _seal_case_again(conn, case_id)
    if batch_id is not None:
        for table in OF_AN_UPLOAD:
            shape = SHAPES[table.name]
            await _seal_again(conn, shape, shape.raw.c.batch_id == batch_id)
    loose = _loose(conn.written(), content, batch_id)
    if loose:
        first = min((seal.number for seal in erased), default=0) - _BEFORE
        shared = [seal for where in _naming(loose, first) for seal in await _found(conn, where)]
        shared = list({seal.number: seal for seal in shared}.values())
        await _carry_over(conn, shared, loose)
        conn.forget(loose.keys())
        erased += shared
    numbers = [seal.number for seal in erased]
    for start in range(0, len(numbers), _AT_ONCE):
        some = seals.c.number.in_(numbers[start : start + _AT_ONCE])
        await conn.execute(update(seals).where(some).values(salt=None, rows=None))
    return ErasedSeals(
        sorted(seal.position for seal in erased if seal.position is not None),
        sorted(seal.number for seal in erased if seal.position is None),
    )


async def _found(conn: SealingConnection, where: ColumnElement[bool]) -> list[_Seal]:
    """Return the seals that match and are not erased, oldest first."""
    query = (
        select(seals.c.number, seal_positions.c.position, seals.c.salt, seals.c.rows)
        .outerjoin(seal_positions, seal_positions.c.number == seals.c.number)
        .where(where, seals.c.salt.is_not(None))
        .order_by(seals.c.number)
    )
    return [_Seal(row.number, row.position, row.salt, json.loads(row.rows)) for row in await conn.execute(query)]


# --------------------------------------------------------------------------------------- rows of the case or the upload


async def _seal_case_again(conn: SealingConnection, case_id: str) -> None:
    for table in OF_A_CASE:
        shape = SHAPES[table.name]
        await _seal_again(conn, shape, shape.raw.c.case_id == case_id)
    for table, (name, parent) in PARENTS.items():
        shape = SHAPES[table.name]
        (key,) = parent.primary_key
        await _seal_again(conn, shape, shape.raw.c[name].in_(select(key).where(parent.c.case_id == case_id)))


async def _seal_again(conn: SealingConnection, shape: Shape, where: ColumnElement[bool]) -> None:
    conn.seal_again(shape, (await conn.execute(_locked(conn, shape).where(where))).all())


# ---------------------------------------------------------------------------- rows that share a seal with an erased row


def _loose(written: Sequence[Left], content: Collection[str], batch_id: str | None) -> dict[Name, Left]:
    """Return the written rows with content that belong to no case, and not to the erased upload."""
    found = {}
    for left in written:
        shape = left.shape
        of_upload = shape.batch is not None and left.row[shape.batch] == batch_id
        of_case = shape.parent is not None or (shape.case is not None and left.row[shape.case])
        if not (of_upload or of_case) and shape.table.name in content:
            found[shape.table.name, key_of(shape, left.row)] = left
    return found


def _naming(loose: Mapping[Name, Left], first: int) -> Iterator[ColumnElement[bool]]:
    """Yield conditions for the seals that name one of the rows."""
    groups: dict[str | None, list[Name]] = {}
    for name, left in loose.items():
        batch = left.shape.batch
        groups.setdefault(upload_group(left.row[batch]) if batch is not None else None, []).append(name)
    for group, names in groups.items():
        of = seals.c.case_id == group if group else (seals.c.case_id.is_(None)) & (seals.c.number >= first)
        # As JSON has them. Of many rows only the tables: each seal is then compared with the rows.
        texts = {json.dumps(key, ensure_ascii=False) for _, key in names}
        if len(texts) > _AT_ONCE:
            texts = {json.dumps(table) for table, _ in names}
        yield of & or_(*(seals.c.rows.contains(f"{text}:", autoescape=True) for text in sorted(texts)))


async def _carry_over(conn: SealingConnection, shared: list[_Seal], loose: Mapping[Name, Left]) -> None:
    """Seal the rows again that are not erased. Seals that name none of the erased rows stay."""
    shared[:] = [seal for seal in shared if any(name in loose for name, _ in seal.names)]
    newest = {name: (entry, seal) for seal in shared for name, entry in seal.names if name not in loose}
    by_table: dict[str, dict[str, tuple[str | None, _Seal]]] = {}
    for (table, key), told in newest.items():
        by_table.setdefault(table, {})[key] = told
    for table, keys in by_table.items():
        shape = SHAPES[table]
        rows = await _rows_of(conn, shape, list(keys))
        for key, (entry, seal) in keys.items():
            row = rows.get(key)
            if row is None and (entry is None or not await _named_later(conn, seal, key)):
                # If its seal says that it is there, somebody deleted it by hand: the new seal must say the same.
                conn.carry_over([Left(shape, row_of(shape, key), gone=entry is None)])
            elif row is not None and entry is not None and seal_of(shape, row, seal.salt) == entry:
                conn.carry_over([Left(shape, row)])


async def _rows_of(conn: SealingConnection, shape: Shape, keys: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Return the rows that are stored, by key."""
    raw, typed = (list(table.c) for table in (shape.raw, shape.table))
    columns = [raw[place] for place in shape.key]
    found: dict[str, Sequence[Any]] = {}
    for start in range(0, len(keys), _AT_ONCE):
        some = [row_of(shape, key) for key in keys[start : start + _AT_ONCE]]
        wanted = [tuple(_value(typed[place], row[place]) for place in shape.key) for row in some]
        its = columns[0].in_([first for (first,) in wanted]) if len(columns) == 1 else tuple_(*columns).in_(wanted)
        rows = (await conn.execute(_locked(conn, shape).where(its))).all()
        found |= {key_of(shape, row): row for row in rows}
    return found


def _value(column: Column[Any], value: Any) -> Any:
    """Return a value of a key as the driver takes it: the keys of PostgreSQL have moments as texts with a mark."""
    if not isinstance(column.type, Instant) or not value.startswith("s"):
        return value
    return stored_moment(value.removeprefix("s"))


async def _named_later(conn: SealingConnection, seal: _Seal, key: str) -> bool:
    text = json.dumps(key, ensure_ascii=False)
    later = (seals.c.number > seal.number, seals.c.rows.contains(f"{text}:", autoescape=True))
    return (await conn.execute(select(seals.c.number).where(*later).limit(1))).first() is not None


def _locked(conn: SealingConnection, shape: Shape) -> Select[Any]:
    """Select rows as stored. PostgreSQL locks them, so that nobody writes them before this transaction seals them."""
    query = select(*shape.raw.c)
    return query.with_for_update() if conn.dialect.name == "postgresql" else query
