"""The events `erased`: what they permit to be empty, and whether exactly that is empty.

The data of such an event lists what one erasure emptied: events by id or position, seals by position (or by number, if
they had none yet), uploads without their file, and how many signed texts. Whatever else is empty was emptied by hand.
"""

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, String, exc as sql, func, select, type_coerce
from sqlalchemy.types import NullType

from store.audit.verification.result import case_words
from store.db.connection import AsyncConnection
from store.tables.audit import seal_positions, seals
from store.tables.cases import batches, cases, proofs
from store.tables.people import people

ERASED = "erased"
"""The kind of the event that lists erased items and the reason."""
_AT_ONCE = 500


class Erasure(NamedTuple):
    """What one valid event `erased` says."""

    name: str
    """The name of the event for messages."""
    case_id: str
    """The case in whose chain the event is; empty for none."""
    kind: str
    """What was erased: `case`, `upload` or `person`; empty for an event that does not say it."""
    subject: str
    event_ids: list[str]
    positions: list[int]
    seals: list[int]
    seal_numbers: list[int]
    uploads: list[str]
    rows: int
    proofs: int
    files: int

    @classmethod
    def read(cls, name: str, case_id: str, data: Any) -> "Erasure":
        """Return what the data of an event says. A field of another type counts as missing."""
        data = data if isinstance(data, dict) else {}
        numbers = (_number(data.get(key)) for key in ("rows", "proofs", "files"))
        return cls(
            name,
            case_id,
            _text(data.get("kind")),
            _text(data.get("subject")),
            _listed(data.get("event_ids"), str),
            _listed(data.get("positions"), int),
            _listed(data.get("seals"), int),
            _listed(data.get("seal_numbers"), int),
            _listed(data.get("uploads"), str),
            *numbers,
        )


class Erased:
    """All erasures that a check has read."""

    def __init__(self) -> None:
        self.all: list[Erasure] = []
        self._seals: set[int] = set()
        self._seal_numbers: set[int] = set()

    def add(self, erasure: Erasure) -> None:
        """Remember what an erasure permits."""
        self.all.append(erasure)
        self._seals.update(erasure.seals)
        self._seal_numbers.update(erasure.seal_numbers)

    def permits_seal(self, position: int | None, number: int) -> bool:
        """Return True if an erasure lists the seal."""
        return position in self._seals or number in self._seal_numbers

    @property
    def uploads(self) -> set[str]:
        """The ids of the uploads whose file was erased."""
        return {batch_id for erasure in self.all for batch_id in erasure.uploads}

    def subjects(self, kind: str) -> set[str]:
        """Return the ids of the erased cases, uploads or people."""
        return {erasure.subject for erasure in self.all if erasure.kind == kind}

    def counts(self) -> dict[str, int]:
        """Return how many rows, signed texts, seals and files were erased, as fields of a Verification."""
        return {
            "erased_rows": sum(erasure.rows for erasure in self.all),
            "erased_proofs": sum(erasure.proofs for erasure in self.all),
            "erased_seals": sum(len(erasure.seals) + len(erasure.seal_numbers) for erasure in self.all),
            "erased_files": sum(erasure.files for erasure in self.all),
        }


async def check_all(conn: AsyncConnection, erased: Erased) -> list[str]:
    """Return what is empty without an erasure, and what an erasure lists that is not empty, one sentence each."""
    problems = [said async for said in _seals(conn, erased)]
    problems += await _subjects(conn, erased, "case", cases.c.case_id, cases.c.erased_at)
    problems += await _subjects(conn, erased, "upload", batches.c.batch_id, batches.c.erased_at)
    problems += await _subjects(conn, erased, "person", people.c.id, people.c.erased_at)
    without_file = type_coerce(batches.c.path, NullType) == ""
    gone = set(await _texts(conn, select(type_coerce(batches.c.batch_id, String)).where(without_file)))
    problems += [
        f"upload {batch_id}: its file was removed, and no event says that it was erased"
        for batch_id in sorted(gone - erased.uploads)
    ]
    return problems + await _proofs(conn, erased, None)


async def check_case(conn: AsyncConnection, case_id: str, erased: Erased) -> list[str]:
    """Return the same for one case."""
    problems = [said async for said in _seals(conn, erased)]
    problems += await _subjects(conn, erased, "case", cases.c.case_id, cases.c.erased_at, case_id)
    return problems + await _proofs(conn, erased, case_id)


async def _seals(conn: AsyncConnection, erased: Erased) -> AsyncIterator[str]:
    """Yield a sentence for each erasure that lists a seal that is there, is missing, or belongs to another case."""
    for erasure in erased.all:
        if again := sorted(_twice(erasure.seals) | _twice(erasure.seal_numbers)):
            yield f"{erasure.name} lists seal {again[0]} twice"
        for column, listed in ((seal_positions.c.position, erasure.seals), (seals.c.number, erasure.seal_numbers)):
            for some in _chunks(sorted(set(listed))):
                found = {row.key: row for row in await conn.execute(_listed_seals(column, some))}
                for key in some:
                    if why := _wrong(found.get(key), erasure.case_id):
                        yield f"{erasure.name} lists seal {key} as erased, {why}: the event or the seal was replaced"


def _listed_seals(column: ColumnElement[Any], some: list[int]) -> Any:
    kept = (seals.c.salt.is_not(None) | seals.c.rows.is_not(None)).label("kept")
    of_case = type_coerce(seals.c.case_id, String).label("case_id")
    joined = seals.outerjoin(seal_positions, seal_positions.c.number == seals.c.number)
    return select(column.label("key"), of_case, kept).select_from(joined).where(column.in_(some))


def _wrong(row: Any, case_id: str) -> str:
    if row is None:
        return "but there is no such seal"
    if row.kept:
        return "but the seal has its content"
    if case_id and row.case_id and row.case_id != case_id and not str(row.case_id).startswith("batch:"):
        return f"but it belongs to {case_words(row.case_id)}"
    return ""


async def _subjects(
    conn: AsyncConnection, erased: Erased, kind: str, key: Any, erased_at: Any, only: str | None = None
) -> list[str]:
    """Compare the rows that are marked as erased with the erasures; with `only`, one row."""
    told = erased.subjects(kind) & ({only} if only is not None else erased.subjects(kind))
    query = select(type_coerce(key, String)).where(type_coerce(erased_at, NullType).is_not(None))
    marked = set(await _texts(conn, query if only is None else query.where(key == only)))
    return [
        *(f"{kind} {id} is marked as erased, and no event says so" for id in sorted(marked - told)),
        *(f"{kind} {id} was erased, and is not marked as erased" for id in sorted(told - marked)),
    ]


async def _proofs(conn: AsyncConnection, erased: Erased, case_id: str | None) -> list[str]:
    """Compare the number of emptied signed texts of each case with its erasure."""
    emptied = select(type_coerce(proofs.c.case_id, String), func.count()).where(
        type_coerce(proofs.c.text, NullType) == "", type_coerce(proofs.c.proof, NullType) == ""
    )
    if case_id is not None:
        emptied = emptied.where(proofs.c.case_id == case_id)
    try:
        rows = (await conn.execute(emptied.group_by(proofs.c.case_id))).all()
    except sql.DBAPIError:
        return []  # unreadable row; the check of rows reports it
    found = {str(row[0] or ""): int(row[1]) for row in rows}
    told: dict[str, int] = {}
    for erasure in erased.all:
        if erasure.case_id or case_id is None:
            told[erasure.case_id] = told.get(erasure.case_id, 0) + erasure.proofs
    return [
        f"{case_words(of)}: {found.get(of, 0)} signed messages are empty, and {told.get(of, 0)} were erased:"
        " somebody emptied or restored the others"
        for of in sorted({*found, *told})
        if found.get(of, 0) != told.get(of, 0)
    ]


async def _texts(conn: AsyncConnection, query: Any) -> list[str]:
    try:
        return [str(text) for text in (await conn.execute(query)).scalars()]
    except sql.DBAPIError:
        return []  # unreadable row; the check of rows reports it


def _chunks(listed: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(listed), _AT_ONCE):
        yield listed[start : start + _AT_ONCE]


def _twice(listed: Iterable[int]) -> set[int]:
    seen: set[int] = set()
    return {number for number in listed if number in seen or seen.add(number)}  # type: ignore[func-returns-value]


def _listed(value: Any, of: type) -> list[Any]:
    return [each for each in value if isinstance(each, of)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def read_payload(name: str, case_id: str, payload: str) -> Erasure:
    """Return what the stored payload of an event `erased` says."""
    return Erasure.read(name, case_id, json.loads(payload).get("data"))
