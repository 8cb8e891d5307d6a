"""A test harness: the real Temporal server with a clock that tests move forward, and methods that act on cases as
people do.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Interceptor, Worker

from activities.engine.attempt_counter import CountAttempts
from activities.engine.foreign_activities import RefuseForeign
from activities.engine.record_first import RecordFirst
from activities.engine.records import RecordStore
from cases.rollback import Rollbacks
from cases.submit import Starter
from core.payload_codec import DataKeys
from core.payloads import converter
from core.signed_client import Signing, signing
from core.temporal_binary import temporal_binary
from domain.case import CaseResult, CaseState
from domain.messages import Actor, Cancellation, Decision, Receipt
from domain.names import SEARCH_ATTRIBUTES, TASK_QUEUE
from domain.status import Verdict
from domain.task import TaskView
from plugins.testing.signatures import TEST_KEY, trust_test_key
from store.audit import audit_log
from store.cases import cases
from store.db.database import Database
from store.people import people
from workflows.sandbox import workflow_runner

Handle = WorkflowHandle[Any, CaseResult]


async def time_skipping_server(keys: DataKeys | None = None, **more: Any) -> WorkflowEnvironment:
    """Start a Temporal server whose clock tests can move forward. The start takes less than a second.

    The client of the server signs its messages with the key of tests, and encrypts payloads with `keys`, if given.

    `more` are options of the SDK's `start_time_skipping_v2`.
    """
    return await WorkflowEnvironment.start_time_skipping_v2(
        interceptors=[Signing(TEST_KEY, "default")],
        dev_server_existing_path=str(temporal_binary()),
        data_converter=converter(keys),
        search_attributes=SEARCH_ATTRIBUTES,
        dev_server_extra_args=[
            "--dynamic-config-value",
            "frontend.WorkflowTimeSkippingEnabled=true",
            "--dynamic-config-value",
            'history.timerProcessorMaxTimeShift="10ms"',
            "--dynamic-config-value",
            "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute=2",
        ],
        **more,
    )


async def unskipped(env: WorkflowEnvironment) -> Client:
    """Connect a client without time skipping, for code that starts cases: with time skipping, the timers of these cases
    would fire at once.
    """
    target = env.client.service_client.config.target_host
    client = await Client.connect(target, data_converter=env.client.data_converter)
    return signing(client, TEST_KEY)


def worker_of(
    client: Client,
    workflows: Iterable[type],
    activities: Iterable[Callable[..., Any]],
    store: RecordStore,
    *,
    cached: int = 1000,
    interceptors: Sequence[Interceptor] = (),
    defects_fail: bool = True,
) -> Worker:
    """Return a worker for tests that keeps `cached` Workflows in memory. `store` is that of `Records`.

    With `defects_fail`, an exception that the code does not expect fails its Workflow at once, so that a test fails and
    does not hang. In production, the Workflow task is retried until the code is corrected.
    """
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=list(workflows),
        activities=[*activities, trust_test_key().verify_signature],
        interceptors=[*interceptors, RefuseForeign(), CountAttempts(), RecordFirst(store)],
        workflow_runner=workflow_runner(),
        workflow_failure_exception_types=[Exception] if defects_fail else [],
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
        max_cached_workflows=cached,
    )


async def add_people(database: Database, groups: Mapping[str, Iterable[str]]) -> None:
    """Add people who can decide, with the groups of each.

    Without candidates for a gate, the case would ask operators at once.
    """
    async with database.write() as connection:
        known = {person.id for person in await people.all(connection)}
        for group, persons in groups.items():
            for person in sorted(set(persons) - known):
                await people.add(connection, person, person.capitalize(), [group], by="ada")


@dataclass
class WorkerHarness:
    """A server, a database, and the actions of people on their cases."""

    env: WorkflowEnvironment
    database: Database

    async def state(self, case: Handle) -> CaseState:
        """Return the state of a case, by a query of its Workflow."""
        state: CaseState = await case.query("status", result_type=CaseState)
        return state

    async def until(self, case: Handle, holds: Callable[[CaseState], bool]) -> CaseState:
        """Wait until the condition `holds` is true, and return the state of the case at this time.

        The test fails after a minute.
        """
        async with asyncio.timeout(60):
            while not holds(state := await self.state(case)):
                await asyncio.sleep(0.02)
        return state

    async def open_task(self, case: Handle, gate: str | None = None) -> TaskView:
        """Wait until a case has an open task (at `gate`, if given), and return the task."""
        state = await self.until(case, lambda s: any(t.status == "open" and gate in (None, t.gate) for t in s.tasks))
        return next(task for task in state.tasks if task.status == "open" and gate in (None, task.gate))

    async def forward(self, case: Handle, time: timedelta) -> None:
        """Move the clock of a case forward."""
        await self.env.fast_forward(case, time)

    def decision(
        self,
        task: TaskView,
        person: str = "mia",
        verdict: Verdict = Verdict.APPROVE,
        *,
        groups: tuple[str, ...] | None = None,
        **more: Any,
    ) -> Decision:
        """Return a decision of `person` on a task. If `groups` is None, the person is in the groups that can decide."""
        groups = tuple(task.candidate_groups) if groups is None else groups
        more.setdefault("id", f"d{uuid4().hex}")
        more.setdefault("revision", task.revision)
        return Decision(
            task_id=task.task_id,
            verdict=verdict,
            by=Actor(id=person, groups=list(groups)),
            at=datetime.now(UTC),
            **more,
        )

    async def send(self, case: Handle, decision: Decision) -> Receipt:
        """Send a decision as an Update, and return its receipt."""
        receipt: Receipt = await case.execute_update("decide", decision, id=decision.id, result_type=Receipt)
        return receipt

    async def decide(
        self, case: Handle, person: str = "mia", verdict: Verdict = Verdict.APPROVE, **more: Any
    ) -> Receipt:
        """Wait for the open task and decide it."""
        return await self.send(case, self.decision(await self.open_task(case), person, verdict, **more))

    async def cancel(self, case: Handle, person: str = "rita", reason: str = "not needed any more") -> None:
        """Cancel a case, which undoes its steps."""
        await case.signal(
            "cancel_case", Cancellation(id=uuid4().hex, by=Actor(id=person), reason=reason, at=datetime.now(UTC))
        )

    async def end(self, case: Handle) -> CaseResult:
        """Wait for the end of a case, and return its result. The test fails after a minute."""
        async with asyncio.timeout(60):
            return await case.result()

    async def request_rollback(self, starter: Starter, case: Handle, by: str, reason: str) -> Handle:
        """Request the rollback of a completed case, and return the handle of the Workflow that runs it."""
        rollbacks = Rollbacks(self.database, self.env.client, starter)
        with self.env.with_time_skipping_disabled():
            given = await rollbacks.ask(await self.row(case), by, reason)
        return self.env.client.get_workflow_handle(given.conductor, result_type=CaseResult)

    async def row(self, case: Handle) -> cases.CaseRow:
        """Return the row of a case in SQL."""
        async with self.database.read() as connection:
            row = await cases.get(connection, case.id)
        assert row is not None
        return row

    async def recorded(self, case: Handle) -> list[str]:
        """Return the kinds of the audit events of a case in SQL, in order."""
        async with self.database.read() as connection:
            return [event.kind for event in await audit_log.page(connection, case_id=case.id, limit=1000)]
