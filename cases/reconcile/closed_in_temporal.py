"""Workflows that somebody ended or reset in Temporal itself: the case must not lie there, and nobody hear of it."""

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
"""How far each look goes back before the one before: Temporal's lists lag, and a case may be stored after it began."""
ENDED = {
    WorkflowExecutionStatus.TERMINATED: "The case was terminated in Temporal, and its steps were not rolled back.",
    WorkflowExecutionStatus.TIMED_OUT: "The case timed out in Temporal, and its steps were not rolled back.",
    WorkflowExecutionStatus.FAILED: "The case stopped because of a defect, and its steps were not rolled back.",
}


class Watcher:
    """Looks for Workflows of open cases that have ended otherwise than by the engine."""

    def __init__(
        self, db: Database, client: Client, rollbacks: Rollbacks, processes: Collection[str] = PROCESSES
    ) -> None:
        self._db, self._client, self._rollbacks = db, client, rollbacks
        self._kinds = ", ".join(f"'{name}'" for name in (*processes, "rollback"))
        self._looked: datetime | None = None
        """None: the first look goes back as far as Temporal does."""
        self._told: set[str] = set()
        """Runs that were told that they come from a reset."""

    async def look(self) -> int:
        """Hand each lost case to operators, and bring the record of each that was reset up to date: how many."""
        now, found = datetime.now(UTC), 0
        query = f"ExecutionStatus IN ('Terminated', 'Failed', 'TimedOut') AND WorkflowType IN ({self._kinds})"
        if self._looked is not None:
            query += f" AND CloseTime > '{(self._looked - OVERLAP).isoformat()}'"
        whole = True
        async for execution in self._client.list_workflows(query):
            try:
                found += await self._settle(execution.id)
            except DatabaseUnavailable:
                raise  # of no use to look at the others now
            except Exception:  # one that cannot be settled must not keep those behind it waiting
                log.exception("%s, which has ended in Temporal, could not be settled; it is tried again", execution.id)
                whole = False
        if whole:
            self._looked = now
        return found

    async def _settle(self, workflow_id: str) -> bool:
        async with self._db.read() as conn:
            case = await cases.conducted_by(conn, workflow_id)
        if case is None:  # it ended as the record says, or another Workflow has it by now
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
        """It was reset: the run that was ended was not the last."""
        if run_id in self._told:
            return False
        try:
            await handle.signal("resynchronise", run_id)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # else it has ended meanwhile, and has written how
                raise
        self._told.add(run_id)
        return True


async def _reason(handle: WorkflowHandle[object, object]) -> str:
    """What the person who terminated it said, to be put behind a sentence."""
    close = WorkflowHistoryEventFilterType.CLOSE_EVENT
    async for event in handle.fetch_history_events(event_filter_type=close):
        said = event.workflow_execution_terminated_event_attributes.reason.strip().rstrip(".")
        if said:
            return f" The reason given was: {said}."
    return ""
