"""Import one uploaded file. Its cases are Workflows of their own: a batch ends while their approvals still wait."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.imports import Imports
    from workflows.models import BULK_TASK_QUEUE, BatchInput, BatchResult

IMPORT_TIMEOUT = timedelta(hours=6)
"""100,000 rows take well under an hour; an attempt that stands still ends by its heartbeat."""
HEARTBEAT_TIMEOUT = timedelta(seconds=8)
"""How long a killed worker goes unnoticed."""
IMPORT_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=10))
"""Without end: what an attempt has done stays done, and what stops one, SQL or Temporal away, comes back."""


@workflow.defn(name="batch")
class BatchWorkflow:
    """One file: start a case for each of its valid rows."""

    @workflow.run
    async def run(self, batch: BatchInput) -> BatchResult:
        return await workflow.execute_activity_method(
            Imports.import_rows,
            batch,
            task_queue=BULK_TASK_QUEUE,
            start_to_close_timeout=IMPORT_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=IMPORT_RETRIES,
            summary=f"import {batch.filename[:100]}",
        )
