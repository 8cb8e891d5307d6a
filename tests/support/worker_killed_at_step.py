"""A worker that is killed at the points a test names.

Start it with `python -m tests.support.worker_killed_at_step ADDRESS DATABASE FOLDER`.

A file in FOLDER/doomed, named for a case and a point, plans a kill. The worker that reaches the point moves the file to
FOLDER/dead and ends its process, as `kill -9` does. The next worker starts at once, forked from a parent that has
imported everything.
"""

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel
from temporalio import activity
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor, Worker

from activities.engine.attempt_counter import CountAttempts
from activities.engine.record_first import RecordFirst
from activities.engine.records import Records
from cases.pinned_policies import PinnedPolicies
from cases.sql_records import SqlRecords
from cases.submit import Starter
from core.settings import load
from domain.names import TASK_QUEUE
from domain.records import CaseRecord, Written
from domain.step import StepCall
from plugins.activities import activities_of
from plugins.shipped import steps
from plugins.testing.signatures import trust_test_key
from policy.file import PolicyFile
from store.db.database import Database
from store.people import people
from tests.support.engine_fixture import KINDS
from tests.support.five_step_process import FiveProcess, FiveRequest, Receiver, five_steps
from workflows.registry import INPUTS, workflows


class Fate:
    """Which deaths are still to come."""

    def __init__(self, folder: Path) -> None:
        self.doomed, self.dead = folder / "doomed", folder / "dead"
        for each in (self.doomed, self.dead):
            each.mkdir(parents=True, exist_ok=True)

    def decree(self, case_id: str, point: str) -> None:
        """Let the worker die when this case reaches this point for the first time."""
        (self.doomed / self._name(case_id, point)).touch()

    def reach(self, case_id: str, point: str) -> None:
        """A case is at a point; if that is fatal, this does not return."""
        name = self._name(case_id, point)
        if (self.doomed / name).exists():
            (self.doomed / name).rename(self.dead / name)
            os.kill(os.getpid(), signal.SIGKILL)

    @staticmethod
    def _name(case_id: str, point: str) -> str:
        return f"{quote(case_id, safe='')}@{point}"


class Mortal(Interceptor):
    """Before and after each step and undo: after it took effect, and before anybody hears of that."""

    def __init__(self, fate: Fate) -> None:
        self._fate = fate

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        fate = self._fate

        class Around(ActivityInboundInterceptor):
            async def execute_activity(self, input: ExecuteActivityInput) -> Any:
                call, name = input.args[0], activity.info().activity_type
                if isinstance(call, StepCall):
                    fate.reach(call.case_id, f"before {name}")
                result = await super().execute_activity(input)
                if isinstance(call, StepCall):
                    fate.reach(call.case_id, f"after {name}")
                return result

        return Around(next)


class MortalRecords(SqlRecords):
    """Before and after each record: it is in SQL then, and Temporal's history does not know."""

    def __init__(self, database: Database, policies: PinnedPolicies, fate: Fate) -> None:
        super().__init__(database, policies)
        self._fate = fate

    async def record(self, record: CaseRecord) -> Written:
        kinds = [event.kind for event in record.events]
        for kind in kinds:
            self._fate.reach(record.case_id, f"before record of {kind}")
        written = await super().record(record)
        for kind in kinds:
            self._fate.reach(record.case_id, f"after record of {kind}")
        return written


async def live(address: str, url: str, folder: Path) -> None:
    fate, database = Fate(folder), Database(url)
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    inputs: dict[str, type[BaseModel]] = {**INPUTS, "five": FiveRequest}
    policies = PinnedPolicies(database, inputs, {name: process.steps for name, process in KINDS.items()})
    store = MortalRecords(database, policies, fate)
    records = Records(store, policies, people.PeopleDirectory(database), inputs)
    settings = load(var=folder)
    starter = Starter(database, client, PolicyFile(settings.policy, INPUTS))
    await Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[*workflows().values(), FiveProcess],
        activities=[
            *five_steps(Receiver(folder / "receiver.db")),
            *activities_of(records, trust_test_key(), *steps(database, client, starter, policies, settings)),
        ],
        interceptors=[Mortal(fate), CountAttempts(), RecordFirst(store)],
        workflow_failure_exception_types=[Exception],
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
    ).run()


def main(address: str, url: str, folder: str) -> None:
    """One life after another, until this process is ended; the one that lives then is ended with it."""
    life = 0

    def end(*_: object) -> None:
        os.kill(life, signal.SIGKILL)
        os._exit(0)

    while True:
        life = os.fork()
        if not life:
            asyncio.run(live(address, url, Path(folder)))
        signal.signal(signal.SIGTERM, end)
        os.waitpid(life, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
