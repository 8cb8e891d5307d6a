"""A worker that is killed right after it has written an event of a kind to SQL.

Start it with `python -m tests.support.worker_killed_in_rollback`.

SQL then has the event, and Temporal's history does not: the moment in which an engine could lose or repeat an effect.
"""

import asyncio
import os
import signal
import sys
from datetime import timedelta

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from activities.engine.records import Records
from cases.pinned_policies import PinnedPolicies
from cases.sql_records import SqlRecords
from domain.names import TASK_QUEUE
from domain.records import CaseRecord, Written
from plugins.testing.signatures import trust_test_key
from store.db.database import Database
from store.people import people
from tests.support.errands import ErrandRequest, Errands, Receiver
from tests.support.sample_processes import ErrandProcess


class Dying(SqlRecords):
    """Writes, and takes its process with it."""

    def __init__(self, database: Database, policies: PinnedPolicies, kind: str) -> None:
        super().__init__(database, policies)
        self._kind = kind

    async def record(self, record: CaseRecord) -> Written:
        written = await super().record(record)
        if any(event.kind == self._kind for event in record.events):
            os.kill(os.getpid(), signal.SIGKILL)
        return written


async def main(address: str, url: str, kind: str) -> None:
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    database = Database(url)
    errands = Errands(Receiver())
    inputs = {"errand": ErrandRequest}
    policies = PinnedPolicies(database, inputs)
    records = Records(Dying(database, policies, kind), policies, people.PeopleDirectory(database), inputs)
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[ErrandProcess],
        activities=[
            trust_test_key().verify_signature,
            records.record,
            records.open_gate,
            records.rule_again,
            records.count,
            errands.fetch,
            errands.bring_back,
            errands.pack,
            errands.unpack,
            errands.send,
            errands.recall,
        ],
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
    )
    print("working", flush=True)  # noqa: T201  # the parent process waits for this line
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
