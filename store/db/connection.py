"""The connection that statements of `store/` run on, for either database."""

from typing import Any, Protocol, TypeVarTuple, overload

from sqlalchemy import CursorResult, Dialect, Executable, Result, ScalarResult
from sqlalchemy.ext.asyncio import AsyncConnection as SqlAlchemyConnection
from sqlalchemy.sql.selectable import TypedReturnsRows

from store.db.prepared import Prepared, Rows

Found = CursorResult[*tuple[Any, ...]] | Rows
"""The result of a statement, with all its rows in memory."""

Ts = TypeVarTuple("Ts")


class AsyncConnection(Protocol):
    """The part of SQLAlchemy's AsyncConnection that `store/` uses. A connection also runs `Prepared` statements.

    `SqliteConnection` and `PostgresConnection` satisfy this protocol, and so does `SealingConnection`, which seals what
    it writes. Run one statement at a time.
    """

    @property
    def dialect(self) -> Dialect:
        """The dialect, whose `name` is `sqlite` or `postgresql`."""

    @overload  # a SELECT is an Executable too
    async def execute(  # type: ignore[overload-overlap]
        self, statement: TypedReturnsRows[*Ts], parameters: Any = None
    ) -> Result[*Ts]: ...

    @overload
    async def execute(self, statement: Executable | Prepared, parameters: Any = None) -> Found: ...

    async def execute(self, statement: Any, parameters: Any = None) -> Any:
        """Run an SQLAlchemy statement or a `Prepared` one, and return its result with all rows in memory.

        With a list of parameters, run the statement once for each of them.
        """

    async def scalar(self, statement: Any, parameters: Any = None) -> Any:
        """Run a statement and return the first column of its first row; None if there is no row."""

    async def scalars(self, statement: Any, parameters: Any = None) -> ScalarResult[Any]:
        """Run a statement and return the first column of its rows."""


class PostgresConnection(SqlAlchemyConnection):
    """A connection to PostgreSQL: SQLAlchemy runs every statement."""

    async def execute(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        """Run an SQLAlchemy statement or a `Prepared` one, as `AsyncConnection.execute` does."""
        if isinstance(statement, Prepared):
            statement = statement.postgresql
        return await super().execute(statement, parameters, execution_options=execution_options)
