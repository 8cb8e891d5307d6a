"""Find blocked Workflows, which cannot continue but have not ended, and ask operators what to do with each.

There are two kinds of blocked Workflows. Workflows of the first kind fail again and again, because of a defect or
because their history does not fit the code: Temporal retries them for ever. Workflows of the second kind do not match
the database, for example because an older backup was restored: Temporal does not know the Workflow, is at an earlier
point, or has ended the Workflow. For each blocked case, this module opens an incident with a task for operators. The
Workflow cannot receive the decision on this task, so `cases/settle_blocked.py` carries the decision out.
"""

import logging
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, PendingWorkflowTaskState
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus, WorkflowQueryFailedError
from temporalio.converter import WorkflowSerializationContext
from temporalio.exceptions import FailureError, TemporalError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from cases.pinned_policies import PinnedPolicies
from core.errors import PayloadsUnreadable
from domain.blocked import CAUSES, VERDICTS, WHAT_TO_DO, BlockKind
from domain.case import CaseEvent, CaseState
from domain.ids import task_id_for
from domain.names import GATE_ATTRIBUTE, INTERVENTION, OPERATORS
from domain.status import Status, Verdict
from domain.task import Quorum, TaskView
from store.cases import blocked, cases, tasks
from store.cases.blocked import BlockedWorkflow
from store.cases.cases import CaseRow
from store.db.database import Database
from workflows.registry import INPUTS, PROCESSES

log = logging.getLogger(__name__)

AT_ONCE = 20
"""The number of cases that one round compares with Temporal.

Each case needs two short calls, so a small number keeps the load low.
"""
AT_FIRST = 200
"""The number of cases to compare in the first round of a worker, and in a round after one that found a blocked case."""
AGAIN = 50
"""The number of blocked cases that one round checks again, to see if they continue."""
FAILED = (EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED, EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT)
ROUNDED = timedelta(milliseconds=1)
TECHNICAL = 2000
"""The most characters of a technical message that are stored."""


class Defects(Interceptor):
    """Notes the id of each Workflow that raises an unexpected error, for the next round.

    Temporal itself lists a Workflow as failing only after several failures.
    """

    def __init__(self) -> None:
        self.suspects: deque[str] = deque(maxlen=1000)

    def workflow_interceptor_class(self, _input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        """Return the interceptor class. The SDK calls this method once for each worker."""
        suspects = self.suspects

        class Noting(WorkflowInboundInterceptor):
            async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
                try:
                    return await super().execute_workflow(input)
                except TemporalError:
                    raise
                except Exception:
                    suspects.append(workflow.info().workflow_id)
                    raise

        return Noting


class BlockedWorkflows:
    """The job that finds blocked Workflows, and notices when they continue."""

    def __init__(
        self, db: Database, client: Client, suspects: deque[str], processes: Collection[str] | None = None
    ) -> None:
        self._db, self._client, self._suspects = db, client, suspects
        self._policies = PinnedPolicies(db, INPUTS)
        names = (*(PROCESSES if processes is None else processes), "rollback", "batch")
        self._types = ", ".join(f"'{name}'" for name in dict.fromkeys(names))
        self._after = ""
        """The id of the case after which the next round starts."""
        self._hurry = True
        self._twice: set[tuple[str, BlockKind]] = set()
        """The findings of the last round.

        A case counts as blocked only if two rounds in sequence find it, because a change that is under way looks the
        same for a moment.
        """
        self._recheck = 0

    async def look(self) -> int:
        """Find cases that are blocked and cases that continue again. Return the number of all these cases."""
        async with self._db.read() as conn:
            known = {each.workflow_id: each for each in await blocked.all(conn)}
        failing = await self._failing()
        found = 0
        for workflow_id in failing - known.keys():
            found += await self._failed(workflow_id)
        found += await self._compared(known)
        return found + await self._over(known, failing)

    # --------------------------------------------------------------------------------------------------------- failing

    async def _failing(self) -> set[str]:
        """Return the ids of Workflows that Temporal lists as failing, and of Workflows whose code raised an error."""
        query = (
            f"TemporalReportedProblems IS NOT NULL AND ExecutionStatus = 'Running' AND WorkflowType IN ({self._types})"
        )
        try:
            listed = {execution.id async for execution in self._client.list_workflows(query)}
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
            listed = set()  # the server is too old to list them
        while self._suspects:
            listed.add(self._suspects.popleft())
        return listed

    async def _failed(self, workflow_id: str) -> bool:
        found = await self._described(workflow_id)
        if found is None or not _fails(found):
            return False
        technical = await self._last_failure(workflow_id)
        return await self._block(workflow_id, "failing", technical)

    async def _last_failure(self, workflow_id: str) -> str:
        for event in await self._latest(workflow_id, 20):
            if event.event_type in FAILED:
                failed = event.workflow_task_failed_event_attributes.failure
                kind = failed.application_failure_info.type
                message = await self._message(workflow_id, failed)
                said = f"{kind}: {message}" if kind else message
                return said[:TECHNICAL] or "The worker did not respond in time."
        return ""

    async def _message(self, workflow_id: str, failed: Failure) -> str:
        """Return the message of a failure, which may be encrypted."""
        if not failed.HasField("encoded_attributes"):
            return failed.message
        context = WorkflowSerializationContext(self._client.namespace, workflow_id)
        with suppress(PayloadsUnreadable):
            error = await self._client.data_converter.with_context(context).decode_failure(failed)
            return error.message if isinstance(error, FailureError) else str(error)
        return failed.message

    # ----------------------------------------------------------------------------- ----- what Temporal and SQL know

    async def _compared(self, known: Collection[str]) -> int:
        async with self._db.read() as conn:
            limit = AT_FIRST if self._hurry else AT_ONCE
            rows = await cases.open_after(conn, self._after, limit)
        found = 0
        before, self._twice = self._twice, set()
        suspected = {workflow_id for workflow_id, _ in before}
        async with self._db.read() as conn:
            again = [case for name in suspected if (case := await cases.conducted_by(conn, name)) is not None]
        for case in {each.conductor: each for each in (*rows, *again)}.values():
            if case.conductor in known:
                continue
            kind = await self._knows_less(case)
            if kind is None:
                continue
            self._hurry = True
            if (case.conductor, kind) in before:
                found += await self._block(case.conductor, kind, "")
            else:
                self._twice.add((case.conductor, kind))
        if len(rows) < limit:
            self._after, self._hurry = "", bool(self._twice or found)
        else:
            self._after = rows[-1].case_id
        return found

    async def _knows_less(self, case: CaseRow) -> BlockKind | None:
        """Return the kind of the block if Temporal has lost or ended the case, or has an earlier state of it; else
        None.
        """
        described = await self._described(case.conductor)
        if described is None:
            return "unknown"
        if described.status is not WorkflowExecutionStatus.RUNNING:
            normal = (WorkflowExecutionStatus.COMPLETED, WorkflowExecutionStatus.CANCELED)
            return "ended" if described.status in normal else None  # other statuses belong to `closed_in_temporal.py`
        pending = described.raw_description.pending_workflow_task
        if pending.state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED:
            return None  # Temporal learns what a Workflow task wrote, such as before a local step, when the task ends.
        async with self._db.read() as conn:
            made = await blocked.made_by(conn, case.case_id, case.conductor)
            asked = [task for task in await tasks.of_case(conn, case.case_id) if task.status == "open"]
        if not made:
            return None
        last = (await self._latest(case.conductor, 1))[0]
        if last.event_time.ToDatetime(UTC) < max(made.values()) - ROUNDED:
            return "behind"
        gate = described.typed_search_attributes.get(GATE_ATTRIBUTE)
        if gate == (asked[0].gate if asked else None) or gate in {task.gate for task in asked}:
            return None
        try:
            handle = self._client.get_workflow_handle(case.conductor)
            state: CaseState = await handle.query("status", result_type=CaseState)
        except (RPCError, WorkflowQueryFailedError, PayloadsUnreadable):
            return None
        told = {event.event_id for event in state.timeline}
        reset = any(event.kind == "case_reset" for event in state.timeline)
        return "behind" if not reset and not told.issuperset(made) else None

    # ------------------------------------------------------------------------------------------------------ both kinds

    async def _block(self, workflow_id: str, kind: BlockKind, technical: str) -> bool:
        now, error = datetime.now(UTC), technical.partition(":")[0]
        error = error if kind == "failing" and error.isidentifier() else ""
        cause = f"{CAUSES[kind]} ({error})" if error else CAUSES[kind]
        one = BlockedWorkflow(
            workflow_id=workflow_id,
            kind=kind,
            case_id=None,
            task_id=None,
            status=None,
            cause=cause,
            technical=technical,
            since=now,
        )
        operators = await self._operators(workflow_id)
        async with self._db.write() as conn:
            case = await cases.conducted_by(conn, workflow_id)
            task = event = None
            if case is not None:
                task = _task(case, one, error, await blocked.tasks_so_far(conn, case.case_id) + 1, operators)
                one = one.model_copy(
                    update={"case_id": case.case_id, "task_id": task.task_id, "status": _resting(case.status)}
                )
                event = CaseEvent(
                    event_id=f"stopped/{task.task_id}",
                    case_id=case.case_id,
                    at=now,
                    kind="intervention_opened",
                    actor="holdgate",
                    summary=f"The case is blocked. {cause} {WHAT_TO_DO[kind]}",
                    data={
                        "task_id": task.task_id,
                        "gate": INTERVENTION,
                        "why": kind,
                        "error_type": error,
                        "technical": technical,
                    },
                )
            new = await blocked.add(conn, one, task, event)
        if new:
            log.error("%s is blocked: %s The incident has the error", workflow_id, cause)
        return new

    async def _operators(self, workflow_id: str) -> list[str]:
        """Return the groups that operate the case of a Workflow, by the policy that is pinned to the case."""
        async with self._db.read() as conn:
            case = await cases.conducted_by(conn, workflow_id)
        return [OPERATORS] if case is None else await self._policies.operators(case.policy_hash, case.process)

    async def _over(self, known: dict[str, BlockedWorkflow], failing: Collection[str]) -> int:
        """Close the incidents of cases that continue or have ended. Return the number of closed incidents."""
        over = 0
        left = [each for each in known.values() if each.workflow_id not in failing]
        some = (left[self._recheck :] + left[: self._recheck])[:AGAIN]
        self._recheck = (self._recheck + len(some)) % max(len(left), 1)
        for each in some:
            async with self._db.read() as conn:
                case = await cases.conducted_by(conn, each.workflow_id)
            goes_on = each.case_id is not None and case is None  # the case has ended, or another Workflow runs it
            if not goes_on and each.kind == "failing":
                described = await self._described(each.workflow_id)
                goes_on = described is None or not _fails(described)
            elif not goes_on and case is not None:
                goes_on = await self._knows_less(case) is None
            elif not goes_on:
                goes_on = await self._described(each.workflow_id) is not None
            if not goes_on:
                continue
            said = "The case continues" if case is not None else "The case is no longer blocked"
            event = CaseEvent(
                event_id=f"stopped/{each.task_id}/over",
                case_id=each.case_id or "",
                at=datetime.now(UTC),
                kind="case_goes_on",
                actor="holdgate",
                summary=said,
                data={"task_id": each.task_id},
            )
            async with self._db.write() as conn:
                await blocked.remove(conn, each, event if each.case_id else None)
            log.info("%s goes on", each.workflow_id)
            over += 1
        return over

    async def _described(self, workflow_id: str) -> WorkflowExecutionDescription | None:
        """Return the latest run of a Workflow; None if Temporal does not know the Workflow."""
        try:
            return await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise

    async def _latest(self, workflow_id: str, number: int) -> list[HistoryEvent]:
        """Return the newest events of a history, newest first."""
        found = await self._client.workflow_service.get_workflow_execution_history_reverse(
            GetWorkflowExecutionHistoryReverseRequest(
                namespace=self._client.namespace,
                execution=WorkflowExecution(workflow_id=workflow_id),
                maximum_page_size=number,
            )
        )
        return list(found.history.events)


def _resting(status: Status) -> Status | None:
    return None if status is Status.NEEDS_INTERVENTION else status


def _fails(described: WorkflowExecutionDescription) -> bool:
    running = described.status is WorkflowExecutionStatus.RUNNING
    return running and described.raw_description.pending_workflow_task.attempt > 1


def _task(case: CaseRow, one: BlockedWorkflow, error: str, number: int, operators: list[str]) -> TaskView:
    """Return the task that asks the groups `operators` about a blocked case.

    `error` is the type of the error that the Workflow's code raises, empty if not known.
    """
    facts = {
        "step": blocked.WHOLE_CASE,
        "failure": f"{one.kind}/{error}" if error else one.kind,
        "cause": one.cause,
        "error": one.technical,
        "what_to_do": WHAT_TO_DO[one.kind],
    }
    verdicts = VERDICTS[one.kind]
    # A completed case that is being rolled back can only go on with its rollback.
    if case.rollback is not None and case.rollback.ended is not None:
        verdicts = [verdict for verdict in verdicts if verdict is not Verdict.DONE_BY_HAND]
    return TaskView(
        task_id=task_id_for(one.workflow_id, "stopped", number),
        case_id=case.case_id,
        workflow_id=one.workflow_id if one.workflow_id != case.case_id else None,
        batch_id=case.batch_id,
        process=case.process,
        gate=INTERVENTION,
        kind="intervention",
        title=case.title,
        summary=f"{one.cause} {WHAT_TO_DO[one.kind]}",
        requester=case.requester,
        on_behalf_of=case.on_behalf_of,
        asked_for=case.asked_for,
        candidate_groups=operators,
        operators=operators,
        quorum=Quorum(needed=1),
        verdicts=verdicts,
        opened_at=one.since,
        priority=case.priority,
        facts=facts | {"stopped": one.kind},
        rule="the case is blocked",
    )
