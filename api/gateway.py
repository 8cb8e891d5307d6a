"""The doors to running cases: decide, cancel, look. The only module in api/ that holds Workflow handles.

A decision goes through the Update first, so that the caller learns what became of it. If no worker answers in time it
goes through the Signal with the same id, which Temporal keeps until a worker is back; the case counts it once.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from weakref import WeakValueDictionary

from pydantic import BaseModel, ValidationError
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError, WorkflowUpdateFailedError

from api.http.problems import FieldError, Problem, invalid, not_found, unavailable
from api.http.security import actor
from api.http.workflow_refusals import problem_of_refusal
from api.services.person_lookup import whom
from api.temporal_calls import PAUSE_S, Gone, NoAnswer, send, within
from cases.check_names import NamesCheck
from cases.settle_blocked import Settlement
from cases.submit import PolicySource
from cases.workflow_starter import Launcher
from domain.batch import BatchAct, BatchOrder
from domain.case import CaseEvent, CaseState
from domain.gate import Gate
from domain.ids import decision_id_for
from domain.messages import Absent, Act, Action, Actor, Cancellation, Decision, Receipt, StartNow
from domain.moments import Moment
from domain.named_fields import names_any
from domain.permissions import candidacy, same
from domain.records import ActionRecord
from domain.refusals import Refusal, RefusalCode
from domain.ruling import GateRuling
from domain.status import Status, Verdict
from domain.task import TaskView
from store.audit import refusal_counts
from store.cases import actions, cases, tasks
from store.cases.actions import ActionRow
from store.cases.batches import Batch
from store.cases.cases import CaseRow
from store.cases.tasks import DecisionRow
from store.db.database import Database, DatabaseUnavailable
from store.people import people
from store.people.people import Person
from workflows.registry import PROCESSES

UPDATE_PATIENCE_S = 2.5
"""How long the first door is tried."""
SIGNAL_PATIENCE_S = 1.0
"""How long the second is: a caller has an answer within 4 s, whatever is down."""
LOOKS_S = (2.0, 5.0, 15.0, 40.0)
"""When it is looked whether a decision that got no answer was accepted all the same."""
NOTE_PATIENCE_S = 0.3
"""How long an answer waits until it is noted that the decision is pending; the note is written all the same."""
MAY_COME = "Temporal does not answer. What you sent may still arrive; sent again, it is done once."
QUERY_PATIENCE_S = 1.0
ROLLBACK_PATIENCE_S = 2.0
"""How long a caller waits to hear whether the receiver lets a completed case be undone; it goes on without them."""
SETTLE_PATIENCE_S = 10.0
"""How long an operator waits until a case that stands still has been ended in Temporal and handed over."""
UPDATES_AT_ONCE = 4
"""On one task. The server takes ten and aborts many of them; measured, fifty at once then took longer than in turn."""
SURE = frozenset(
    {RefusalCode.NOT_ALLOWED, RefusalCode.ALREADY_CLOSED, RefusalCode.REVISION_NEEDED, RefusalCode.MISSING}
)
"""Refusals that follow from the stored task alone: no worker need be asked."""
REUSED = "This decision id was used already, with another answer."

_log = logging.getLogger("holdgate.api")


class Answer(BaseModel):
    """What a person says to a task, before it is known who and when."""

    verdict: str
    comment: str = ""
    revision: int | None = None
    edits: dict[str, Any] = {}
    via: str = "api"
    """The way it came, for the record."""


class Wish(BaseModel):
    """What a person wants to do with a task other than decide it, before it is known who and when."""

    act: Act
    to: str | None = None
    """A person, by id, name or e-mail address."""
    text: str = ""
    question: str | None = None
    replaces: str | None = None
    due_at: Moment | None = None
    expires_at: Moment | None = None
    ruling: GateRuling | None = None
    policy_hash: str | None = None
    times: bool = False
    revision: int | None = None
    via: str = "api"


class Decided(BaseModel):
    """What became of a decision: with `task` and `case_status` it was accepted, without them it waits for a worker."""

    decision_id: str
    task: TaskView | None = None
    case_status: Status | None = None

    @property
    def accepted(self) -> bool:
        return self.task is not None


class Acted(BaseModel):
    """What became of an action: with `task` it was done, without it waits for a worker."""

    action_id: str
    task: TaskView | None = None


class Gateway:
    """Sends people's messages to cases and looks at their state."""

    def __init__(self, client: Client, db: Database, ui_url: str, settlement: Settlement, policy: PolicySource) -> None:
        self._client = client
        self._db = db
        self._settlement = settlement
        self._policy = policy
        self._ui_url = ui_url
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._background: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End what runs behind answers, before the database is closed: what is nearly done may finish."""
        if self._background:
            await asyncio.wait(self._background, timeout=NOTE_PATIENCE_S)
        left = list(self._background)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def temporal_url(self, case_id: str) -> str:
        """Where an engineer sees the case in the Temporal Web UI."""
        return f"{self._ui_url}/namespaces/{self._client.namespace}/workflows/{quote(case_id, safe='')}"

    async def reachable(self) -> bool:
        """Whether the Temporal server answers within a second."""
        try:
            async with within(QUERY_PATIENCE_S):
                return await self._client.service_client.check_health()
        except (NoAnswer, Gone):
            return False

    async def state(self, workflow_id: str) -> CaseState | None:
        """The case as the Workflow that has it knows it; None when it did not answer within a second."""
        try:
            async with within(QUERY_PATIENCE_S):
                handle = self._client.get_workflow_handle(workflow_id)
                state: CaseState = await handle.query("status", result_type=CaseState)
                return state
        except (NoAnswer, Gone, WorkflowQueryFailedError, ValidationError):  # the last: of code that is newer, or older
            return None

    # ------------------------------------------------------------------------------------------------------- decisions

    async def decide(
        self,
        person: Person,
        task: TaskView,
        answer: Answer,
        client_id: str | None,
        patience: float | None = None,
    ) -> Decided:
        """Bring a person's decision to the case. `task` is as stored, and one that the person may see.

        `client_id` makes a repeat return the first answer; `patience` is in seconds, None for the usual. Raises
        Problem: 403, 409 or 422 as the Workflow refuses, 503 when Temporal does not answer. Every refusal is recorded
        in the case's chain.
        """
        if answer.verdict not in task.verdicts:
            allowed = ", ".join(task.verdicts)
            raise invalid(
                f"This task does not take '{answer.verdict}'; it takes {allowed}.",
                [FieldError(field="verdict", message=f"one of {allowed}")],
                allowed=task.verdicts,
            )
        decision = Decision(
            id=decision_id_for(person.id, task.task_id, client_id or uuid.uuid4().hex),
            task_id=task.task_id,
            verdict=Verdict(answer.verdict),
            by=await self.speaker(person, task),
            comment=answer.comment,
            revision=answer.revision,
            edits=answer.edits,
            via=answer.via,
            at=datetime.now(UTC),
        )
        async with self._db.read() as conn:
            known = await tasks.decision(conn, decision.id)
        if known and known.content != decision.content:
            raise await self._refuse(task, decision, Refusal(RefusalCode.REUSED, REUSED))
        if known and known.status == "refused":
            raise problem_of_refusal(decision.id, _recorded(known, task))
        if "stopped" in task.facts and task.kind == "intervention":
            return await self._settle(task, decision)
        if not known:
            await self._check_edits(task, decision)
        handle = self._client.get_workflow_handle(task.workflow_id or task.case_id)
        try:
            wait = UPDATE_PATIENCE_S if patience is None else patience
            return await self._receive(task, decision, self._update(handle, decision, wait))
        except NoAnswer:
            return await self._signal(handle, task, decision, known)
        except Gone:
            return await self._after_the_end(handle, decision)

    async def _settle(self, task: TaskView, decision: Decision) -> Decided:
        """Carry out what an operator says of a case that stands still: there is no Workflow that could hear it."""
        async with self._db.read() as conn:
            known, now = await tasks.decision(conn, decision.id), await tasks.get(conn, task.task_id) or task
        if known and known.status == "accepted":
            return await self._as_recorded(known)
        try:
            Gate(now, GateRuling(needed=True, rule=now.rule)).check(decision)
        except Refusal as no:
            raise await self._refuse(now, decision, no) from no
        try:
            async with within(SETTLE_PATIENCE_S):
                status = await self._settlement.settle(now, decision)
        except (NoAnswer, Gone, WorkflowQueryFailedError) as error:
            raise unavailable(MAY_COME, decision_id=decision.id) from error
        async with self._db.read() as conn:
            closed = await tasks.get(conn, task.task_id) or now
        if status is None:
            message = "This case was dealt with a moment ago."
            raise await self._refuse(
                closed, decision, Refusal(RefusalCode.ALREADY_CLOSED, message, outcome=closed.outcome)
            )
        return Decided(decision_id=decision.id, task=closed, case_status=status)

    async def speaker(self, person: Person, task: TaskView) -> Actor:
        """The person as the people rules want them: also with whom they were handed this task by, if that person is
        still active, and the groups that one has now."""
        by = actor(person)
        if not same(task.assignee, person.id) and candidacy(task, person.id, person.groups):
            return by
        state = await self.state(task.workflow_id or task.case_id) if task.status == "open" else None
        now = next((each for each in state.tasks if each.task_id == task.task_id), task) if state else task
        if now.owner is None or not same(now.assignee, person.id):
            return by
        async with self._db.read() as conn:
            owner = await people.active(conn, now.owner)
        if owner is None:
            return by
        giver = Absent(id=owner.id, groups=owner.groups)
        return by.model_copy(update={"stands_in_for": [*by.stands_in_for, giver]})

    # --------------------------------------------------------------------------------------------------- other messages

    async def act(self, person: Person, task: TaskView, wish: Wish, client_id: str | None = None) -> Acted:
        """Do something with a task, once, and answer it as it is then.

        Where no worker answers, the action is stored and done or refused later. The same action sent again before that
        is no second one, nor is one with the same `client_id` ever. Raises Problem: 403, 409 or 422 as the Workflow
        refuses, 422 for somebody who is unknown, 503 when Temporal does not answer.
        """
        to = await self._named(wish.to, person, task) if wish.to is not None else None
        action = Action(
            id=decision_id_for(person.id, f"{task.task_id}/{wish.act}", client_id or uuid.uuid4().hex),
            task_id=task.task_id,
            by=await self.speaker(person, task),
            to=to,
            at=datetime.now(UTC),
            **wish.model_dump(exclude={"to", "ruling"}),
            ruling=wish.ruling,
        )
        known = await self._sent_before(action, client_id)
        if known:
            action = action.model_copy(update={"id": known.action_id})
            if known.content != action.content:
                raise await self._refuse(task, action, Refusal(RefusalCode.REUSED, REUSED))
            if known.status == "refused":
                raise problem_of_refusal(action.id, _recorded(known, task))
        handle = self._client.get_workflow_handle(task.workflow_id or task.case_id)
        try:
            async with within(UPDATE_PATIENCE_S):
                receipt = await send(handle, "act", action, Receipt)
        except Refusal as no:
            await self._answered_now(known, no)
            raise await self._refuse(task, action, no) from no
        except NoAnswer:
            return await self._act_later(handle, task, action)
        except Gone as error:
            raise await self._not_there(task) from error
        if receipt.content != action.content:
            raise await self._refuse(task, action, Refusal(RefusalCode.REUSED, REUSED))
        await self._answered_now(known)
        return Acted(action_id=action.id, task=receipt.task)

    async def _sent_before(self, action: Action, client_id: str | None) -> ActionRow | None:
        """The action that this one repeats: by the client's id, or the same content that still waits for a worker."""
        async with self._db.read() as conn:
            if client_id:
                return await actions.get(conn, action.id)
            return await actions.waiting(conn, action.by.id, action.task_id, action.content)

    async def _answered_now(self, known: ActionRow | None, no: Refusal | None = None) -> None:
        """What had been stored for later was answered now."""
        if known and known.status == "pending":
            async with self._db.write() as conn:
                await actions.settle(conn, known.action_id, no.message if no else "", no.code.value if no else "")

    async def _act_later(self, handle: WorkflowHandle[Any, Any], task: TaskView, action: Action) -> Acted:
        """The second door of actions. Noted first: what may yet be done must be found when it is sent again."""
        try:
            Gate(task, GateRuling(needed=True, rule=task.rule)).check_action(action)
        except Refusal as no:
            if no.code in SURE:
                raise await self._refuse(task, action, no) from no
        async with self._db.write() as conn:
            await actions.pending(conn, ActionRecord.of(action), task.case_id)
        try:
            async with within(SIGNAL_PATIENCE_S):
                await handle.signal("submit_action", action)
        except NoAnswer as error:
            raise unavailable(MAY_COME, action_id=action.id) from error
        except Gone as error:
            problem = await self._not_there(task)
            async with self._db.write() as conn:
                await actions.settle(conn, action.id, str(problem), RefusalCode.ALREADY_CLOSED.value)
            raise problem from error
        return Acted(action_id=action.id)

    async def _not_there(self, task: TaskView) -> Problem:
        """Why no Workflow takes a message for a task."""
        async with self._db.read() as conn:
            case = await cases.get(conn, task.case_id)
        if case is not None and case.status.closed:
            return _ended(case)
        return unavailable("The case is about to start; try again in a moment.")

    async def _named(self, text: str, by: Person, task: TaskView) -> Actor:
        """Whoever is meant by an id, a name or an e-mail address; raises Problem 422."""
        async with self._db.read() as conn:
            id = await whom(conn, text, by, field="to", asking="To whom?", task=task)
            found = await people.get(conn, id)
        return Actor(id=found.id, groups=found.groups)

    async def _check_edits(self, task: TaskView, decision: Decision) -> None:
        """Refuse edits that name people or groups whom there are not, as the request itself would be. Raises Problem.

        What else is wrong with them is the Workflow's to say.
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
            raise await self._refuse(task, decision, Refusal(RefusalCode.INVALID_EDITS, message, errors=errors))

    async def _update(self, handle: WorkflowHandle[Any, Any], decision: Decision, patience: float) -> Receipt:
        """The first door. Tries again while the Workflow has not quite reached the task, or the server is not ready.

        A few at a time for one case: the server aborts Updates that crowd in on one Workflow, and they start over.
        """
        turns = self._turns.setdefault(decision.task_id, asyncio.Semaphore(UPDATES_AT_ONCE))
        async with within(patience), turns:
            return await send(handle, "decide", decision, Receipt)

    async def _signal(
        self, handle: WorkflowHandle[Any, Any], task: TaskView, decision: Decision, known: DecisionRow | None
    ) -> Decided:
        """The second door: stored by the server, applied or refused when a worker is back."""
        if known and known.status == "pending":  # written after the signal was stored, so it need not be sent again
            return Decided(decision_id=decision.id)
        if not known:
            await self._refuse_at_once(task, decision)
        try:
            # Also one that the record says was accepted: after a power cut Temporal may know less than the record does.
            async with within(SIGNAL_PATIENCE_S):
                await handle.signal("submit_decision", decision)
        except NoAnswer as error:
            self._in_background(self._see_through(handle, decision))
            raise unavailable(MAY_COME, decision_id=decision.id) from error
        except Gone:
            return await self._after_the_end(handle, decision)
        if known:
            return await self._as_recorded(known)
        noting = self._in_background(self._note_pending(task, decision))
        await asyncio.wait([noting], timeout=NOTE_PATIENCE_S)
        return Decided(decision_id=decision.id)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        running = asyncio.create_task(work)
        self._background.add(running)
        running.add_done_callback(self._background.discard)
        return running

    async def _see_through(self, handle: WorkflowHandle[Any, Any], decision: Decision) -> None:
        """Send a decision that the record has as accepted, for Temporal may have lost it: the case would stand still.

        The record is written before Temporal has stored the Update. Under heavy load it may never do so.
        """
        for pause in LOOKS_S:
            await asyncio.sleep(pause)
            with suppress(DatabaseUnavailable, NoAnswer):
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
                await tasks.pending(conn, decision, task.case_id)
        except DatabaseUnavailable:
            # It is stored where it counts; the record will show it once the case has judged it.
            _log.warning("decision %s is pending, but could not be noted as such", decision.id)

    async def _refuse_at_once(self, task: TaskView, decision: Decision) -> None:
        """Without a worker the stored task still tells who may never decide it, and whether it is closed."""
        try:
            Gate(task, GateRuling(needed=True, rule=task.rule)).check(decision)
        except Refusal as no:
            if no.code in SURE:
                raise await self._refuse(task, decision, no) from no

    async def _after_the_end(self, handle: WorkflowHandle[Any, Any], decision: Decision) -> Decided:
        """The Workflow takes no more messages: find out whether it took this one before it ended."""
        async with self._db.read() as conn:
            task = await tasks.get(conn, decision.task_id)
            known = await tasks.decision(conn, decision.id)
        if task is None:
            raise not_found("task")
        with suppress(NoAnswer, Gone):  # then it never came through the first door
            return await self._receive(task, decision, self._outcome(handle, decision))
        if known and known.status == "accepted":
            return await self._as_recorded(known)
        try:
            Gate(task, GateRuling(needed=True, rule=task.rule)).check(decision)
        except Refusal as no:
            raise await self._refuse(task, decision, no) from no
        message = "The case of this task has ended."
        raise await self._refuse(task, decision, Refusal(RefusalCode.ALREADY_CLOSED, message, outcome=task.outcome))

    async def _outcome(self, handle: WorkflowHandle[Any, Any], decision: Decision) -> Receipt:
        """What an Update that was sent before came to; Temporal still knows when the Workflow has ended."""
        async with within(QUERY_PATIENCE_S):
            receipt: Receipt = await handle.get_update_handle(decision.id, result_type=Receipt).result()
            return receipt

    async def _receive(self, task: TaskView, decision: Decision, update: Awaitable[Receipt]) -> Decided:
        """The answer of an Update; raises its refusal."""
        try:
            receipt = await update
        except Refusal as no:
            raise await self._refuse(task, decision, no) from no
        if receipt.content != decision.content:
            # The server answers a known Update id with its first result, without asking the Workflow.
            raise await self._refuse(task, decision, Refusal(RefusalCode.REUSED, REUSED))
        return Decided(decision_id=receipt.decision_id, task=receipt.task, case_status=receipt.case_status)

    async def _as_recorded(self, known: DecisionRow) -> Decided:
        """An accepted decision whose receipt Temporal no longer has: the task and the case as they are now."""
        async with self._db.read() as conn:
            task, case = await tasks.get(conn, known.task_id), await cases.get(conn, known.case_id)
        return Decided(decision_id=known.decision_id, task=task, case_status=case.status if case else None)

    async def _refuse(self, task: TaskView, sent: Decision | Action, refusal: Refusal) -> Problem:
        """Record or count the refusal in the audit log, as Temporal keeps no trace of it. Return its problem."""
        if isinstance(sent, Decision):
            kind, wanted, said = "decision_refused", sent.verdict.value, {"comment": sent.comment}
        else:
            kind, wanted, said = (
                "action_refused",
                sent.act.value,
                {"text": sent.text, "to": sent.to.id if sent.to else ""},
            )
        event = CaseEvent(
            event_id=f"refusal/{uuid.uuid4()}",
            case_id=task.case_id,
            at=sent.at,
            kind=kind,
            actor=sent.by.id,
            summary=f"{sent.by.id} was refused to {wanted.replace('_', ' ')}: {refusal.message}",
            data={
                "task_id": task.task_id,
                "gate": task.gate,
                "decision_id": sent.id,
                "verdict": wanted,
                **said,
                "groups": sent.by.groups,
                "revision": sent.revision,
                "code": refusal.code.value,
                "reason": refusal.message,
                "via": sent.via,
            },
        )
        async with self._db.write() as conn:
            await refusal_counts.record(conn, event, sent.by.id)
        return problem_of_refusal(sent.id, refusal)

    # ---------------------------------------------------------------------------------------------------------- cancel

    async def cancel(self, person: Person, case: CaseRow, reason: str, client_id: str | None) -> None:
        """Ask a case to stop and undo what it did. Raises Problem: 409 when it has ended, 503 without Temporal."""
        if case.status.closed:
            raise _ended(case)
        if case.rollback is not None and case.rollback.ended is not None:
            message = "The case was completed and is being rolled back. To call that off, reject its rollback."
            raise Problem(409, message, kind="already-closed", case_id=case.case_id, outcome=Status.COMPLETED)
        cancellation = Cancellation(
            # Only the first cancellation counts, so a repeat needs no id of its own to be the same.
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
                raise unavailable("The case is about to start; try again in a moment.") from error
            raise _ended(now) from error

    # --------------------------------------------------------------------------------------------------------- batches

    async def order(self, batch: Batch, order: BatchOrder, launcher: Launcher) -> None:
        """Have an import pause, go on or be cancelled. Raises Problem: 409 when there is nothing left to do so with.

        A batch whose import has ended can still be cancelled for the sake of its cases, once.
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
                    raise unavailable("The import has not begun or ends just now; try again in a moment.") from error
        if batch.status != "completed":
            raise Problem(409, f"The batch is {batch.status} already.", kind="already-closed", outcome=batch.status)
        if order.act is not BatchAct.CANCEL or not order.rollback_started:
            said = "All its rows are started. Cancel it with `rollback_started` to undo its cases."
            raise Problem(409, said, kind="already-closed", outcome=batch.status)
        if not await launcher.launch_batch(batch, order):
            raise unavailable(MAY_COME)

    # ------------------------------------------------------------------------------------------------- scheduled cases

    async def start_now(self, person: Person, case: CaseRow, client_id: str | None) -> Status | None:
        """Start a scheduled case before its time, once; None where no worker answers: it is started when one does.

        Raises Problem: 409 when it does not wait for its time, 503 when Temporal does not answer.
        """
        asked = StartNow(
            # A case begins once, so the same person's repeat is the same with or without an id of the client's.
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
            with suppress(NoAnswer, Gone, Refusal):  # then it never came before the end
                async with within(QUERY_PATIENCE_S):
                    status: Status = await handle.get_update_handle(asked.id, result_type=Status).result()
                    return status
            async with self._db.read() as conn:
                now = await cases.get(conn, case.case_id) or case
            if now.status.closed:
                raise _ended(now) from error
            raise unavailable("The case is about to be scheduled; try again in a moment.") from error

    async def _start_later(self, handle: WorkflowHandle[Any, Any], asked: StartNow) -> None:
        try:
            async with within(SIGNAL_PATIENCE_S):
                await handle.signal("submit_start", asked)
        except (NoAnswer, Gone) as error:
            raise unavailable(MAY_COME) from error

    # -------------------------------------------------------------------------------------------------------- rollback

    async def begun(self, workflow_id: str) -> str:
        """Why a rollback was called off; empty when it goes on, or when that is not known within 2 s."""
        try:
            async with within(ROLLBACK_PATIENCE_S):
                while True:
                    try:
                        handle = self._client.get_workflow_handle(workflow_id)
                        off: str = await handle.execute_update("begun", id="begun", result_type=str)
                        return off
                    except WorkflowUpdateFailedError:  # it has not begun, or has ended in the very moment
                        await asyncio.sleep(PAUSE_S)
        except (NoAnswer, Gone):
            return ""


def _recorded(known: DecisionRow | ActionRow, task: TaskView) -> Refusal:
    """Return the refusal that is recorded for a message."""
    return Refusal(RefusalCode.of(known.code), known.refusal, outcome=task.outcome)


def _ended(case: CaseRow) -> Problem:
    return Problem(
        409,
        f"The case has ended already: {case.status.replace('_', ' ')}.",
        kind="already-closed",
        case_id=case.case_id,
        outcome=case.status,
    )
