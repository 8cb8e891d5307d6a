"""Seals: a hash chain over every row that a transaction wrote, so that later edits of rows are detected.

Every transaction of `Database.write` goes through `SealingConnection`. This connection asks the database for the rows
that each statement wrote. Before the commit, the connection writes one seal record for each case, and one for all rows
without a case: the digest of each row, or that the row was deleted. Code that writes rows by SQLAlchemy's `insert`,
`update` and `delete` does not need to do anything. Rows that SQL texts write are not sealed, so SQL texts may write
only to the tables in `NOT_SEALED`.

A seal record stores, by table and key of the row, the digest and `HINT` characters for each column. The digest proves
the row; the hints only show which column differs. Digests and hints use the salt of their seal record, so that nobody
can guess the content of rows whose seal records were erased. As for events, the chain hashes the digest of salt and
rows, so that salt and rows can be erased. `store.audit.sequencing` says when a seal gets its position in the chain.
"""

import json
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Delete,
    Dialect,
    Insert,
    MetaData,
    ScalarResult,
    Table,
    Update,
    literal_column,
)
from sqlalchemy.dialects import postgresql, sqlite as sqlite_dialect
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.types import NullType

from store.audit.hashing import canonical, digest_of
from store.audit.row_digest import Shape, key_of, seal_of
from store.audit.sequencing import HEADS, Heads, NewEvent, NewSeal, Run, sequence
from store.db.connection import Found, PostgresConnection
from store.db.prepared import Prepared, Rows, prepared
from store.db.sqlite_connection import SqliteConnection
from store.tables import (
    audit as audit_tables,
    cases as cases_tables,
    notifications as notifications_tables,
    people as people_tables,
    rate_limits as rate_limits_tables,
    receivers as receivers_tables,
)
from store.tables.base import metadata
from store.tables.cases import cases

CARRIED = 20
"""Rows in a record of rows that are sealed again. An erasure of one of them seals the others again, so few are best."""

NOT_SEALED: Mapping[Table, str] = {
    audit_tables.events: "proven by the chain of its case and the global order",
    audit_tables.event_payloads: "proven by the digest in the chain",
    audit_tables.event_positions: "the global order: proven by the tree over the events",
    audit_tables.caseless_head: "the head: proven by what it counts",
    audit_tables.chain: "the heads: proven by what they count",
    audit_tables.event_blocks: "proven by the events of the block",
    audit_tables.seals: "proven by the digest in the chain of seals",
    audit_tables.seal_positions: "a chain of its own",
    audit_tables.unsequenced: "transient: what gets a position next; compared with what has none",
    audit_tables.readers: "transient: how far a reader has come; one that is set back reads again",
    cases_tables.case_keys: "proven by the key outside the database that encrypts them; written again at a rotation",
    notifications_tables.leases: "transient: which process does a job for the next seconds",
    notifications_tables.heartbeats: "transient: that a worker was alive a moment ago",
    cases_tables.recounts: "transient: what a worker looks at next, made from people and tasks, which are sealed",
    people_tables.logout_tokens: "transient: logout tokens of the last minutes; each sign-out is an event",
    people_tables.token_uses: "transient: when a token was last used",
    people_tables.passkey_challenges: "transient: what a browser signs next; the answer is an event",
    cases_tables.pending_confirmations: "transient: what a person is asked to confirm; what was confirmed is signed",
    people_tables.sign_in_tries: "transient: a pause after failed tries to sign in; the tries are events",
    rate_limits_tables.rate_limits: "transient: how many requests a caller sent in the last minutes",
    cases_tables.erased_files: "transient: files of erased cases that are deleted next; the erasure is an event",
    audit_tables.refusal_counts: "transient: how many refusals are still to be told in one event",
    people_tables.failed_sign_ins: "transient: how many failed tries of an hour are still to be told in one event",
    notifications_tables.notices: "transient: made of events by their reader, and deleted once sent",
    notifications_tables.messages: "transient: the queue of mails; a mail shows what its events say when it is sent",
}
"""Tables whose rows are not sealed, with the reason."""

PROVEN_ELSEWHERE: Mapping[Table, Mapping[str, str]] = {
    cases: {
        "head_count": "compared with the newest event of the case",
        "head_hash": "compared with the newest event of the case",
    }
}
"""Columns of sealed tables that no seal covers, each with what is checked instead."""

Key = tuple[Any, ...]


class Left(NamedTuple):
    """A row as it was at the end of a transaction."""

    shape: Shape
    row: Sequence[Any]
    gone: bool = False


OF_A_CASE = (
    cases,
    cases_tables.tasks,
    cases_tables.decisions,
    cases_tables.proofs,
    cases_tables.actions,
    cases_tables.attachments,
    receivers_tables.effects,
    receivers_tables.entries,
    receivers_tables.accepted_risks,
    receivers_tables.dataset_versions,
    cases_tables.stopped,
)
"""Tables whose rows never change their case, so that the check of one case covers them."""
OF_AN_UPLOAD = (cases_tables.batches, cases_tables.batch_rows, cases_tables.batch_requesters)
"""Tables whose rows never change their upload. Their seals name `batch:` and the id of the upload in place of a case,
so that an erasure finds them.
"""
PARENTS = {
    cases_tables.candidates: ("task_id", cases_tables.tasks),
    receivers_tables.lines: ("entry_id", receivers_tables.entries),
}
"""Tables whose rows belong to a row of a table in `OF_A_CASE` and are written with that row."""


def _shape(table: Table) -> Shape:
    columns = list(table.c)
    elsewhere = PROVEN_ELSEWHERE.get(table, {})
    places = tuple(
        (place, column.name, isinstance(column.type, Boolean))
        for place, column in enumerate(columns)
        if column.name not in elsewhere
    )
    names = [column.name for column in columns]
    parent = PARENTS.get(table)
    return Shape(
        table,
        Table(table.name, MetaData(), *(Column(column.name, NullType()) for column in columns)),
        literal_column(f"json_array({', '.join(names)})"),
        literal_column(", ".join(names)),
        tuple(name for _, name, _ in places),
        places,
        tuple(names.index(column.name) for column in table.primary_key),
        names.index("case_id") if table in OF_A_CASE else None,
        names.index("batch_id") if table in OF_AN_UPLOAD else None,
        (names.index(parent[0]), parent[1].name) if parent else None,
    )


SHAPES: Mapping[str, Shape] = {table.name: _shape(table) for table in metadata.sorted_tables if table not in NOT_SEALED}
"""The sealed tables by name."""


# ------------------------------------------------------------------------------------------------------------ writing


class SealingConnection:
    """A connection for one write transaction that seals the rows it writes.

    The class offers nothing of the connection that it wraps but statements. An `insert`, `update` or `delete` cannot
    skip the seal. `written`, `seal_again`, `carry_over` and `forget` are for erasures: see `store.erasure.seals`.
    """

    def __init__(self, conn: SqliteConnection | PostgresConnection) -> None:
        """Write by `conn`, in the transaction that `conn` has begun."""
        self._conn = conn
        self._written: dict[tuple[str, Key], Left] = {}
        """The current state of each row, by table and key; a later statement wins."""
        self._carried: list[Left] = []
        self._forgotten: set[tuple[str, str]] = set()
        self.appended: list[NewEvent] = []
        """On SQLite the events of this transaction, in the order in which they get positions."""

    @property
    def dialect(self) -> Dialect:
        """The dialect, whose `name` is `sqlite` or `postgresql`."""
        return self._conn.dialect

    async def execute(self, statement: Any, parameters: Any = None) -> Found:
        """Execute the statement and return its result; if the statement writes sealed rows, remember these rows."""
        in_one = self.dialect.name == "sqlite"
        telling = (_telling_of if isinstance(statement, Prepared) else _telling)(statement, in_one)
        if telling is None:
            return await self._conn.execute(statement, parameters)
        if telling.one_by_one and isinstance(parameters, list) and len(parameters) > 1:
            # No database returns the affected rows for an executemany update.
            each = [await self.execute(statement, one) for one in parameters]
            return Rows(_NOTHING, [], sum(one.rowcount for one in each))
        result = await self._conn.execute(telling.statement, parameters)
        rows: Sequence[Any] = [json.loads(row) for row in result.scalars()] if in_one else result.all()
        self._remember(telling.shape, rows, gone=telling.gone)
        return _answer(telling.shape, telling.asked, rows, self.dialect)

    async def scalar(self, statement: Any, parameters: Any = None) -> Any:
        """Execute the statement and return the first column of its first row; None if there is no row."""
        return (await self.execute(statement, parameters)).scalar()

    async def scalars(self, statement: Any, parameters: Any = None) -> ScalarResult[Any]:
        """Execute the statement and return the first column of its rows."""
        return (await self.execute(statement, parameters)).scalars()

    def _remember(self, shape: Shape, rows: Iterable[Sequence[Any]], *, gone: bool) -> None:
        for row in rows:
            left = Left(shape, row, gone)
            self._written[_name_of(left)] = left

    def written(self) -> list[Left]:
        """Return the rows that this transaction wrote, each in its current state."""
        return list(self._written.values())

    def seal_again(self, shape: Shape, rows: Iterable[Sequence[Any]]) -> None:
        """Seal rows that this transaction may not have written, together with those that it wrote: their earlier seals
        are erased in this transaction.
        """
        for left in (Left(shape, row) for row in rows):
            self._written.setdefault(_name_of(left), left)

    def carry_over(self, rows: Iterable[Left]) -> None:
        """Seal rows in records of their own, a few in each: they only shared a seal with a row that is erased."""
        self._carried += rows

    def forget(self, rows: Collection[tuple[str, str]]) -> None:
        """Do not record that these rows, by table and key, were deleted: no seal is left that names them."""
        self._forgotten |= set(rows)

    async def seal(self) -> None:
        """Write the seal records; on SQLite also sequence what was written. This must be the last call in a
        transaction.
        """
        if not self._written and not self.appended:
            return
        new = sealed_rows(left for left in self._written.values() if not self._is_forgotten(left))
        carried = [left for left in self._carried if _name_of(left) not in self._written]
        for first in range(0, len(carried), CARRIED):
            new += sealed_rows(carried[first : first + CARRIED])
        events, self._written, self.appended = self.appended, {}, []
        self._carried, self._forgotten = [], set()
        if isinstance(self._conn, SqliteConnection):
            # Bypass SQLAlchemy, which takes ten times as long as SQLite while the only write lock is held.
            sequence_now(self._conn.now, new, events)
        else:
            await self._conn.run_sync(write_listed, new)

    def _is_forgotten(self, left: Left) -> bool:
        return left.gone and (left.shape.table.name, key_of(left.shape, left.row)) in self._forgotten


def _name_of(left: Left) -> tuple[str, Key]:
    return left.shape.table.name, tuple(left.row[place] for place in left.shape.key)


class _Telling(NamedTuple):
    """A statement that writes sealed rows, changed so that it returns them."""

    statement: Any
    shape: Shape
    asked: tuple[Any, ...]
    """What the original statement returns."""
    gone: bool
    """Whether the statement deletes the rows."""
    one_by_one: bool
    """Whether the statement must run alone for each set of parameters."""


def _telling(statement: Any, in_one: bool) -> _Telling | None:
    """Return the statement that also returns the rows it writes; None if it writes no sealed rows.

    With `in_one` each row is one JSON text, as SQLite returns it.
    """
    shape = _sealed(statement)
    if shape is None:
        return None
    changed = statement._clone()
    changed._returning = (shape.whole if in_one else shape.listed,)
    return _Telling(changed, shape, statement._returning, isinstance(statement, Delete), not _adds_only(statement))


@cache
def _telling_of(statement: Prepared, in_one: bool) -> _Telling | None:
    """Return the prepared statement that also returns the rows it writes; None if it writes no sealed rows."""
    found = _telling(statement.sqlite if in_one else statement.postgresql, in_one)
    return found and found._replace(statement=prepared(found.statement))


_NOTHING = SimpleResultMetaData([])


def _sealed(statement: Any) -> Shape | None:
    if not (isinstance(statement, Insert | Update | Delete) and isinstance(statement.table, Table)):
        return None
    shape = SHAPES.get(statement.table.name)
    elsewhere = PROVEN_ELSEWHERE.get(statement.table)
    if elsewhere and isinstance(statement, Update) and statement._values:
        changed = {column if isinstance(column, str) else column.name for column in statement._values}
        return None if changed <= elsewhere.keys() else shape
    return shape


def _adds_only(statement: Any) -> bool:
    changing = (postgresql.dml.OnConflictDoUpdate, sqlite_dialect.dml.OnConflictDoUpdate)
    return isinstance(statement, Insert) and not isinstance(statement._post_values_clause, changing)


def _answer(shape: Shape, asked: tuple[Any, ...], rows: Sequence[Any], dialect: Dialect) -> Rows:
    """Return the columns that the statement itself requested, with their types."""
    if not asked:
        return Rows(_NOTHING, [], len(rows))
    about, made = _read_as(shape.table, asked, dialect)
    read = [tuple(make(row[place]) if make else row[place] for place, make in made) for row in rows]
    return Rows(about, read, len(rows))


@lru_cache(maxsize=256)
def _read_as(table: Table, asked: tuple[Any, ...], dialect: Dialect) -> tuple[SimpleResultMetaData, list[Any]]:
    """Return the result columns by name, and for each its index in a row and its converter."""
    columns = [column for each in asked for column in (each.c if isinstance(each, Table) else (each,))]
    names, places = [column.name for column in columns], list(table.c.keys())
    makers = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
    return SimpleResultMetaData(names), [(places.index(n), make) for n, make in zip(names, makers, strict=True)]


Records = Mapping[str, Sequence[Left]]
"""The rows that a transaction wrote, by case id, or `batch:` and the id of an upload. Other rows have the empty id, and
so have rows of `PARENTS` whose parent row this transaction did not write."""


def _records(written: Iterable[Left]) -> Records:
    found: dict[str, list[Left]] = {}
    case_of: dict[tuple[str, Any], str] = {}
    children = []
    for left in written:
        shape, row = left.shape, left.row
        if shape.parent is not None:
            children.append(left)
            continue
        case_id = _group_of(shape, row)
        case_of[shape.table.name, row[shape.key[0]]] = case_id
        found.setdefault(case_id, []).append(left)
    for left in children:
        place, parent = left.shape.parent or (0, "")
        found.setdefault(case_of.get((parent, left.row[place]), ""), []).append(left)
    return found


def _group_of(shape: Shape, row: Sequence[Any]) -> str:
    if shape.batch is not None:
        return upload_group(row[shape.batch])
    return "" if shape.case is None else str(row[shape.case] or "")


def upload_group(batch_id: str) -> str:
    """Return what the seals of the rows of an upload have in place of a case id."""
    return f"batch:{batch_id}"


class NewRecord(NamedTuple):
    """A seal record that is not written yet."""

    case_id: str
    """Empty for rows of no case."""
    digest: str
    salt: str
    rows: str


def sealed_rows(written: Iterable[Left]) -> list[NewRecord]:
    """Return one seal record for each case, and one for the rows without a case."""
    found = []
    for case_id, rows in _records(written).items():
        salt = secrets.token_hex(16)
        told: dict[str, dict[str, str | None]] = {}
        for shape, row, gone in rows:
            seal = None if gone else seal_of(shape, row, salt)
            told.setdefault(shape.table.name, {})[key_of(shape, row)] = seal
        payload = canonical(told)
        found.append(NewRecord(case_id, digest_of(salt, payload), salt, payload))
    return found


def sequence_now(run: Run, new: Sequence[NewRecord], events: Sequence[NewEvent]) -> None:
    """Write seal records, and give these and the events their positions in this transaction, the only one that writes
    now.
    """
    heads = Heads(*run(HEADS)[0])
    rows = [
        (heads.seals + place, each.case_id or None, each.digest, each.salt, each.rows)
        for place, each in enumerate(new, 1)
    ]
    if rows:
        run(f"INSERT INTO seals (number, {_COLUMNS}) VALUES (?, ?, ?, ?, ?)", rows)
    seals = [NewSeal(row[0], each.case_id, each.digest) for row, each in zip(rows, new, strict=True)]
    for statement in sequence(heads, events, seals)[1]:
        run(*statement)


_COLUMNS = "case_id, digest, salt, rows"
_LIST = f"""
WITH sealed AS (
  INSERT INTO seals ({_COLUMNS})
  SELECT {_COLUMNS} FROM json_to_recordset(%s) AS told (case_id text, digest text, salt text, rows text)
  RETURNING number
)
INSERT INTO unsequenced (kind, number, at) SELECT 'seal', number, clock_timestamp() FROM sealed
"""


def write_listed(conn: Connection, new: Sequence[NewRecord]) -> None:
    """Write seal records and list them for the sequencer, on PostgreSQL."""
    if new:
        rows = [each._asdict() | {"case_id": each.case_id or None} for each in new]
        conn.exec_driver_sql(_LIST, (json.dumps(rows),))
