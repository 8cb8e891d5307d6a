"""The loop that gives events and seals on PostgreSQL their positions, right after the commit of their transaction.

Each worker and each gateway runs the loop, and one of them does the work: it looks every few milliseconds. The others
only look whether something has waited for longer than `LATE`. Then the process that did the work has died or hangs, and
one of the others takes over. Two that work at the same time do no harm: the row of `chain` is locked in each batch, and
the one that finds it locked steps back.

There is no lock between batches, so nothing is left behind when the process is killed. PostgreSQL rolls back a batch
that was not committed; the next batch repeats it.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, exc as sql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from store.audit.sequencing import Run, runner_of, sequence_listed
from store.db.database import Database, normalised

log = logging.getLogger("holdgate.store")

SHORTEST_PAUSE_S = 0.002
LONGEST_PAUSE_S = 0.03
"""The longest pause between two looks of the process that does the work. The pause grows while there is no work."""
LATE_S = 0.5
"""What has waited for longer than this was forgotten by the process that does the work."""
STANDBY_PAUSE_S = 0.25
AFTER_ERROR_S = 0.5
HUNG_S = 2
"""PostgreSQL ends the session of a process that holds the lock for so long without a statement."""


class Sequencer:
    """The loop of one process."""

    def __init__(self, url: str) -> None:
        """Store the database URL. On SQLite there is nothing to do, and `run` returns at once."""
        self._where = normalised(url)
        self.working = True
        """Whether this process does the work. A new process tries, and steps back if another one does it."""
        self._failing = False

    async def run(self) -> None:
        """Sequence until cancelled. Raises only CancelledError."""
        if self._where.get_backend_name() == "sqlite":
            return
        engine = _engine(self._where)
        try:
            while True:
                try:
                    async with engine.connect() as conn:
                        await self._keep_on(conn)
                except (sql.SQLAlchemyError, OSError) as error:
                    if not self._failing:  # an outage is logged once
                        log.warning("events are not sequenced now, it is tried again: %s", error)
                    self._failing = True
                await asyncio.sleep(AFTER_ERROR_S)
        finally:
            with suppress(sql.SQLAlchemyError, OSError):
                await engine.dispose()

    async def _keep_on(self, conn: AsyncConnection) -> None:
        pause = SHORTEST_PAUSE_S
        while True:
            late = 0.0 if self.working else LATE_S
            if (await conn.exec_driver_sql(_WAITS, (late,))).scalar_one():
                self.working = await conn.run_sync(sequence_in_transaction)
                pause = SHORTEST_PAUSE_S
            else:
                pause = min(pause * 2, LONGEST_PAUSE_S)
            self._failing = False
            await asyncio.sleep(pause if self.working else STANDBY_PAUSE_S)


async def catch_up(db: Database) -> None:
    """Sequence what is listed now. For programs that write and end, such as commands; on SQLite there is nothing to do.

    Does nothing more if another process is just sequencing. Raises DatabaseUnavailable.
    """
    more = db.kind == "postgresql"
    while more:
        async with db.write() as conn:
            more = await conn.run_sync(lambda sync: sequence_listed(runner_of(sync)))
            more = more and (await conn.exec_driver_sql(_WAITS, (0.0,))).scalar_one()


def _engine(where: Any) -> AsyncEngine:
    return create_async_engine(
        where,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",  # a look is one message and not three
        connect_args={
            "connect_timeout": 3,
            "options": f"-c idle_in_transaction_session_timeout={HUNG_S}s -c lock_timeout={HUNG_S}s",
        },
    )


_WAITS = "SELECT EXISTS (SELECT FROM unsequenced WHERE at <= clock_timestamp() - make_interval(secs => %s))"


def sequence_in_transaction(conn: Connection) -> bool:
    """Run one batch in a transaction of its own. Return False if another process is just running one."""
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
