"""A worker for imports whose cases end at once, so that only the import is tested. Run as a process, it can be killed.

python -m tests.intake.bulk_worker ADDRESS NAMESPACE DATABASE_URL POLICY [IN_FLIGHT]
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from temporalio import workflow
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from domain.case import CaseInput
from domain.names import BULK_TASK_QUEUE, TASK_QUEUE
from workflows.batch import BatchWorkflow

with workflow.unsafe.imports_passed_through():
    from activities.engine.batch_rows import Imports
    from activities.payment.request import PaymentRequest
    from cases.submit import Starter
    from intake.start_rows import BatchPace, Importer
    from plugins.testing.signatures import trust_test_key
    from policy.file import PolicyFile
    from store.db.database import Database
    from workflows.registry import INPUTS, PROCESSES, Process


QUICK = BatchPace(patience=0.1)


@workflow.defn(name="payment")
class PaidAtOnce:
    """A payment nobody has to look at."""

    @workflow.run
    async def run(self, case: CaseInput[PaymentRequest]) -> CaseInput[PaymentRequest]:
        return case


@asynccontextmanager
async def bulk_worker(
    client: Client,
    db: Database,
    policy: PolicyFile,
    processes: Mapping[str, Process] = PROCESSES,
    pace: BatchPace = QUICK,
    runner: WorkflowRunner | None = None,
) -> AsyncIterator[None]:
    """Workers on both queues; they work while the context is open. `runner` replaces the sandbox."""
    imports = Imports(Importer(db, client, Starter(db, client, policy, processes), pace))
    async with (
        Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=[PaidAtOnce, BatchWorkflow],
            activities=[trust_test_key().verify_signature],
            workflow_failure_exception_types=[Exception],
            workflow_runner=runner or SandboxedWorkflowRunner(),
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
        ),
        Worker(
            client,
            task_queue=BULK_TASK_QUEUE,
            activities=[imports.import_rows, imports.note_order, imports.roll_back_cases],
            max_heartbeat_throttle_interval=timedelta(seconds=2),
        ),
    ):
        yield


async def main(address: str, namespace: str, url: str, policy: str, in_flight: str = str(QUICK.in_flight)) -> None:
    """Work until killed."""
    client = await Client.connect(address, namespace=namespace, data_converter=pydantic_data_converter)
    pace = QUICK._replace(in_flight=int(in_flight))
    async with bulk_worker(client, Database(url), PolicyFile(Path(policy), INPUTS), pace=pace):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
