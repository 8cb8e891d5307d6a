"""Statements that are made once, at import, and run often.

SQLAlchemy needs longer to recognize a statement that it has compiled before than SQLite needs to run it. For SQLite, a
`Prepared` statement keeps its SQL text and the converters of its parameters and results, so that the driver runs it
directly. For PostgreSQL, SQLAlchemy runs the same statement.

`tests/store/db/test_prepared.py` runs random statements both ways and compares the results.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import CompoundSelect, Delete, Dialect, Insert, Select, Table, Update, exc
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert, pysqlite
from sqlalchemy.engine import IteratorResult
from sqlalchemy.engine.result import SimpleResultMetaData

Statement = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]] | Insert | Update | Delete
Values = Mapping[str, Any]

DIALECT: Dialect = pysqlite.dialect(dbapi=sqlite3, paramstyle="named")
"""The dialect of prepared statements: the driver gets their parameters by name."""
MOST_IN_LIST = 16
"""Above this length of an `IN` list SQLAlchemy runs the statement: each length would need an SQL text of its own."""


class Rows(IteratorResult[*tuple[Any, ...]]):
    """The result of a statement, with all its rows in memory.

    `rowcount` is the number of rows that an INSERT, UPDATE or DELETE wrote. `rowcount` has no meaning for a SELECT.
    """

    def __init__(self, about: SimpleResultMetaData, rows: Sequence[Any], rowcount: int) -> None:
        super().__init__(about, iter(rows))
        self.rowcount = rowcount


_NOTHING = SimpleResultMetaData([])


class Prepared:
    """A statement for both databases that is made once and run often, with bind parameters for its values.

    On SQLite the statement runs in the event loop, so the statement must read or write a few rows by an index, unless
    it is `long`.
    """

    def __init__(self, sqlite: Statement, postgresql: Statement, *, long: bool = False) -> None:
        """Prepare two statements that do the same; they differ where an INSERT says what to do on a conflict.

        A `long` statement may read many rows: on SQLite it runs in a thread.
        """
        self.sqlite = sqlite
        self.postgresql = postgresql
        self.long = long
        self._plans: dict[Any, Plan] = {}

    def plan(self, first: Values) -> "Plan | None":
        """Return how SQLite runs the statement with parameters of these names.

        Return None if an `IN` list has more than `MOST_IN_LIST` values: SQLAlchemy must then run the statement.
        """
        names = tuple(first)
        plan = self._plans.get(names)
        if plan is None:
            plan = self._plans[names] = Plan(self.sqlite, first)
        if not plan.lists:
            return plan
        lengths = tuple(len(first[name]) for name in plan.lists)
        if max(lengths) > MOST_IN_LIST:
            return None
        key = names, lengths
        expanded = self._plans.get(key)
        if expanded is None:
            expanded = self._plans[key] = Plan(self.sqlite, first)
        return expanded


def prepared(statement: Statement, *, long: bool = False) -> Prepared:
    """Prepare a statement that is the same for both databases; a `long` one may read many rows."""
    return Prepared(statement, statement, long=long)


def prepared_insert(table: Table, then: Callable[[Any], Any]) -> Prepared:
    """Prepare an INSERT; `then` adds `on_conflict_do_nothing` or `on_conflict_do_update` to the INSERT."""
    return Prepared(then(SqliteInsert(table)), then(PostgresInsert(table)))


class Plan:
    """The SQL text of a statement for parameters of certain names, and the converters of parameters and results."""

    def __init__(self, statement: Statement, first: Values) -> None:
        """Compile the statement. `first` has parameters with the names, and with lists of the lengths, for which the
        plan is made.
        """
        defaults = _defaults(statement, first)
        compiled: Any = statement.compile(dialect=DIALECT, column_keys=[*first, *defaults])
        state = compiled.construct_expanded_state({**first, **defaults}, escape_names=False)
        self.sql: str = state.statement
        self.lists = [name for name in first if name in state.parameter_expansion]
        self._expanded = {name: state.parameter_expansion[name] for name in self.lists}
        found = {name: _to_driver(bind) for name, bind in compiled.binds.items()} | dict(state.processors)
        convert = {name: each for name, each in found.items() if each is not None and name in state.parameters}
        given = {*first, *(each for names in self._expanded.values() for each in names)}
        self._constants = {
            name: convert[name](value) if name in convert else value
            for name, value in state.parameters.items()
            if name not in given
        }
        self._converters = [(name, convert[name]) for name in given if name in convert]
        columns: Any = statement.exported_columns
        self._answers = len(columns) > 0
        self._about = _NOTHING
        readers = [column.type.dialect_impl(DIALECT).result_processor(DIALECT, None) for column in columns]
        self._readers = [(place, read) for place, read in enumerate(readers) if read is not None]

    def run(self, cursor: sqlite3.Cursor, many: Sequence[Values]) -> Rows:
        """Run the statement once for each set of parameters, and return the rows of all these runs.

        Raises the errors of `sqlalchemy.exc` that SQLAlchemy would raise.
        """
        sets = [self._bound(values) for values in many]
        found: list[Any] = []
        count = 0
        try:
            if len(sets) == 1 or self._answers:
                for values in sets:
                    found += cursor.execute(self.sql, values).fetchall()
                    count += cursor.rowcount
            else:
                count = cursor.executemany(self.sql, sets).rowcount
        except sqlite3.Error as error:
            raise driver_error(self.sql, sets[0], error) from error
        if self._answers and self._about is _NOTHING:
            # SQLAlchemy names some columns, such as sums, when it compiles a statement.
            self._about = SimpleResultMetaData([name for name, *_ in cursor.description])
        return Rows(self._about, self._read(found), count)

    def _bound(self, values: Values) -> Values:
        found = {**self._constants, **values}
        for name, names in self._expanded.items():
            found.update(zip(names, found.pop(name), strict=True))
        try:
            for name, convert in self._converters:
                found[name] = convert(found[name])
        except Exception as error:
            raise exc.StatementError(str(error), self.sql, values, error) from error
        return found

    def _read(self, rows: list[Any]) -> list[Any]:
        if not self._readers:
            return rows
        found = []
        for row in rows:
            values = list(row)
            for place, read in self._readers:
                values[place] = read(values[place])
            found.append(tuple(values))
        return found


def driver_error(sql: str, values: Any, error: sqlite3.Error) -> Exception:
    """Return the SQLAlchemy error for an error of SQLite's driver."""
    return exc.DBAPIError.instance(sql, values, error, sqlite3.Error, dialect=DIALECT)


def _to_driver(bind: Any) -> Callable[[Any], Any] | None:
    convert: Callable[[Any], Any] | None = bind.type.dialect_impl(DIALECT).bind_processor(DIALECT)
    return convert


def _defaults(statement: Statement, first: Values) -> dict[str, Any]:
    """Return the default values of the columns that an INSERT does not name.

    SQLAlchemy itself adds these values only when it runs the statement.
    """
    if not isinstance(statement, Insert):
        return {}
    left = [column for column in statement.table.c if column.default is not None and column.key not in first]
    return {column.key: column.default.arg for column in left}  # type: ignore[union-attr]
