"""Find Workflows that a person ended or reset in Temporal itself, so that no open case stays without a Workflow."""

import logging
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle, WorkflowHistoryEventFilterType
from temporalio.service import RPCError, RPCStatusCode

from cases.rollback import Rollbacks
from store.cases import cases
from store.db.database import Database, DatabaseUnavailable
from workflows.registry import PROCESSES

log = logging.getLogger(__name__)

OVERLAP = timedelta(minutes=5)
"""The overlap of two looks: Temporal's lists lag, and a case can be stored after its Workflow started."""
ENDED = {
    WorkflowExecutionStatus.TERMINATED: "The case was terminated in Temporal, and its steps were not rolled back.",
    WorkflowExecutionStatus.TIMED_OUT: "The case timed out in Temporal, and its steps were not rolled back.",
    WorkflowExecutionStatus.FAILED: "The case stopped because of a defect, and its steps were not rolled back.",
}


class Watcher:
    """Finds Workflows of open cases that the engine did not end."""

    def __init__(
        self, db: Database, client: Client, rollbacks: Rollbacks, processes: Collection[str] = PROCESSES
    ) -> None:
        self._db, self._client, self._rollbacks = db, client, rollbacks
        self._kinds = ", ".join(f"'{name}'" for name in (*processes, "rollback"))
        self._looked: datetime | None = None
        """None before the first look, which covers everything that Temporal still has."""
        self._told: set[str] = set()
        """Runs that were told about their reset."""

    async def look(self) -> int:
        """Hand lost cases to operators, and tell reset cases to update SQL. Return the number of both."""
        now, found = datetime.now(UTC), 0
        query = f"ExecutionStatus IN ('Terminated', 'Failed', 'TimedOut') AND WorkflowType IN ({self._kinds})"
        if self._looked is not None:
            query += f" AND CloseTime > '{(self._looked - OVERLAP).isoformat()}'"
        whole = True
        async for execution in self._client.list_workflows(query):
            try:
                found += await self._settle(execution.id)
            except DatabaseUnavailable:
                raise  # the next cases would fail too
            except Exception:  # a case that fails must not block the next ones
                log.exception("%s, which has ended in Temporal, could not be settled; it is tried again", execution.id)
                whole = False
        if whole:
            self._looked = now
        return found

    async def _settle(self, workflow_id: str) -> bool:
        async with self._db.read() as conn:
            case = await cases.conducted_by(conn, workflow_id)
        if case is None:  # the engine ended it, or another Workflow runs the case now
            return False
        handle = self._client.get_workflow_handle(workflow_id)
        latest = await handle.describe()
        if latest.status is WorkflowExecutionStatus.RUNNING:
            return await self._tell(handle, latest.run_id)
        said = ENDED.get(latest.status) if latest.status else None
        if said is None:
            return False
        given = await self._rollbacks.lost(case, f"{said}{await _reason(handle)}", by="temporal")
        if given is not None:
            log.warning("case %s was ended in Temporal (%s); operators are asked", case.case_id, latest.status)
        return given is not None

    async def _tell(self, handle: WorkflowHandle[object, object], run_id: str) -> bool:
        """Tell the latest run of a Workflow that a person created this run by a reset in Temporal."""
        if run_id in self._told:
            return False
        try:
            await handle.signal("resynchronise", run_id)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # else the run has ended and has written its events
                raise
        self._told.add(run_id)
        return True


async def _reason(handle: WorkflowHandle[object, object]) -> str:
    """Return the reason that a person gave when terminating the Workflow, as text after a sentence."""
    close = WorkflowHistoryEventFilterType.CLOSE_EVENT
    async for event in handle.fetch_history_events(event_filter_type=close):
        said = event.workflow_execution_terminated_event_attributes.reason.strip().rstrip(".")
        if said:
            return f" The reason given was: {said}."
    return ""
