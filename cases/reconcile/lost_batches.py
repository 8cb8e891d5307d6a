"""Find imports of files whose Workflow was ended in Temporal or is missing there, so that no import stops half way."""

import logging
from datetime import UTC, datetime

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from domain.case import CaseEvent
from store.audit import audit_log
from store.cases import batches
from store.cases.batches import Batch
from store.db.database import Database

log = logging.getLogger(__name__)

AT_ONCE = 50
"""The most running imports that one round compares with Temporal. Usually only a few imports are running."""
WHY = (
    "The import was terminated in Temporal before this row started. "
    "Upload the file again: only rows that have not started will start."
)


class LostImports:
    """Starts an import again if Temporal does not know it, and closes an import that was ended in Temporal."""

    def __init__(self, db: Database, client: Client) -> None:
        self._db, self._client = db, client
        self._once: set[str] = set()
        """The imports that the last round found lost.

        An import counts as lost only if two rounds in sequence find it lost, because an import that just ends looks the
        same for a moment.
        """

    async def look(self) -> int:
        """Find lost imports, and start them again or close them. Return the number of these imports."""
        async with self._db.read() as conn:
            under_way = await batches.under_way(conn, AT_ONCE)
        lost = [batch for batch in under_way if not await self._runs(batch)]
        once, self._once = self._once, {batch.batch_id for batch in lost}
        sure = [batch for batch in lost if batch.batch_id in once]
        for batch in sure:
            await self._deal_with(batch)
        return len(sure)

    async def _runs(self, batch: Batch) -> bool:
        for workflow_id in (f"batch:{batch.batch_id}", f"batch:{batch.batch_id}~cancel"):
            status = await self._status(workflow_id)
            if status is WorkflowExecutionStatus.RUNNING:
                return True
        return False

    async def _status(self, workflow_id: str) -> WorkflowExecutionStatus | None:
        try:
            return (await self._client.get_workflow_handle(workflow_id).describe()).status
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise

    async def _deal_with(self, batch: Batch) -> None:
        now = datetime.now(UTC)
        again = batch.status == "running" and await self._status(f"batch:{batch.batch_id}") is None
        said = "is started again: Temporal did not know it any more" if again else "was ended in Temporal"
        event = CaseEvent(
            event_id=f"batch/{batch.batch_id}/lost/{now.isoformat()}",
            case_id="",
            at=now,
            kind="batch_lost",
            actor="temporal",
            summary=f"The import of {batch.filename} {said}",
            data={"batch_id": batch.batch_id, "filename": batch.filename, "again": again},
        )
        async with self._db.write() as conn:
            if again:
                # The sweep starts the import again; finished rows stay finished.
                await batches.set_status(conn, batch.batch_id, "starting")
            else:
                await batches.fail_unstarted(conn, batch.batch_id, WHY)
                await batches.close(conn, batch.batch_id, "failed", now)
            await audit_log.append(conn, [event])
        log.warning("batch %s %s", batch.batch_id, said)
