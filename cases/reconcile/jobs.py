"""The background jobs that repair cases, as a list. `worker.py` starts these jobs.

To add a job, add an entry to the list in `jobs`: its function, and its log lines. `worker.py` itself starts the import
of the drop folder, the dispatcher of notifications and the heartbeat.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio.client import Client

from cases.reconcile.blocked_workflows import BlockedWorkflows, Defects
from cases.reconcile.changed_people import Recounter
from cases.reconcile.closed_in_temporal import Watcher
from cases.reconcile.lost_batches import LostImports
from cases.reconcile.next_rounds import Resubmitter
from cases.reconcile.refused_messages import Refusals
from cases.rollback import Rollbacks
from cases.submit import Starter
from core.repeat import repeat
from store.audit.refusal_counts import CountedRefusals
from store.cases.unanswered_messages import UnansweredMessages
from store.db import heartbeats
from store.db.database import Database, DatabaseUnavailable
from store.people import demo_people

SWEEP_EVERY = timedelta(seconds=5)
HEARTBEAT_EVERY = timedelta(seconds=2)
REFUSALS_EVERY = timedelta(seconds=1)
PEOPLE_EVERY = timedelta(seconds=1)
"""How often the worker looks for people who changed: open gates must know within 5 s who has left."""

log = logging.getLogger("holdgate.worker")


@dataclass(frozen=True)
class Job:
    """A background job: a function that is called again and again, with its log lines and its pause."""

    look: Callable[[], Awaitable[int]]
    """The function of the job: does the work of one round, and returns the number of things that it changed."""
    found: str
    """The log line for a round whose result is not 0; `%d` stands for the result."""
    failed: str
    """The log line for a round that raised an exception."""
    every: timedelta = SWEEP_EVERY
    """The pause between the end of a round and the start of the next."""

    async def run(self) -> None:
        """Repeat rounds until cancelled. If a round fails, log the error; the next round tries again."""

        async def step() -> bool:
            if count := await self.look():
                log.info(self.found, count)
            return False

        await repeat(step, lambda _: self.every.total_seconds(), self.failed, log=log)


def heartbeat(database: Database, name: str) -> Job:
    """Return the job that stores, again and again, the time at which the worker with this name was alive."""

    async def beat() -> int:
        try:
            async with database.write() as connection:
                await heartbeats.beat(connection, name, datetime.now(UTC))
        except DatabaseUnavailable as error:
            log.warning("no heartbeat: %s", error)
        return 0

    return Job(beat, "", "no heartbeat", HEARTBEAT_EVERY)


def jobs(
    database: Database, client: Client, starter: Starter, refusals: Refusals, defects: Defects, *, demo: bool
) -> list[Job]:
    """Return all jobs for cases.

    `refusals` and `defects` are interceptors of the worker: they collect refused messages and Workflows with errors.
    `demo` is True if the demo is on; otherwise one more job deactivates the demo people.
    """
    watcher = Watcher(database, client, Rollbacks(database, client, starter))
    without_demo = Job(
        # Deactivate the people of an earlier demo when the demo is off.
        lambda: demo_people.dismiss_all(database, by="holdgate"),
        "%d demo people were deactivated: the demo is off",
        "demo people could not be deactivated",
    )
    return [
        Job(
            # In `cases/submit.py`: start what was stored and not started, and delete half-received files.
            starter.sweep,
            "started %d cases and batches that were stored and not started",
            "stored cases and batches could not be started",
        ),
        Job(
            Recounter(database, client).look,
            "%d open gates check again who can decide them",
            "open gates could not check again who can decide them",
            PEOPLE_EVERY,
        ),
        Job(
            watcher.look,
            "%d cases were ended or reset in Temporal",
            "could not look for cases that were ended in Temporal",
        ),
        Job(
            LostImports(database, client).look,
            "%d imports were lost in Temporal",
            "could not look for imports that were lost in Temporal",
        ),
        Job(
            BlockedWorkflows(database, client, defects.suspects).look,
            "%d cases are blocked, or continue again",
            "could not look for blocked cases",
        ),
        Job(
            UnansweredMessages(database).look,
            "%d decisions and actions were refused because their task has closed",
            "could not look for decisions and actions without an answer",
        ),
        Job(
            CountedRefusals(database).look,
            "%d counts of refusals were written into the audit log",
            "counts of refusals could not be written into the audit log",
        ),
        Job(
            Resubmitter(database, starter).look,
            "%d failed cases were submitted again",
            "failed cases could not be submitted again",
        ),
        Job(
            refusals.look,
            "%d refused messages were recorded",
            "refused messages could not be recorded",
            REFUSALS_EVERY,
        ),
        *([] if demo else [without_demo]),
    ]
