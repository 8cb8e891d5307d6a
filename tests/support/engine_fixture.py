"""A fixture for engine tests: the real server with a clock that tests move, real SQL, real records, one worker."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import BaseModel
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.engine.records import Records
from cases.child_cases import SqlChildren
from cases.pinned_policies import PinnedPolicies
from cases.reconcile.blocked_workflows import Defects
from cases.reconcile.refused_messages import Refusals
from cases.sql_records import SqlRecords
from cases.submit import Starter
from core.settings import ROOT, Settings, load
from domain.case import CaseEvent, CaseInput, CaseResult
from domain.ids import case_id_for, reference_key
from domain.names import PROCESS_ATTRIBUTE, TASK_QUEUE
from plugins.activities import activities_of
from plugins.shipped import steps
from plugins.testing.server import (
    Handle as Handle,
    WorkerHarness,
    add_people,
    time_skipping_server,
    unskipped,
    worker_of,
)
from plugins.testing.trial import new_keys
from policy.file import PolicyFile
from policy.model import Policy
from policy.parse import parse
from store.audit import audit_log
from store.cases import cases, policies
from store.cases.case_keys import CaseKeys
from store.db.database import migrate
from store.people import people
from store.receivers.ledger import Ledger
from tests.support.encrypted import EVERYWHERE
from tests.support.errands import ErrandRequest, Errands, Receiver
from tests.support.five_step_process import FiveProcess, FiveRequest
from tests.support.migrated_database import migrated_copy
from tests.support.sample_processes import (
    AskingProcess,
    ErrandProcess,
    ForkProcess,
    LocalProcess,
    PairProcess,
    SiblingsProcess,
)
from tests.support.sequenced import Sequenced
from workflows.payload_visits import leave_out_needless
from workflows.registry import INPUTS, PROCESSES as REGISTERED, Process, workflows

PROCESSES: dict[str, type] = {
    **{name: process.workflow for name, process in REGISTERED.items()},
    "errand": ErrandProcess,
    "local": LocalProcess,
    "fork": ForkProcess,
    "pair": PairProcess,
    "asking": AskingProcess,
    "siblings": SiblingsProcess,
    "five": FiveProcess,
}

ERRANDS: dict[str, type[BaseModel]] = {
    "errand": ErrandRequest,
    "local": ErrandRequest,
    "fork": ErrandRequest,
    "pair": ErrandRequest,
    "asking": ErrandRequest,
    "siblings": ErrandRequest,
    "five": FiveRequest,
}


KINDS = {
    **REGISTERED,
    "errand": Process(name="errand", workflow=ErrandProcess, input=ErrandRequest, example={}),
    "local": Process(name="local", workflow=LocalProcess, input=ErrandRequest, example={}),
    "fork": Process(name="fork", workflow=ForkProcess, input=ErrandRequest, example={}),
    "pair": Process(name="pair", workflow=PairProcess, input=ErrandRequest, example={}),
    "asking": Process(name="asking", workflow=AskingProcess, input=ErrandRequest, example={}),
    "siblings": Process(name="siblings", workflow=SiblingsProcess, input=ErrandRequest, example={}),
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
class House(WorkerHarness):
    """Everything a test of the engine needs, and words for what people do."""

    receiver: Receiver
    ledger: Ledger
    url: str
    policies: PinnedPolicies
    a_worker: Callable[[], Worker]
    refusals: Refusals
    defects: Defects
    code: dict[str, type]
    """The Workflows that the next worker knows, by name."""
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
        """Store and start a case whose clock is stopped until a test moves it. `before` gets its id first."""
        request = request or ErrandRequest()
        reference = reference or f"ref-{uuid4()}"
        case_id, salt = case_id_for(process, reference), secrets.token_hex(16)
        if before:
            before(case_id)
        policy_hash = hashlib.sha256(policy.encode()).hexdigest()
        now = datetime.now(UTC)
        async with self.database.write() as connection:
            await policies.keep(connection, policy_hash, policy)
            if keys := CaseKeys.of(self.env.client):
                await keys.begin(connection, [case_id])
            await cases.insert(
                connection,
                cases.NewCaseRow(
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
                    salt=salt,
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
                    salt=salt,
                    input=request,
                ),
                id=case_id,
                task_queue=TASK_QUEUE,
                result_type=CaseResult,
                task_timeout=task_timeout,
                search_attributes=TypedSearchAttributes([SearchAttributePair(PROCESS_ATTRIBUTE, process)]),
            )

    def starter(self, policy: str = ONE_GATE) -> Starter:
        """What starts cases, and rollbacks, by this policy."""
        return Starter(self.database, self.env.client, Fixed(parse(policy, inputs={**INPUTS, **ERRANDS})), KINDS)

    def children(self) -> SqlChildren:
        """What starts cases for cases, here for those who wait for nobody."""
        starter = Starter(self.database, self.env.client, PolicyFile(ROOT / "config" / "policy.toml", INPUTS))
        return SqlChildren(self.database, self.env.client, starter)

    async def roll_back(
        self, case: Handle, by: str = "olga", reason: str = "paid twice", policy: str = ONE_GATE
    ) -> Handle:
        """Ask for the rollback of a completed case; the handle of the Workflow that does it."""
        return await self.request_rollback(self.starter(policy), case, by, reason)

    async def audit_problems(self) -> list[str]:
        return (await audit_log.verify(self.database)).problems

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
    "privacy": ["pia"],
}


@asynccontextmanager
async def open_house(
    folder: Path,
    *,
    url: str | None = None,
    max_cached_workflows: int = 1000,
    settings: Settings | None = None,
    defects_fail: bool = True,
    server: WorkflowEnvironment | None = None,
    encrypted: bool = EVERYWHERE,
) -> AsyncIterator[House]:
    """Server, worker and database (SQLite in the folder, or the one of the URL), until the block ends."""
    if url is None:
        url = migrated_copy(folder / "house.db")
    else:
        migrate(url)
    database = Sequenced(url)
    await add_people(database, PEOPLE)
    receiver = Receiver()
    errands = Errands(receiver)
    inputs: dict[str, type[BaseModel]] = {**INPUTS, **ERRANDS}
    policies = PinnedPolicies(database, inputs, {name: process.steps for name, process in KINDS.items()})
    store = SqlRecords(database, policies)
    records = Records(store, policies, people.PeopleDirectory(database), inputs)
    ledger = Ledger(database)
    keys = await new_keys(database, folder) if encrypted else None
    if encrypted:
        leave_out_needless()
    async with server or await time_skipping_server(keys) as env:
        plain = await unskipped(env)
        children = Starter(database, plain, PolicyFile(ROOT / "config" / "policy.toml", inputs), KINDS)
        receivers = steps(database, plain, children, policies, settings or load(var=folder))
        activities = activities_of(records, errands, *receivers)

        def a_worker() -> Worker:
            return worker_of(
                env.client,
                code.values(),
                activities,
                store,
                cached=max_cached_workflows,
                interceptors=[refusals, defects],
                defects_fail=defects_fail,
            )

        refusals, defects, code = Refusals(database), Defects(), {**workflows(), **PROCESSES}
        house = House(env, database, receiver, ledger, url, policies, a_worker, refusals, defects, code)
        await house.start_worker()
        yield house
        await house.stop_worker()
    await database.close()
