"""Start Workflows of cases and batches from their rows in SQL. No other module starts such Workflows.

If Temporal answers that a Workflow is already started, the start counts as a success: a Workflow id belongs to one row
for ever, so the answer to an earlier start was lost.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ValidationError
from temporalio.client import Client
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from cases.pinned_policies import PinnedPolicies
from core.errors import PayloadErased, PayloadKeyMissing, PayloadsUnreadable
from domain.batch import BatchInput, BatchOrder
from domain.case import CaseEvent, CaseInput, CaseResult
from domain.input_errors import problems_of
from domain.names import BATCH_ATTRIBUTE, PROCESS_ATTRIBUTE, REQUESTER_ATTRIBUTE, STATUS_ATTRIBUTE, TASK_QUEUE
from domain.records import CaseRecord
from domain.rollback import RollbackAsked, RollbackInput
from domain.status import Status
from store.cases import cases
from store.cases.batches import AsyncConnection, Batch
from store.cases.cases import CaseRow, NewCaseRow
from store.db.database import DatabaseUnavailable
from workflows.registry import Process

START_CONCURRENCY = 2
"""The number of Workflows that are started at the same time.

The number is small, so that the cases of a file start nearly in the order of the file: this order decides which of two
similar payments is the second. A worker still brings fewer cases a second to their gates than two starts at a time can
start.
"""
START_PATIENCE = timedelta(seconds=3)
"""How long a caller waits for an answer of Temporal. Later, `Starter.sweep` starts the Workflow of the stored row."""
BATCH_PRIORITY = 4
"""The priority of a row of a file that names no priority. 1 comes first, 5 comes last, so rows come after single
cases."""
_REACHED_FOR = 1.0
"""Seconds after an answer of Temporal during which `reach` does not check again."""
_SUMMARY_BYTES = 380
_DETAILS_BYTES = 10_000
"""The most bytes of the summary and of the details of a Workflow.

Temporal refuses a start with a static summary over 400 bytes, or details over 20,000 bytes.
"""

StoredCase = CaseRow | NewCaseRow
"""A case in SQL: a row that was read, or a row that was just written."""

log = logging.getLogger(__name__)


class TemporalUnavailable(Exception):
    """Temporal does not answer."""


@dataclass(frozen=True)
class Launch:
    """The results of starting the Workflows of some stored cases."""

    started: list[StoredCase] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """The cases whose start can never succeed: the reason, by case id."""
    waiting: list[StoredCase] = field(default_factory=list)
    """The cases that were not started, because Temporal did not answer.

    The rows of these cases keep the status `starting`.
    """


class Launcher:
    """Starts Workflows of cases and batches.

    This class writes no SQL: `settle` stores the results in a transaction of the caller.
    """

    def __init__(self, client: Client, processes: Mapping[str, Process], policies: PinnedPolicies) -> None:
        self._client = client
        self._processes = processes
        self._policies = policies
        self._reached_at = float("-inf")

    async def reach(self, *, always: bool = False) -> None:
        """Check that Temporal answers. Call this before a case is stored.

        If Temporal answered within the last second, check again only if `always` is True. Raises TemporalUnavailable.
        """
        if not always and time.monotonic() - self._reached_at < _REACHED_FOR:
            return
        try:
            async with asyncio.timeout(START_PATIENCE.total_seconds()):
                await self._client.service_client.check_health(timeout=START_PATIENCE)
        except (TimeoutError, RPCError, RuntimeError) as wrong:
            raise TemporalUnavailable("Temporal does not respond; no case was stored. Try again in a moment") from wrong
        self._reached_at = time.monotonic()

    async def launch(self, rows: Sequence[StoredCase]) -> Launch:
        """Start the Workflows of stored cases, nearly in the order of `rows`, and return the results.

        After the first start that Temporal does not answer, start no more.
        """
        slots = asyncio.Semaphore(START_CONCURRENCY)
        launch = Launch()

        async def one(row: StoredCase) -> None:
            process = self._processes.get(row.process)
            if process is None:
                launch.refused[row.case_id] = f"the process '{row.process}' no longer exists"
                return
            async with slots:
                if launch.waiting:
                    launch.waiting.append(row)
                    return
                try:
                    await self._start_case(row, process)
                    launch.started.append(row)
                except ValidationError as wrong:
                    problems = "; ".join(map(str, problems_of(wrong, process.shown_input(row.input))))
                    launch.refused[row.case_id] = f"the stored input does not fit the process any more: {problems}"
                except RPCError as wrong:
                    if _for_good(wrong):
                        launch.refused[row.case_id] = f"Temporal refuses to start the case: {wrong.message}"
                    else:
                        log.warning("case %s waits for Temporal: %s", row.case_id, wrong)
                        launch.waiting.append(row)
                except PayloadErased as wrong:
                    launch.refused[row.case_id] = str(wrong)
                except (TimeoutError, RuntimeError) as wrong:  # RuntimeError: there was no connection
                    log.warning("case %s waits for Temporal: %s", row.case_id, wrong)
                    launch.waiting.append(row)
                except (PayloadKeyMissing, DatabaseUnavailable) as wrong:
                    log.error("case %s cannot be encrypted, and waits: %s", row.case_id, wrong)
                    launch.waiting.append(row)

        async with asyncio.TaskGroup() as group:
            for row in rows:
                group.create_task(one(row))
        return launch

    async def launch_batch(self, batch: Batch, cancel: BatchOrder | None = None) -> bool:
        """Start the Workflow that imports a stored file, or that cancels a batch whose import has ended.

        Return True if the Workflow runs, False if Temporal does not answer.
        """
        attributes = [
            SearchAttributePair(BATCH_ATTRIBUTE, batch.batch_id),
            SearchAttributePair(REQUESTER_ATTRIBUTE, batch.requester),
        ]
        try:
            await self._start(
                "batch",
                BatchInput(**batch.model_dump(include=set(BatchInput.model_fields)), orders=[cancel] if cancel else []),
                f"batch:{batch.batch_id}~cancel" if cancel else f"batch:{batch.batch_id}",
                attributes,
                BATCH_PRIORITY,
                summary=f"{'Cancel' if cancel else 'Import'} {batch.filename} ({batch.total:,} rows)",
            )
        except (RPCError, TimeoutError, RuntimeError) as wrong:
            log.warning("batch %s waits for Temporal: %s", batch.batch_id, wrong)
            return False
        except (PayloadsUnreadable, DatabaseUnavailable) as wrong:
            log.error("batch %s cannot be encrypted, and waits: %s", batch.batch_id, wrong)
            return False
        return True

    async def _start_case(self, row: StoredCase, process: Process) -> None:
        rollback = row.rollback if isinstance(row, CaseRow) else None
        attributes = [
            SearchAttributePair(PROCESS_ATTRIBUTE, row.process),
            SearchAttributePair(STATUS_ATTRIBUTE, str(_first_status(row))),
            SearchAttributePair(REQUESTER_ATTRIBUTE, row.requester),
        ]
        if row.batch_id:
            attributes.append(SearchAttributePair(BATCH_ATTRIBUTE, row.batch_id))
        if isinstance(row, CaseRow) and rollback is not None:
            await self._start_rollback(row, rollback, process, attributes)
            return
        parsed = process.input.model_validate(row.input)
        terms = await self._policies.terms(row.policy_hash, row.process)
        known = row.model_dump(include=set(CaseInput.model_fields) - {"input"})
        # The input as it is stored, because `start_digest` covers it.
        case = CaseInput[dict[str, Any]](**known, **terms._asdict(), input=row.input)
        await self._start(
            row.process,
            case,
            row.case_id,
            attributes,
            row.priority,
            summary=row.title,
            details=_details(row, process.key_fields(parsed)),
            # With a server that is fair between keys, no batch delays another one that started later.
            fairness_key=row.batch_id,
        )

    async def _start_rollback(
        self,
        row: CaseRow,
        asked: RollbackAsked,
        process: Process,
        attributes: Sequence[SearchAttributePair[Any]],
    ) -> None:
        try:
            key_fields = process.key_fields(process.input.model_validate(row.input))
        except ValidationError:  # stored by other code; its steps can be undone all the same
            key_fields = {}
        known = row.model_dump(include=set(CaseInput.model_fields) - {"policy_hash"})
        terms = await self._policies.terms(asked.policy_hash, row.process)
        case = RollbackInput(
            **known,
            **terms._asdict(),
            policy_hash=asked.policy_hash,
            workflow_id=row.conductor,
            title=row.title,
            key_fields=key_fields,
            money=process.money(row.input),
            shown=process.shown_input(row.input),
            plan=row.plan,
            asked=asked,
        )
        await self._start(
            "rollback",
            case,
            row.conductor,
            attributes,
            row.priority,
            summary=f"Roll back: {row.title}",
            details=_details(row, {"Asked by": asked.by, "Because": asked.reason, **key_fields}),
        )

    async def _start(
        self,
        workflow: str,
        argument: BaseModel,
        workflow_id: str,
        attributes: Sequence[SearchAttributePair[Any]],
        priority: int,
        *,
        summary: str,
        details: str | None = None,
        fairness_key: str | None = None,
    ) -> None:
        try:
            async with asyncio.timeout(START_PATIENCE.total_seconds()):
                # No execution timeout: a Workflow that the server ends could not undo its steps.
                await self._client.start_workflow(
                    workflow,
                    argument,
                    id=workflow_id,
                    task_queue=TASK_QUEUE,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    search_attributes=TypedSearchAttributes(attributes),
                    static_summary=_cut(summary, _SUMMARY_BYTES),
                    static_details=_cut(details, _DETAILS_BYTES) if details else None,
                    priority=Priority(priority_key=priority, fairness_key=fairness_key),
                )
        except WorkflowAlreadyStartedError:
            log.info("%s runs already", workflow_id)
        self._reached_at = time.monotonic()


async def settle(conn: AsyncConnection, launch: Launch) -> None:
    """Store the results of a launch: started cases run, refused cases end `failed` with the reason."""
    for status in (Status.RUNNING, Status.SCHEDULED, Status.ROLLING_BACK, Status.NEEDS_INTERVENTION):
        ids = [row.case_id for row in launch.started if _first_status(row) == status]
        if ids:
            await cases.mark_running(conn, ids, status)
    for case_id, reason in launch.refused.items():
        await cases.record(conn, _given_up(case_id, reason))


def _first_status(row: StoredCase) -> Status:
    if isinstance(row, CaseRow) and row.rollback is not None:
        return Status.NEEDS_INTERVENTION if row.rollback.lost else Status.ROLLING_BACK
    return Status.SCHEDULED if row.start_at and row.start_at > datetime.now(UTC) else Status.RUNNING


def _for_good(wrong: RPCError) -> bool:
    """Return True if a start can never succeed, for example because the input is too large.

    If the namespace lacks a search attribute, Temporal gives a similar error. A start that lacks an attribute can
    succeed after an operator has added the attribute, so the result is False.
    """
    if wrong.status == RPCStatusCode.RESOURCE_EXHAUSTED:
        return "larger than max" in wrong.message  # gRPC refuses more than 4 MB; else the server is busy
    return wrong.status == RPCStatusCode.INVALID_ARGUMENT and "search attribute" not in wrong.message.lower()


def _given_up(case_id: str, reason: str) -> CaseRecord:
    event = CaseEvent(
        event_id=f"{case_id}/not-started",
        case_id=case_id,
        at=datetime.now(UTC),
        kind="case_not_started",
        actor="holdgate",
        summary=f"Not started: {reason}",
        data={"reason": reason},
    )
    result = CaseResult(case_id=case_id, status=Status.FAILED, reason=reason)
    return CaseRecord(case_id=case_id, status=Status.FAILED, events=[event], result=result)


def _details(row: StoredCase, key_fields: Mapping[str, str]) -> str:
    """Return the main fields of a case as a Markdown list, for the page of its Workflow in the Temporal Web UI."""
    facts = {"Reference": row.reference, "Requester": row.requester, **key_fields}
    if row.on_behalf_of:
        facts["On behalf of"] = row.on_behalf_of
    if row.batch_id:
        facts["Batch"] = row.batch_id
    if row.resubmits:
        facts["Resubmits"] = row.resubmits
    return "\n".join(f"- **{name}**: {value}" for name, value in facts.items())


def _cut(text: str, limit: int) -> str:
    """Return the text cut to at most `limit` bytes of UTF-8, with an ellipsis at the end if it was cut."""
    raw = text.encode()
    return text if len(raw) <= limit else raw[: limit - 3].decode(errors="ignore") + "…"
