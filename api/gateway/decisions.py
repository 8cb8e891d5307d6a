"""Send decisions of people to their cases.

A decision is sent as an Update first, so that the caller learns the outcome. If no worker answers in time, the decision
is sent as a Signal with the same id. Temporal keeps the Signal until a worker is back, and the case counts the decision
once.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol
from weakref import WeakValueDictionary

from pydantic import ValidationError
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError

from api.gateway.actors import actor_on
from api.gateway.canonical import check_canonical
from api.gateway.confirmations import Confirmations
from api.gateway.erased import check_not_erased
from api.gateway.refusal_problems import problem_of_refusal
from api.gateway.refusals import CERTAIN_REFUSALS, RefusalLog, recorded
from api.gateway.requests import DecisionOutcome, DecisionRequest
from api.gateway.temporal import (
    MAY_COME,
    SIGNAL_PATIENCE_S,
    UPDATE_PATIENCE_S,
    Gone,
    NoAnswer,
    outcome_of,
    send,
    within,
)
from api.http.problems import not_found, unavailable
from cases.check_names import NamesCheck
from cases.settle_blocked import Settlement
from cases.submit import PolicySource
from core.errors import PayloadsUnreadable
from domain.confirmation import Confirm
from domain.gate import Gate, wrong_verdict
from domain.ids import decision_id_for
from domain.messages import Decision, Receipt
from domain.named_fields import names_any
from domain.refusals import DECISION_ID_REUSED, Refusal, RefusalCode
from domain.ruling import GateRuling
from domain.status import Verdict
from domain.task import TaskView
from store.cases import cases, tasks
from store.cases.tasks import DecisionRow
from store.db.database import Database, DatabaseUnavailable
from store.people.people import Person
from workflows.registry import PROCESSES

LOOKS_S = (2.0, 5.0, 15.0, 40.0)
"""Seconds before each check whether the case has accepted a decision that got no answer.

After the last check, nobody checks again.
"""
NOTE_PATIENCE_S = 0.3
"""The most seconds that the answer to a person waits until the pending decision is stored.

If storing takes longer, it continues in the background.
"""
LOOK_PATIENCE_S = 2.0
"""The most seconds that a question about a decision waits until the decision is stored."""
SETTLE_PATIENCE_S = 10.0
"""Seconds that an operator's decision on a blocked case may take.

In this time, the gateway calls Temporal several times, for example to terminate the Workflow of the case.
"""
UPDATES_AT_ONCE = 4
"""The most Updates sent at the same time for one task.

The Temporal server accepts ten at the same time for one Workflow, but aborts many of them: fifty at the same time took
longer than one after the other.
"""

_log = logging.getLogger("holdgate.api")


class Fresh(Protocol):
    """Returns a person with the groups that an identity provider gives them now. Raises Problem."""

    async def __call__(self, person: Person, /, *, confirm: bool) -> Person: ...


class Decisions:
    """Sends decisions of people to their cases, and returns the outcomes."""

    def __init__(
        self,
        client: Client,
        db: Database,
        settlement: Settlement,
        policy: PolicySource,
        confirmations: Confirmations,
        fresh: Fresh | None = None,
    ) -> None:
        self._client = client
        self._db = db
        self._settlement = settlement
        self._policy = policy
        self._confirmations = confirmations
        self._fresh = fresh
        self._refusals = RefusalLog(db)
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._background: set[asyncio.Task[None]] = set()
        self._noting: dict[str, asyncio.Task[None]] = {}
        """By decision id: the tasks that store decisions which were answered with 202."""

    async def close(self) -> None:
        """End the background tasks; call this before the database is closed. Tasks that are nearly done may finish."""
        if self._background:
            await asyncio.wait(self._background, timeout=NOTE_PATIENCE_S)
        left = list(self._background)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def decide(
        self,
        person: Person,
        task: TaskView,
        request: DecisionRequest,
        client_id: str | None,
        patience: float | None = None,
    ) -> DecisionOutcome:
        """Send a person's decision to the case.

        `task` is the stored task; the caller has checked that the person may see it. `client_id` makes a repeat return
        the first answer. `patience` is in seconds, None for the default. Raises Problem: 403, 404, 409, 422 or 428 if
        the decision is refused or must be confirmed, 503 if Temporal does not answer. A refused decision is recorded in
        the audit log; further ones of the same person may only be counted. A word that is no verdict is answered with
        422 and not recorded, as other malformed requests are.
        """
        await check_not_erased(self._db, task)
        decision_id = decision_id_for(person.id, task.task_id, client_id or uuid.uuid4().hex)
        if request.verdict not in {*Verdict}:
            raise problem_of_refusal(decision_id, wrong_verdict(task, request.verdict))
        async with self._db.read() as conn:
            known = await tasks.decision(conn, decision_id)
        if self._fresh is not None and known is None:  # a repeat gets the first answer, whatever the provider says now
            person = await self._fresh(person, confirm=task.confirm is not Confirm.NONE)
        decision = Decision(
            id=decision_id,
            task_id=task.task_id,
            verdict=Verdict(request.verdict),
            by=await actor_on(self._client, self._db, person, task),
            comment=request.comment,
            revision=request.revision,
            edits=request.edits,
            shown=task.digest,
            confirmation=request.confirmation,
            via=request.via,
            at=datetime.now(UTC),
        )
        check_canonical(decision)
        if decision.verdict not in task.verdicts:
            raise await self._refusals.refuse(task, decision, wrong_verdict(task, decision.verdict))
        if known and known.content != decision.content:
            raise await self._refusals.refuse(task, decision, Refusal(RefusalCode.REUSED, DECISION_ID_REUSED))
        if known and known.status == "refused":
            raise problem_of_refusal(decision.id, recorded(known, task))
        if request.passkey:
            try:
                decision = await self._confirmations.by_passkey(
                    person, task, decision, request.passkey, new_id=client_id is None
                )
            except Refusal as no:
                if known is None:  # otherwise the request was answered before, and has used up its nonce
                    raise await self._refusals.refuse(task, decision, no) from no
        try:
            return await self._send(task, decision, known, UPDATE_PATIENCE_S if patience is None else patience)
        except Refusal as no:
            asked = Confirm(no.details["method"])
            raise await self._confirmations.needed(task, decision, asked, of_many=request.of_many) from no

    async def _send(
        self, task: TaskView, decision: Decision, known: DecisionRow | None, patience: float
    ) -> DecisionOutcome:
        """Send a decision to its case. Raises Problem, and Refusal CONFIRM_NEEDED if the person must confirm it."""
        if "stopped" in task.facts and task.kind == "intervention":
            return await self._settle(task, decision)
        if not known:
            await self._check_edits(task, decision)
        handle = self._client.get_workflow_handle(task.workflow_id or task.case_id)
        try:
            return await self._receive(task, decision, self._update(handle, decision, patience))
        except NoAnswer:
            return await self._signal(handle, task, decision, known)
        except Gone:
            return await self._after_the_end(handle, decision)

    async def _refused(self, task: TaskView, decision: Decision, no: Refusal) -> Exception:
        """Record that a decision was refused, and return the exception to raise.

        CONFIRM_NEEDED is not recorded: it asks the person to confirm, and the person has done nothing wrong.
        """
        return no if no.code is RefusalCode.CONFIRM_NEEDED else await self._refusals.refuse(task, decision, no)

    async def _settle(self, task: TaskView, decision: Decision) -> DecisionOutcome:
        """Carry out an operator's decision on a blocked case without its Workflow, which cannot receive messages."""
        async with self._db.read() as conn:
            known, now = await tasks.decision(conn, decision.id), await tasks.get(conn, task.task_id) or task
        if known and known.status == "accepted":
            return await self._as_recorded(known)
        try:
            Gate(now, GateRuling(needed=True, rule=now.rule)).check(decision)
        except Refusal as no:
            raise await self._refused(now, decision, no) from no
        try:
            async with within(SETTLE_PATIENCE_S):
                status = await self._settlement.settle(now, decision)
        except (NoAnswer, Gone, WorkflowQueryFailedError) as error:
            raise unavailable(MAY_COME, decision_id=decision.id) from error
        async with self._db.read() as conn:
            closed = await tasks.get(conn, task.task_id) or now
        if status is None:
            message = "Somebody else already decided about this blocked case. Reload the case."
            refusal = Refusal(RefusalCode.ALREADY_CLOSED, message, outcome=closed.outcome)
            raise await self._refusals.refuse(closed, decision, refusal)
        return DecisionOutcome(decision_id=decision.id, task=closed, case_status=status)

    async def _check_edits(self, task: TaskView, decision: Decision) -> None:
        """Raise Problem if the edits of a decision name unknown people or groups, as for a new request.

        The Workflow checks everything else in the edits.
        """
        process = PROCESSES.get(task.process)
        if not decision.edits or process is None or not names_any(process.input):
            return
        async with self._db.read() as conn:
            case = await cases.get(conn, task.case_id)
        try:
            whole = process.input.model_validate({**(case.input if case else {}), **decision.edits})
        except ValidationError:
            return
        check = NamesCheck(self._db, self._policy.current, decision.by.id)
        (wrong,) = await check.problems(task.process, [whole], decision.edits)
        if wrong:
            errors = [{"field": each.column, "message": each.message} for each in wrong]
            message = "; ".join(map(str, wrong))
            raise await self._refusals.refuse(
                task, decision, Refusal(RefusalCode.INVALID_EDITS, message, errors=errors)
            )

    async def _update(self, handle: WorkflowHandle[Any, Any], decision: Decision, patience: float) -> Receipt:
        """Send the decision as an Update, and return the receipt of the Workflow.

        Repeat the Update until the Workflow has reached the task and the Temporal server is ready, at most for
        `patience` seconds.

        Only `UPDATES_AT_ONCE` Updates for one task are sent at the same time, because the Temporal server aborts
        Updates if too many reach one Workflow.
        """
        turns = self._turns.setdefault(decision.task_id, asyncio.Semaphore(UPDATES_AT_ONCE))
        async with within(patience), turns:
            return await send(handle, "decide", decision, Receipt)

    async def _signal(
        self, handle: WorkflowHandle[Any, Any], task: TaskView, decision: Decision, known: DecisionRow | None
    ) -> DecisionOutcome:
        """Send the decision as a Signal.

        Temporal stores the Signal, and the case checks the decision when a worker runs.
        """
        if known and known.status == "pending":  # written after the Signal was stored, so no second Signal is needed
            return DecisionOutcome(decision_id=decision.id)
        if not known:
            await self._refuse_at_once(task, decision)
        try:
            # Also if it is stored as accepted: after a power cut Temporal may know less than the database.
            async with within(SIGNAL_PATIENCE_S):
                await handle.signal("submit_decision", decision)
        except NoAnswer as error:
            self._in_background(self._see_through(handle, decision))
            raise unavailable(MAY_COME, decision_id=decision.id) from error
        except Gone:
            return await self._after_the_end(handle, decision)
        if known:
            return await self._as_recorded(known)
        noting = self._noting[decision.id] = self._in_background(self._note_pending(task, decision))
        noting.add_done_callback(lambda _: self._noting.pop(decision.id, None))
        await asyncio.wait([noting], timeout=NOTE_PATIENCE_S)
        return DecisionOutcome(decision_id=decision.id)

    async def noted(self, decision_id: str) -> bool:
        """Wait until a pending decision is stored. Return False if this gateway is not storing such a decision.

        Raises Problem 503 if storing takes longer than `LOOK_PATIENCE_S`.
        """
        if (noting := self._noting.get(decision_id)) is None:
            return False
        _, running = await asyncio.wait([noting], timeout=LOOK_PATIENCE_S)
        if running:
            raise unavailable("The decision is being stored. Ask again in a moment.", decision_id=decision_id)
        return True

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        running = asyncio.create_task(work)
        self._background.add(running)
        running.add_done_callback(self._background.discard)
        return running

    async def _see_through(self, handle: WorkflowHandle[Any, Any], decision: Decision) -> None:
        """Send an accepted decision again as a Signal, because Temporal may have lost its Update.

        The case stores an accepted decision in SQL before Temporal stores the Update. Under heavy load Temporal may
        never store the Update, and the case would wait for ever.
        """
        for pause in LOOKS_S:
            await asyncio.sleep(pause)
            with suppress(DatabaseUnavailable, NoAnswer, PayloadsUnreadable):
                async with self._db.read() as conn:
                    known = await tasks.decision(conn, decision.id)
                if known is None or known.status != "accepted":
                    continue
                with suppress(Gone):
                    async with within(UPDATE_PATIENCE_S):
                        await handle.signal("submit_decision", decision)
                return

    async def _note_pending(self, task: TaskView, decision: Decision) -> None:
        try:
            async with self._db.write() as conn:
                await tasks.add_pending(conn, decision, task.case_id)
        except DatabaseUnavailable:
            # Temporal has the decision. The database shows the decision after the case has validated it.
            _log.warning("decision %s is pending, but could not be noted as such", decision.id)

    async def _refuse_at_once(self, task: TaskView, decision: Decision) -> None:
        """Raise Problem if the stored task alone shows that the Workflow would refuse the decision.

        No worker is asked.
        """
        try:
            Gate(task, GateRuling(needed=True, rule=task.rule)).check(decision)
        except Refusal as no:
            if no.code in CERTAIN_REFUSALS:
                raise await self._refused(task, decision, no) from no

    async def _after_the_end(self, handle: WorkflowHandle[Any, Any], decision: Decision) -> DecisionOutcome:
        """Return the outcome of a decision whose Workflow has ended.

        Raises Problem if the Workflow refused the decision, or ended without receiving it.
        """
        async with self._db.read() as conn:
            task = await tasks.get(conn, decision.task_id)
            known = await tasks.decision(conn, decision.id)
        if task is None:
            raise not_found("task")
        with suppress(NoAnswer, Gone):  # no Update reached the Workflow
            return await self._receive(task, decision, outcome_of(handle, decision.id, Receipt))
        if known and known.status == "accepted":
            return await self._as_recorded(known)
        try:
            Gate(task, GateRuling(needed=True, rule=task.rule)).check(decision)
        except Refusal as no:
            raise await self._refused(task, decision, no) from no
        message = "The case of this task has ended."
        refusal = Refusal(RefusalCode.ALREADY_CLOSED, message, outcome=task.outcome)
        raise await self._refusals.refuse(task, decision, refusal)

    async def _receive(self, task: TaskView, decision: Decision, update: Awaitable[Receipt]) -> DecisionOutcome:
        """Wait for an Update and return the outcome of its decision.

        Raises Problem if the Workflow refused the decision.
        """
        try:
            receipt = await update
        except Refusal as no:
            raise await self._refused(task, decision, no) from no
        if receipt.content != decision.content:
            # The server answers a known Update id with its first result, without asking the Workflow.
            raise await self._refusals.refuse(task, decision, Refusal(RefusalCode.REUSED, DECISION_ID_REUSED))
        decided = receipt.task.model_copy(update={"facts": task.facts})
        return DecisionOutcome(decision_id=receipt.decision_id, task=decided, case_status=receipt.case_status)

    async def _as_recorded(self, known: DecisionRow) -> DecisionOutcome:
        """Return the outcome of an accepted decision without a receipt in Temporal, with the present task and case."""
        async with self._db.read() as conn:
            task, case = await tasks.get(conn, known.task_id), await cases.get(conn, known.case_id)
        return DecisionOutcome(decision_id=known.decision_id, task=task, case_status=case.status if case else None)
