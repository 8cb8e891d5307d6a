"""The gateway to Temporal: routes and pages call this module to send messages to a running case or import."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError

from api.gateway.actors import actor_on
from api.gateway.confirmations import Confirmations
from api.gateway.decisions import Decisions, Fresh
from api.gateway.refusal_problems import problem_of_refusal
from api.gateway.refusals import ended
from api.gateway.requests import ActionOutcome, ActionRequest, DecisionOutcome, DecisionRequest
from api.gateway.task_actions import TaskActions
from api.gateway.temporal import (
    MAY_COME,
    PAUSE_S,
    QUERY_PATIENCE_S,
    SIGNAL_PATIENCE_S,
    UPDATE_PATIENCE_S,
    Gone,
    NoAnswer,
    outcome_of,
    send,
    state_of,
    within,
)
from api.http.problems import Problem, unavailable
from api.http.security import actor
from cases.settle_blocked import Settlement
from cases.submit import PolicySource
from cases.workflow_starter import Launcher
from core.errors import PayloadsUnreadable
from domain.batch import BatchAct, BatchOrder
from domain.case import CaseState
from domain.ids import decision_id_for
from domain.messages import Actor, Cancellation, StartNow
from domain.refusals import Refusal
from domain.status import Status
from domain.task import TaskView
from store.cases import cases
from store.cases.batches import Batch
from store.cases.cases import CaseRow
from store.db.database import Database
from store.people.people import Person

ROLLBACK_PATIENCE_S = 2.0
"""Seconds that a caller waits to learn if a completed case can be rolled back.

The rollback itself continues after that time.
"""


class Gateway:
    """Sends people's messages to cases and imports, and reads the state of cases."""

    def __init__(
        self,
        client: Client,
        db: Database,
        ui_url: str,
        settlement: Settlement,
        policy: PolicySource,
        confirmations: Confirmations,
        fresh: Fresh | None = None,
    ) -> None:
        self._client = client
        self._db = db
        self._ui_url = ui_url
        self._decisions = Decisions(client, db, settlement, policy, confirmations, fresh)
        self._task_actions = TaskActions(client, db)

    async def close(self) -> None:
        """End the background work; call this before the database is closed."""
        await self._decisions.close()

    def temporal_url(self, case_id: str) -> str:
        """Return the address of the case's Workflow in the Temporal Web UI."""
        return f"{self._ui_url}/namespaces/{self._client.namespace}/workflows/{quote(case_id, safe='')}"

    async def reachable(self) -> bool:
        """Return True if the Temporal server answers within a second."""
        try:
            async with within(QUERY_PATIENCE_S):
                return await self._client.service_client.check_health()
        except (NoAnswer, Gone):
            return False

    async def state(self, workflow_id: str) -> CaseState | None:
        """Return the state of a case from its Workflow; None if the Workflow does not answer within a second."""
        return await state_of(self._client, workflow_id)

    # ----------------------------------------------------------------------------------------------------------- tasks

    async def decide(
        self,
        person: Person,
        task: TaskView,
        request: DecisionRequest,
        client_id: str | None,
        patience: float | None = None,
    ) -> DecisionOutcome:
        """Send a person's decision on a task to its case, and return the outcome. See `Decisions.decide`."""
        return await self._decisions.decide(person, task, request, client_id, patience)

    async def noted(self, decision_id: str) -> bool:
        """Wait until a pending decision is stored; False if none is being stored. See `Decisions.noted`."""
        return await self._decisions.noted(decision_id)

    async def act(
        self, person: Person, task: TaskView, request: ActionRequest, client_id: str | None = None
    ) -> ActionOutcome:
        """Send an action on a task other than a decision to its case, and return the outcome. See `TaskActions.act`."""
        return await self._task_actions.act(person, task, request, client_id)

    async def actor(self, person: Person, task: TaskView) -> Actor:
        """Return the person as the actor of a message about this task. See `actor_on`."""
        return await actor_on(self._client, self._db, person, task)

    # ----------------------------------------------------------------------------------------------------------- cases

    async def cancel(self, person: Person, case: CaseRow, reason: str, client_id: str | None) -> None:
        """Tell a case to stop and to undo its steps.

        Raises Problem: 409 if the case has ended, or had completed before its rollback; 503 if Temporal does not
        answer, or does not have the case yet.
        """
        if case.status.closed:
            raise ended(case)
        if case.rollback is not None and case.rollback.ended is not None:
            message = (
                "The case was completed and is being rolled back. "
                "The rollback stops only if people reject it while its approval task is open."
            )
            raise Problem(409, message, kind="already-closed", case_id=case.case_id, outcome=Status.COMPLETED)
        cancellation = Cancellation(
            # Only the first cancellation counts, so a repeat is the same without an id of its own.
            id=decision_id_for(person.id, f"{case.case_id}/cancel", client_id or reason),
            by=actor(person),
            reason=reason,
            at=datetime.now(UTC),
        )
        try:
            async with within(UPDATE_PATIENCE_S):
                await self._client.get_workflow_handle(case.conductor).signal("cancel_case", cancellation)
        except NoAnswer as error:
            raise unavailable(MAY_COME) from error
        except Gone as error:
            async with self._db.read() as conn:
                now = await cases.get(conn, case.case_id) or case
            if now.status is Status.STARTING:
                raise unavailable(
                    "The case has not reached Temporal yet, so it was not cancelled. Try again in a moment."
                ) from error
            raise ended(now) from error

    async def start_now(self, person: Person, case: CaseRow, client_id: str | None) -> Status | None:
        """Start a scheduled case before its time, and return its new status.

        A repeat by the same person starts nothing twice. Return None if no worker answers: the case starts when a
        worker runs.

        Raises Problem: 409 if the case is not scheduled, 503 if Temporal does not answer, or does not have the case
        yet.
        """
        asked = StartNow(
            # A case begins once, so a repeat by the same person is the same with or without the client's id.
            id=decision_id_for(person.id, f"{case.case_id}/start", client_id or "start"),
            by=actor(person),
            at=datetime.now(UTC),
        )
        handle = self._client.get_workflow_handle(case.case_id)
        try:
            async with within(UPDATE_PATIENCE_S):
                return await send(handle, "start_now", asked, Status)
        except Refusal as no:
            problem = problem_of_refusal(asked.id, no)
            problem.body["case_id"] = case.case_id
            raise problem from no
        except NoAnswer:
            await self._start_later(handle, asked)
            return None
        except Gone as error:
            with suppress(NoAnswer, Gone, Refusal):  # no Update arrived before the end
                return await outcome_of(handle, asked.id, Status)
            async with self._db.read() as conn:
                now = await cases.get(conn, case.case_id) or case
            if now.status.closed:
                raise ended(now) from error
            raise unavailable(
                "The case is stored but has not reached Temporal yet, so it was not started early. "
                "Try again in a moment."
            ) from error

    async def _start_later(self, handle: WorkflowHandle[Any, Any], asked: StartNow) -> None:
        try:
            async with within(SIGNAL_PATIENCE_S):
                await handle.signal("submit_start", asked)
        except (NoAnswer, Gone) as error:
            raise unavailable(MAY_COME) from error

    async def begun(self, workflow_id: str) -> str:
        """Wait until the rollback Workflow begins, and return why it did not.

        The text is empty if the rollback began, or if its Workflow does not answer within 2 s.
        """
        try:
            async with within(ROLLBACK_PATIENCE_S):
                while True:
                    try:
                        handle = self._client.get_workflow_handle(workflow_id)
                        off: str = await handle.execute_update("begun", id="begun", result_type=str)
                        return off
                    except WorkflowUpdateFailedError:  # the rollback has not begun, or has just ended
                        await asyncio.sleep(PAUSE_S)
        except (NoAnswer, Gone, PayloadsUnreadable):
            return ""

    # --------------------------------------------------------------------------------------------------------- batches

    async def order(self, batch: Batch, order: BatchOrder, launcher: Launcher) -> None:
        """Send an order to an import: pause, resume or cancel.

        A completed batch can still be cancelled once, with `rollback_started`, to roll back its cases. Raises Problem:
        409 if it is too late for the order, 503 if Temporal does not answer, or the import has not started yet.
        """
        if batch.closed_at is None:
            try:
                async with within(UPDATE_PATIENCE_S):
                    await self._client.get_workflow_handle(f"batch:{batch.batch_id}").signal("order", order)
                return
            except NoAnswer as error:
                raise unavailable(MAY_COME) from error
            except Gone as error:
                if batch.status in ("starting", "running"):  # about to start, or about to be recorded as completed
                    raise unavailable(
                        "The import of this batch has not started yet, or is ending. Try again in a moment."
                    ) from error
        if batch.status != "completed":
            raise Problem(
                409, f"The batch has already ended: {batch.status}.", kind="already-closed", outcome=batch.status
            )
        if order.act is not BatchAct.CANCEL or not order.rollback_started:
            said = "The import of this batch is completed. To roll back its cases, cancel with `rollback_started`."
            raise Problem(409, said, kind="already-closed", outcome=batch.status)
        if not await launcher.launch_batch(batch, order):
            raise unavailable(MAY_COME)
