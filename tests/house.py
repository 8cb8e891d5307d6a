"""A house for engine tests: the real server on a clock that tests wind, real SQL, the real records, one worker."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import BaseModel
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.attempts import CountAttempts
from activities.records import Records
from intake.pinned import PinnedPolicies
from intake.rollback import Rollbacks
from intake.start import Starter
from policy.file import PolicyFile
from policy.model import Policy
from policy.parse import parse
from settings import ROOT, Settings, load
from store import audit, cases, people, policies
from store.database import Database, migrate
from store.ledger import Ledger
from tests.errand import ErrandProcess, ErrandRequest, Errands, PairProcess, Receiver
from tests.five import FiveProcess, FiveRequest
from tests.temporal import time_skipping_server
from worker import SqlRecords, activities_of, steps, workflows
from workflows.models import (
    TASK_QUEUE,
    Actor,
    Cancellation,
    CaseEvent,
    CaseInput,
    CaseResult,
    CaseState,
    Decision,
    Receipt,
    TaskView,
    Verdict,
    case_id_for,
    reference_key,
)
from workflows.registry import INPUTS, Process
from workflows.registry import PROCESSES as REGISTERED

Handle = WorkflowHandle[Any, CaseResult]
PROCESSES: dict[str, type] = {
    **{name: process.workflow for name, process in REGISTERED.items()},
    "errand": ErrandProcess,
    "pair": PairProcess,
    "five": FiveProcess,
}

ERRANDS: dict[str, type[BaseModel]] = {"errand": ErrandRequest, "pair": ErrandRequest, "five": FiveRequest}


KINDS = {
    **REGISTERED,
    "errand": Process(name="errand", workflow=ErrandProcess, input=ErrandRequest, example={}),
    "pair": Process(name="pair", workflow=PairProcess, input=ErrandRequest, example={}),
    "five": Process(name="five", workflow=FiveProcess, input=FiveRequest, example={}),
}


@dataclass(frozen=True)
class Fixed:
    """A policy that does not change."""

    current: Policy


ONE_GATE = """
[errand.gates.approval]
groups = ["managers"]
[errand.gates.second]
when = "false"
groups = ["directors"]
"""


@dataclass
class House:
    """Everything a test of the engine needs, and words for what people do."""

    env: WorkflowEnvironment
    database: Database
    receiver: Receiver
    ledger: Ledger
    url: str
    policies: PinnedPolicies
    a_worker: Callable[[], Worker]
    running: list[tuple[Worker, asyncio.Task[None]]] = field(default_factory=list)

    async def start_worker(self) -> None:
        worker = self.a_worker()
        self.running.append((worker, asyncio.create_task(worker.run())))

    async def stop_worker(self) -> None:
        while self.running:
            worker, run = self.running.pop()
            await worker.shutdown()
            await run

    async def start(
        self,
        request: Any = None,
        *,
        process: str = "errand",
        policy: str = ONE_GATE,
        requester: str = "rita",
        reference: str | None = None,
        start_at: datetime | None = None,
        before: Callable[[str], None] | None = None,
        task_timeout: timedelta | None = None,
    ) -> Handle:
        """Store and start a case whose clock stands still until a test winds it. `before` sees its id first."""
        request = request or ErrandRequest()
        reference = reference or f"ref-{uuid4()}"
        case_id = case_id_for(process, reference)
        if before:
            before(case_id)
        policy_hash = hashlib.sha256(policy.encode()).hexdigest()
        now = datetime.now(UTC)
        async with self.database.write() as connection:
            await policies.keep(connection, policy_hash, policy)
            await cases.insert(
                connection,
                cases.NewCase(
                    case_id=case_id,
                    process=process,
                    reference=reference,
                    reference_key=reference_key(reference),
                    round=1,
                    resubmits=None,
                    title="a test",
                    requester=requester,
                    priority=3,
                    batch_id=None,
                    policy_hash=policy_hash,
                    input=request.model_dump(mode="json"),
                    start_at=start_at,
                    submitted_at=now,
                    idempotency_key=None,
                ),
                CaseEvent(
                    event_id=f"{case_id}/0",
                    case_id=case_id,
                    at=now,
                    kind="case_submitted",
                    actor=requester,
                    summary="s",
                ),
            )
        terms = await self.policies.terms(policy_hash, process)
        with self.env.with_time_skipping_disabled():
            return await self.env.client.start_workflow(
                process,
                CaseInput(
                    **terms._asdict(),
                    case_id=case_id,
                    process=process,
                    reference=reference,
                    requester=requester,
                    policy_hash=policy_hash,
                    submitted_at=now,
                    start_at=start_at,
                    input=request,
                ),
                id=case_id,
                task_queue=TASK_QUEUE,
                result_type=CaseResult,
                task_timeout=task_timeout,
            )

    async def state(self, case: Handle) -> CaseState:
        state: CaseState = await case.query("status", result_type=CaseState)
        return state

    async def until(self, case: Handle, holds: Callable[[CaseState], bool]) -> CaseState:
        """The state of the case as soon as the condition holds; fails after 20 s."""
        async with asyncio.timeout(20):
            while not holds(state := await self.state(case)):
                await asyncio.sleep(0.02)
        return state

    async def open_task(self, case: Handle, gate: str | None = None) -> TaskView:
        """The task the case waits at, as soon as it does."""
        state = await self.until(case, lambda s: any(t.status == "open" and gate in (None, t.gate) for t in s.tasks))
        return next(task for task in state.tasks if task.status == "open" and gate in (None, task.gate))

    async def forward(self, case: Handle, time: timedelta) -> None:
        """Wind the clock of a case."""
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
        groups = tuple(task.candidate_groups) if groups is None else groups
        more.setdefault("id", f"d{uuid4().hex}")
        return Decision(
            task_id=task.task_id,
            verdict=verdict,
            by=Actor(id=person, groups=list(groups)),
            at=datetime.now(UTC),
            **more,
        )

    async def send(self, case: Handle, decision: Decision) -> Receipt:
        """Through the first door."""
        receipt: Receipt = await case.execute_update("decide", decision, id=decision.id, result_type=Receipt)
        return receipt

    async def decide(
        self, case: Handle, person: str = "mia", verdict: Verdict = Verdict.APPROVE, **more: Any
    ) -> Receipt:
        """Wait for the open task and answer it."""
        return await self.send(case, self.decision(await self.open_task(case), person, verdict, **more))

    async def cancel(self, case: Handle, person: str = "rita", reason: str = "not needed any more") -> None:
        await case.signal(
            "cancel_case", Cancellation(id=uuid4().hex, by=Actor(id=person), reason=reason, at=datetime.now(UTC))
        )

    async def end(self, case: Handle) -> CaseResult:
        async with asyncio.timeout(30):
            return await case.result()

    def starter(self, policy: str = ONE_GATE) -> Starter:
        """What starts cases, and rollbacks, by this policy."""
        return Starter(self.database, self.env.client, Fixed(parse(policy, inputs={**INPUTS, **ERRANDS})), KINDS)

    async def roll_back(
        self, case: Handle, by: str = "olga", reason: str = "paid twice", policy: str = ONE_GATE
    ) -> Handle:
        """Ask for the rollback of a completed case; the handle of the Workflow that does it."""
        rollbacks = Rollbacks(self.database, self.env.client, self.starter(policy))
        with self.env.with_time_skipping_disabled():
            given = await rollbacks.ask(await self.row(case), by, reason)
        return self.env.client.get_workflow_handle(given.conductor, result_type=CaseResult)

    async def row(self, case: Handle) -> cases.CaseRow:
        async with self.database.read() as connection:
            row = await cases.get(connection, case.id)
        assert row is not None
        return row

    async def recorded(self, case: Handle) -> list[str]:
        """The kinds of the events in SQL, in order."""
        async with self.database.read() as connection:
            return [event.kind for event in await audit.page(connection, case_id=case.id, limit=1000)]

    async def audit_problems(self) -> list[str]:
        return (await audit.verify(self.database)).problems

    def effects(self, case: Handle) -> list[str]:
        return self.receiver.effects[case.id]


PEOPLE = {
    "requesters": ["rita"],
    "managers": ["mia", "max", "moe", "mara"],
    "directors": ["dan", "dora"],
    "fraud-analysts": ["fred", "fay"],
    "data-stewards": ["stella"],
    "security": ["sam", "sue"],
    "release-managers": ["ray"],
    "operators": ["olga", "otto"],
    "admins": ["ada"],
}


async def furnish(database: Database) -> None:
    """People who can decide: a gate that has nobody asks operators at once."""
    async with database.write() as connection:
        known = {person.id for person in await people.all(connection)}
        for group, persons in PEOPLE.items():
            for person in set(persons) - known:
                await people.add(connection, person, person.capitalize(), [group], by="ada")


@asynccontextmanager
async def open_house(
    folder: Path, *, url: str | None = None, max_cached_workflows: int = 1000, settings: Settings | None = None
) -> AsyncIterator[House]:
    """Server, worker and database (SQLite in the folder, or the one of the URL), until the block ends."""
    url = url or f"sqlite+aiosqlite:///{folder / 'house.db'}"
    migrate(url)
    database = Database(url)
    await furnish(database)
    receiver = Receiver()
    errands = Errands(receiver)
    inputs: dict[str, type[BaseModel]] = {**INPUTS, **ERRANDS}
    policies = PinnedPolicies(database, inputs, {name: process.steps for name, process in KINDS.items()})
    records = Records(SqlRecords(database), policies, people.Directory(database), inputs)
    ledger = Ledger(database)
    async with await time_skipping_server() as env:
        children = Starter(database, env.client, PolicyFile(ROOT / "policy.toml", inputs), KINDS)
        receivers = steps(database, env.client, children, settings or load(var=folder))
        activities = activities_of(records, errands, *receivers)

        def a_worker() -> Worker:
            return Worker(
                env.client,
                task_queue=TASK_QUEUE,
                workflows=list({**workflows(), **PROCESSES}.values()),
                activities=activities,
                interceptors=[CountAttempts()],
                # A defect must fail a test, not hang it.
                workflow_failure_exception_types=[Exception],
                sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
                max_cached_workflows=max_cached_workflows,
            )

        house = House(env, database, receiver, ledger, url, policies, a_worker)
        await house.start_worker()
        yield house
        await house.stop_worker()
    await database.close()
