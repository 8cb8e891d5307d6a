"""Transactions on PostgreSQL, each on a connection of SQLAlchemy's pool."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import create_async_engine

from store.audit.seals import SealingConnection
from store.db.connection import PostgresConnection


class PostgresTransactions:
    """The transactions of one event loop on one database."""

    def __init__(self, where: URL, patience: float) -> None:
        """Open nothing yet; `patience` is how many seconds a transaction waits for a connection or a lock."""
        self._engine = create_async_engine(
            where,
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=10,
            pool_timeout=patience,
            connect_args={"connect_timeout": int(patience)},
        )
        event.listen(self._engine.sync_engine, "connect", partial(_limit_waiting_for_locks, patience))
        self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[SealingConnection]:
        """Open one transaction that writes. The written rows are sealed before the commit."""
        conn = PostgresConnection(self._engine)
        async with conn, conn.begin():
            sealing = SealingConnection(conn)
            yield sealing
            await sealing.seal()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[PostgresConnection]:
        """Open one snapshot of the moment of the first statement, in which nothing can be written."""
        conn = PostgresConnection(self._reader)
        async with conn, conn.begin():
            yield conn

    async def empty_log(self) -> bool:
        """Do nothing: the server recycles its log."""
        return True

    async def close(self) -> None:
        """Close the connections that are not in use. A connection in use is closed after its transaction."""
        await self._engine.dispose()


def _limit_waiting_for_locks(seconds: float, connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET lock_timeout = '{seconds:.0f}s'")
    cursor.close()
    connection.commit()
