"""Find Workflows that a person ended or reset in Temporal itself, so that no open case stays without a Workflow."""

import logging
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle, WorkflowHistoryEventFilterType
from temporalio.service import RPCError, RPCStatusCode

from cases.rollback import Rollbacks
from domain.messages import Resynchronise
from store.cases import cases
from store.db.database import Database, DatabaseUnavailable
from workflows.registry import PROCESSES

log = logging.getLogger(__name__)

OVERLAP = timedelta(minutes=5)
"""How far a round looks back beyond the start of the last round.

Temporal lists a Workflow late, and a case can be stored after its Workflow started.
"""
ENDED = {
    WorkflowExecutionStatus.TERMINATED: "The case was terminated in Temporal, and its steps were not rolled back.",
    WorkflowExecutionStatus.TIMED_OUT: "The case timed out in Temporal, and its steps were not rolled back.",
    WorkflowExecutionStatus.FAILED: "The case stopped because of a defect, and its steps were not rolled back.",
}


class Watcher:
    """The job that finds open cases whose Workflow was reset, or was ended by a person, a timeout or a defect."""

    def __init__(
        self, db: Database, client: Client, rollbacks: Rollbacks, processes: Collection[str] = PROCESSES
    ) -> None:
        self._db, self._client, self._rollbacks = db, client, rollbacks
        self._kinds = ", ".join(f"'{name}'" for name in (*processes, "rollback"))
        self._looked: datetime | None = None
        """When the last complete round started.

        None before the first round, which checks all closed Workflows that Temporal keeps.
        """
        self._told: set[str] = set()
        """The ids of runs that have received the message about their reset."""

    async def look(self) -> int:
        """Ask operators about cases that were ended in Temporal, and tell reset cases to update SQL.

        Return the number of these cases.
        """
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
                log.exception("the end of %s in Temporal could not be handled; it is tried again", execution.id)
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
        """Tell the latest run of a Workflow that a reset in Temporal created this run.

        Return True if the run is told now, False if it was told before.
        """
        if run_id in self._told:
            return False
        try:
            news = Resynchronise(id=f"reset-{run_id}", run_id=run_id, at=datetime.now(UTC))
            await handle.signal("resynchronise", news)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # else the run has ended and has written its events
                raise
        self._told.add(run_id)
        return True


async def _reason(handle: WorkflowHandle[object, object]) -> str:
    """Return the reason of the person who terminated the Workflow, as a sentence that begins with a space; else ""."""
    close = WorkflowHistoryEventFilterType.CLOSE_EVENT
    async for event in handle.fetch_history_events(event_filter_type=close):
        said = event.workflow_execution_terminated_event_attributes.reason.strip().rstrip(".")
        if said:
            return f" The reason given was: {said}."
    return ""
