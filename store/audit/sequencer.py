"""The loop that gives events and seals on PostgreSQL their positions, right after the commit of their transaction.

Each worker and each gateway runs the loop, and one of them does the work: it looks every 25 milliseconds. The others
look every quarter of a second whether an event or seal has waited for longer than half a second. If so, the process
that did the work has died or hangs, and one of the others takes over. Two processes that work at the same time do no
harm: each batch locks the row of `chain`, and the process that finds this row locked steps back.

There is no lock between batches, so nothing is left behind when the process is killed. PostgreSQL rolls back a batch
that was not committed; the next batch repeats it.
"""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any

from sqlalchemy import URL, Connection, event, exc as sql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from store.audit.sequencing import Run, runner_of, sequence_listed
from store.db.database import DatabaseUnavailable, normalised

log = logging.getLogger("holdgate.store")

PAUSE_S = 0.025
"""The pause of the process that does the work, in seconds, also between two batches.

Small batches cost more than large ones.
"""
LATE_S = 0.5
"""If an event or seal has waited for more seconds than this, the process that did the work has died or hangs."""
STANDBY_PAUSE_S = 0.25
"""The pause of a process that does not do the work, in seconds."""
AFTER_ERROR_S = 0.5
"""The pause after an error, in seconds."""
LAST_S = 2
"""The time in seconds that a process that ends has to sequence what it wrote last."""
HUNG_S = 2
"""PostgreSQL ends the session of a process that holds the lock for so many seconds without a statement."""


class Sequencer:
    """The loop of one process. On SQLite there is nothing to do: a transaction sequences what it wrote."""

    def __init__(self, url: str) -> None:
        """Store the database URL.

        The connection is opened when it is needed. Raises ValueError as `normalised` does.
        """
        where = normalised(url)
        self._engine = _engine(where) if where.get_backend_name() == "postgresql" else None
        self.working = True
        """Whether this process does the work. A new process begins with True, and steps back if another one works."""
        self._failing = False

    async def run(self) -> None:
        """Sequence until cancelled, then once more, and close the connection. On SQLite return at once.

        Raises only CancelledError: other errors are logged, and the next round tries again.
        """
        if self._engine is None:
            return
        try:
            while True:
                try:
                    async with self._engine.connect() as conn:
                        await self._keep_on(conn)
                except _AWAY as error:
                    if not self._failing:  # an outage is logged once
                        log.warning(
                            "the database does not answer, so new events have no position yet; the sequencer tries "
                            "again every %s s: %s",
                            *(AFTER_ERROR_S, error),
                        )
                    self._failing = True
                except Exception:  # any error is logged, and the next round tries again
                    log.exception("new events got no position; the sequencer tries again")
                await asyncio.sleep(AFTER_ERROR_S)
        finally:
            with suppress(DatabaseUnavailable, TimeoutError):
                async with asyncio.timeout(LAST_S):
                    await self.catch_up()  # what this process wrote last; perhaps no other one runs
            await self.close()

    async def catch_up(self) -> bool:
        """Sequence what is listed now, for programs that write and end, such as commands.

        Events that other programs write from now on are left to these programs; otherwise this call might never end.
        Return False if another process is just sequencing, and may have left something. On SQLite return True at once.
        Raises DatabaseUnavailable if the database does not answer; the events stay listed.
        """
        if self._engine is None:
            return True
        began = time.monotonic()
        try:
            async with self._engine.connect() as conn:
                while await _waits(conn, time.monotonic() - began):
                    if not await conn.run_sync(sequence_in_transaction):
                        return False
                return True
        except _AWAY as error:
            raise DatabaseUnavailable(
                f"events that were written have no position yet: {error}. A worker or a gateway will give them "
                "their positions"
            ) from error

    async def close(self) -> None:
        """Close the connection."""
        if self._engine is not None:
            with suppress(*_AWAY):
                await self._engine.dispose()

    async def _keep_on(self, conn: AsyncConnection) -> None:
        while True:
            if await _waits(conn, 0.0 if self.working else LATE_S):
                self.working = await conn.run_sync(sequence_in_transaction)
            self._failing = False
            await asyncio.sleep(PAUSE_S if self.working else STANDBY_PAUSE_S)


_AWAY = (sql.SQLAlchemyError, OSError)


def _engine(where: URL) -> AsyncEngine:
    engine = create_async_engine(
        where,
        pool_size=1,
        isolation_level="AUTOCOMMIT",  # a look is one message and not three
        connect_args={"connect_timeout": 3},
    )
    event.listen(engine.sync_engine, "connect", _end_when_hung)
    return engine


def _end_when_hung(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET idle_in_transaction_session_timeout = '{HUNG_S}s'")
    cursor.close()
    connection.commit()


async def _waits(conn: AsyncConnection, longer_than_s: float = 0.0) -> bool:
    """Return True if an event or a seal has waited for a position for at least so many seconds."""
    return bool((await conn.exec_driver_sql(_WAITS, (longer_than_s,))).scalar_one())


_WAITS = "SELECT EXISTS (SELECT FROM unsequenced WHERE at <= clock_timestamp() - make_interval(secs => %s))"


def sequence_in_transaction(conn: Connection) -> bool:
    """Run one batch in a transaction of its own. Return False if another process is just running a batch."""
    run: Run = runner_of(conn)
    run("BEGIN")
    try:
        done = sequence_listed(run)
    except BaseException:
        with suppress(sql.SQLAlchemyError):
            run("ROLLBACK")
        raise
    run("COMMIT")
    return done
