"""The Temporal workers: which task queue runs which code, and how much runs at the same time."""

from collections.abc import Sequence
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Interceptor, Worker

from activities.engine.attempt_counter import CountAttempts
from activities.engine.batch_rows import Imports
from activities.engine.foreign_activities import RefuseForeign
from activities.engine.record_first import RecordFirst
from activities.engine.records import Records
from activities.engine.signatures import Signatures
from cases.pinned_policies import PinnedPolicies
from cases.sql_records import SqlRecords
from cases.submit import Starter
from core.settings import Settings
from domain.names import BULK_TASK_QUEUE, TASK_QUEUE
from intake.start_rows import BatchPace, Importer
from plugins.activities import activities_of
from plugins.shipped import steps
from store.db.database import Database
from store.people import people
from workflows.engine.signatures import verify_updates_with
from workflows.payload_visits import leave_out_needless
from workflows.registry import INPUTS, workflows
from workflows.sandbox import workflow_runner

STICKY_TIMEOUT = timedelta(seconds=1)
"""How long a case waits for the worker that has the case in memory, before another worker takes it.

With the default of the SDK, a decision after a crash takes 10 s.
"""
AT_ONCE = 16
"""How many steps, and how many writes of records, run at the same time in one worker.

All of them use the database: with more, an import of thousands of cases makes a step wait so long that the step times
out and is tried again.
"""
CACHED_CASES = 400
"""How many waiting cases a worker keeps in memory, which takes about 60 MB.

All other cases are replayed from history in a few hundredths of a second.
"""

HEARTBEATS_AT_LEAST_EVERY = timedelta(seconds=2)
"""The longest time between heartbeats of an import. The SDK's default, 80 % of the timeout, would notice a dead
import late."""


def workers(
    client: Client,
    database: Database,
    starter: Starter,
    settings: Settings,
    signatures: Signatures,
    own_steps: Sequence[object] = (),
    interceptors: Sequence[Interceptor] = (),
) -> list[Worker]:
    """Return the worker for cases, and the worker for imports, which has its own slots.

    `signatures` verifies the messages to cases. `own_steps` are the steps of the plugins.
    """
    verify_updates_with(signatures)
    leave_out_needless()
    policies = PinnedPolicies(database, INPUTS)
    store = SqlRecords(database, policies)
    records = Records(store, policies, people.PeopleDirectory(database), INPUTS)
    pace = BatchPace(in_flight=settings.batch_in_flight, per_second=settings.batch_rate)
    return [
        Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=list(workflows().values()),
            activities=activities_of(
                records, signatures, *steps(database, client, starter, policies, settings), *own_steps
            ),
            interceptors=[*interceptors, RefuseForeign(), CountAttempts(), RecordFirst(store)],
            workflow_runner=workflow_runner(),
            max_concurrent_activities=AT_ONCE,
            max_concurrent_local_activities=AT_ONCE,
            max_cached_workflows=CACHED_CASES,
            sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        ),
        Worker(
            client,
            task_queue=BULK_TASK_QUEUE,
            activities=activities_of(Imports(Importer(database, client, starter, pace))),
            interceptors=[*interceptors, RefuseForeign()],
            max_heartbeat_throttle_interval=HEARTBEATS_AT_LEAST_EVERY,
        ),
    ]
