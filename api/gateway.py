"""The doors to running cases: decide, cancel, look. The only module in api/ that holds Workflow handles.

A decision goes through the Update first, so that the caller learns what became of it. If no worker answers in time it
goes through the Signal with the same id, which Temporal keeps until a worker is back; the case counts it once.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote
from weakref import WeakValueDictionary

from pydantic import BaseModel, ValidationError
from temporalio.client import (
    Client,
    RPCTimeoutOrCancelledError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from api.problems import FieldError, Problem, forbidden, invalid, not_found, temporal_unreachable, unavailable
from api.security import actor
from api.whom import whom
from intake.launch import Launcher
from intake.names_check import NamesCheck
from intake.settlement import Settlement
from intake.start import PolicySource
from store import audit, cases, people, tasks
from store.batches import Batch
from store.cases import CaseRow
from store.database import Database, DatabaseUnavailable
from store.people import Person
from store.tasks import DecisionRow
from workflows.gate import Gate
from workflows.models import (
    Absent,
    Act,
    Action,
    Actor,
    BatchAct,
    BatchOrder,
    Cancellation,
    CaseEvent,
    CaseState,
    Decision,
    GateRuling,
    Receipt,
    StartNow,
    Status,
    TaskView,
    Verdict,
    decision_id_for,
)
from workflows.moments import Moment
from workflows.naming import names_any
from workflows.people import candidacy, same
from workflows.registry import PROCESSES

UPDATE_PATIENCE_S = 3.0
"""How long the first door is tried."""
SIGNAL_PATIENCE_S = 0.5
"""How long the second is: a caller has an answer within 4 s, whatever is down."""
NOTE_PATIENCE_S = 0.3
"""How long an answer waits until it is noted that the decision is pending; the note is written all the same."""
QUERY_PATIENCE_S = 1.0
ROLLBACK_PATIENCE_S = 2.0
"""How long a caller waits to hear whether the receiver lets a completed case be undone; it goes on without them."""
SETTLE_PATIENCE_S = 10.0
"""How long an operator waits until a case that stands still has been ended in Temporal and handed over."""
PAUSE_S = 0.1
"""Between two tries within that time: the id makes a second one harmless."""
UPDATES_AT_ONCE = 4
"""On one task. The server takes ten and aborts many of them; measured, fifty at once then took longer than in turn."""
REUSED = "This decision id was used already, with another answer."

_log = logging.getLogger("holdgate.api")

AnswerT = TypeVar("AnswerT")


class NoAnswer(Exception):
    """Neither yes nor no within the time: no worker, or no Temporal server. What was sent may still be applied."""


class Gone(Exception):
    """Temporal knows no Workflow of this case that takes messages: it has ended, or has not begun."""


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


class Gateway:
    """Sends people's messages to cases and looks at their state."""

    def __init__(self, client: Client, db: Database, ui_url: str, settlement: Settlement, policy: PolicySource) -> None:
        self._client = client
        self._db = db
        self._settlement = settlement
        self._policy = policy
        self._ui_url = ui_url
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._noting: set[asyncio.Task[None]] = set()

    def temporal_url(self, case_id: str) -> str:
        """Where an engineer sees the case in the Temporal Web UI."""
        return f"{self._ui_url}/namespaces/{self._client.namespace}/workflows/{quote(case_id, safe='')}"

    async def reachable(self) -> bool:
        """Whether the Temporal server answers within a second."""
        try:
            async with _within(QUERY_PATIENCE_S):
                return await self._client.service_client.check_health()
        except (NoAnswer, Gone):
            return False

    async def state(self, workflow_id: str) -> CaseState | None:
        """The case as the Workflow that has it knows it; None when it did not answer within a second."""
        try:
            async with _within(QUERY_PATIENCE_S):
                handle = self._client.get_workflow_handle(workflow_id)
                state: CaseState = await handle.query("status", result_type=CaseState)
                return state
        except (NoAnswer, Gone, WorkflowQueryFailedError):
            return None

    # ------------------------------------------------------------------------------------------------------- decisions

    async def decide(
        self,
        person: Person,
        task: TaskView,
        answer: Answer,
        client_id: str | None,
        patience: float = UPDATE_PATIENCE_S,
    ) -> Decided:
        """Bring a person's decision to the case. `task` is as stored, and one that the person may see.

        `client_id` makes a repeat return the first answer; `patience` is in seconds. Raises Problem: 403, 409 or 422 as
        the Workflow refuses, 503 when Temporal does not answer. Every refusal is recorded in the case's chain.
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
            raise await self._refuse(task, decision, "Reused", REUSED)
        if known and known.status == "refused":
            raise _problem(decision.id, known.code, known.refusal, {"outcome": task.outcome})
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

    async def _settle(self, task: TaskView, decision: Decision) -> Decided:
        """Carry out what an operator says of a case that stands still: there is no Workflow that could hear it."""
        async with self._db.read() as conn:
            known, now = await tasks.decision(conn, decision.id), await tasks.get(conn, task.task_id) or task
        if known and known.status == "accepted":
            return await self._as_recorded(known)
        try:
            Gate(now, GateRuling(needed=True, rule=now.rule)).check(decision)
        except ApplicationError as no:
            raise await self._refused(now, decision, no) from no
        try:
            async with _within(SETTLE_PATIENCE_S):
                status = await self._settlement.settle(now, decision)
        except (NoAnswer, Gone, WorkflowQueryFailedError) as error:
            raise temporal_unreachable(decision_id=decision.id) from error
        async with self._db.read() as conn:
            closed = await tasks.get(conn, task.task_id) or now
        if status is None:
            raise await self._refuse(closed, decision, "AlreadyClosed", "This case was dealt with a moment ago.")
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

    async def act(self, person: Person, task: TaskView, wish: Wish, client_id: str | None = None) -> TaskView:
        """Do something with a task and answer it as it is then.

        Raises Problem: 403, 409 or 422 as the Workflow refuses, 422 for somebody who is unknown, 503 when nobody
        answers: it may be sent again, and with a `client_id` it is done once.
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
        try:
            async with _within(UPDATE_PATIENCE_S):
                handle = self._client.get_workflow_handle(task.workflow_id or task.case_id)
                receipt = await self._send(handle, "act", action, Receipt)
        except WorkflowUpdateFailedError as failed:
            raise await self._refused(task, action, failed.cause) from failed
        except NoAnswer as error:
            raise unavailable("No worker answers now; try again in a moment.") from error
        except Gone as error:
            async with self._db.read() as conn:
                case = await cases.get(conn, task.case_id)
            if case is not None and case.status.closed:
                raise _ended(case) from error
            raise unavailable("The case is about to start; try again in a moment.") from error
        if receipt.content != action.content:
            raise await self._refuse(task, action, "Reused", REUSED)
        return receipt.task

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
            raise await self._refuse(task, decision, "InvalidEdits", message, {"errors": errors})

    async def _send(
        self,
        handle: WorkflowHandle[Any, Any],
        update: str,
        message: Decision | Action | StartNow,
        answer: type[AnswerT],
    ) -> AnswerT:
        """An Update; again while the Workflow has not quite reached the task, or the server is not ready."""
        while True:
            try:
                given: AnswerT = await handle.execute_update(update, message, id=message.id, result_type=answer)
                return given
            except WorkflowUpdateFailedError as failed:
                if not (isinstance(failed.cause, ApplicationError) and failed.cause.type == "NotReady"):
                    raise
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    raise
            await asyncio.sleep(PAUSE_S)

    async def _update(self, handle: WorkflowHandle[Any, Any], decision: Decision, patience: float) -> Receipt:
        """The first door. Tries again while the Workflow has not quite reached the task, or the server is not ready.

        A few at a time for one case: the server aborts Updates that crowd in on one Workflow, and they start over.
        """
        turns = self._turns.setdefault(decision.task_id, asyncio.Semaphore(UPDATES_AT_ONCE))
        async with _within(patience), turns:
            return await self._send(handle, "decide", decision, Receipt)

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
            async with _within(SIGNAL_PATIENCE_S):
                await handle.signal("submit_decision", decision)
        except NoAnswer as error:
            raise temporal_unreachable(decision_id=decision.id) from error
        except Gone:
            return await self._after_the_end(handle, decision)
        if known:
            return await self._as_recorded(known)
        noting = asyncio.create_task(self._note_pending(task, decision))
        self._noting.add(noting)
        noting.add_done_callback(self._noting.discard)
        await asyncio.wait([noting], timeout=NOTE_PATIENCE_S)
        return Decided(decision_id=decision.id)

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
        except ApplicationError as no:
            if no.type in ("NotAllowed", "AlreadyClosed"):
                raise await self._refused(task, decision, no) from no

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
        except ApplicationError as no:
            raise await self._refused(task, decision, no) from no
        raise await self._refuse(task, decision, "AlreadyClosed", "The case of this task has ended.")

    async def _outcome(self, handle: WorkflowHandle[Any, Any], decision: Decision) -> Receipt:
        """What an Update that was sent before came to; Temporal still knows when the Workflow has ended."""
        async with _within(QUERY_PATIENCE_S):
            receipt: Receipt = await handle.get_update_handle(decision.id, result_type=Receipt).result()
            return receipt

    async def _receive(self, task: TaskView, decision: Decision, update: Awaitable[Receipt]) -> Decided:
        """The answer of an Update; raises its refusal."""
        try:
            receipt = await update
        except WorkflowUpdateFailedError as failed:
            raise await self._refused(task, decision, failed.cause) from failed
        if receipt.content != decision.content:
            # The server answers a known Update id with its first result, without asking the Workflow.
            raise await self._refuse(task, decision, "Reused", REUSED)
        return Decided(decision_id=receipt.decision_id, task=receipt.task, case_status=receipt.case_status)

    async def _as_recorded(self, known: DecisionRow) -> Decided:
        """An accepted decision whose receipt Temporal no longer has: the task and the case as they are now."""
        async with self._db.read() as conn:
            task, case = await tasks.get(conn, known.task_id), await cases.get(conn, known.case_id)
        return Decided(decision_id=known.decision_id, task=task, case_status=case.status if case else None)

    async def _refused(self, task: TaskView, message: Decision | Action, cause: BaseException | None) -> Problem:
        if not isinstance(cause, ApplicationError):
            raise RuntimeError(f"the Workflow of {task.case_id} failed a message in a way nobody foresaw") from cause
        details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
        return await self._refuse(task, message, cause.type or "", cause.message, details)

    async def _refuse(
        self,
        task: TaskView,
        sent: Decision | Action,
        code: str,
        message: str,
        details: dict[str, Any] | None = None,
    ) -> Problem:
        """Write the refusal into the case's chain, for Temporal keeps no trace of it, and say it as a problem."""
        details = details or {"outcome": task.outcome}
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
            summary=f"{sent.by.id} was refused to {wanted.replace('_', ' ')}: {message}",
            data={
                "task_id": task.task_id,
                "gate": task.gate,
                "decision_id": sent.id,
                "verdict": wanted,
                **said,
                "groups": sent.by.groups,
                "revision": sent.revision,
                "code": code,
                "via": sent.via,
            },
        )
        async with self._db.write() as conn:
            await audit.append(conn, [event])
        return _problem(sent.id, code, message, details)

    # ---------------------------------------------------------------------------------------------------------- cancel

    async def cancel(self, person: Person, case: CaseRow, reason: str, client_id: str | None) -> None:
        """Ask a case to stop and undo what it did. Raises Problem: 409 when it has ended, 503 without Temporal."""
        if case.status.closed:
            raise _ended(case)
        if case.rollback is not None and case.rollback.ended is not None:
            message = "The case was completed and is being rolled back. To call that off, reject its rollback."
            raise Problem(409, message, kind="already-closed", case_id=case.case_id, outcome=Status.COMPLETED)
        cancellation = Cancellation(
            id=f"{case.case_id}/cancel/{client_id or uuid.uuid4().hex}",
            by=actor(person),
            reason=reason,
            at=datetime.now(UTC),
        )
        try:
            async with _within(UPDATE_PATIENCE_S):
                await self._client.get_workflow_handle(case.conductor).signal("cancel_case", cancellation)
        except NoAnswer as error:
            raise temporal_unreachable() from error
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
                async with _within(UPDATE_PATIENCE_S):
                    await self._client.get_workflow_handle(f"batch:{batch.batch_id}").signal("order", order)
                return
            except NoAnswer as error:
                raise temporal_unreachable() from error
            except Gone as error:
                if batch.status in ("starting", "running"):  # about to start, or about to be recorded as completed
                    raise unavailable("The import has not begun or ends just now; try again in a moment.") from error
        if batch.status != "completed":
            raise Problem(409, f"The batch is {batch.status} already.", kind="already-closed", outcome=batch.status)
        if order.act is not BatchAct.CANCEL or not order.rollback_started:
            said = "All its rows are started. Cancel it with `rollback_started` to undo its cases."
            raise Problem(409, said, kind="already-closed", outcome=batch.status)
        if not await launcher.launch_batch(batch, order):
            raise temporal_unreachable()

    # ------------------------------------------------------------------------------------------------- scheduled cases

    async def start_now(self, person: Person, case: CaseRow, client_id: str | None) -> Status:
        """Start a scheduled case before its time. Raises Problem: 409 when it does not wait for it, 503 when nobody
        answers: it may be sent again, and with a `client_id` the repeat gets the first answer."""
        asked = StartNow(
            id=decision_id_for(person.id, f"{case.case_id}/start", client_id or uuid.uuid4().hex),
            by=actor(person),
            at=datetime.now(UTC),
        )
        handle = self._client.get_workflow_handle(case.case_id)
        try:
            async with _within(UPDATE_PATIENCE_S):
                status: Status = await self._send(handle, "start_now", asked, Status)
                return status
        except WorkflowUpdateFailedError as failed:
            no = failed.cause
            if isinstance(no, ApplicationError) and no.type == "NotScheduled":
                raise Problem(409, no.message, kind="not-scheduled", case_id=case.case_id) from failed
            raise
        except NoAnswer as error:
            raise unavailable("No worker answers now; try again in a moment.") from error
        except Gone as error:
            with suppress(NoAnswer, Gone):  # then it never came before the end
                async with _within(QUERY_PATIENCE_S):
                    status = await handle.get_update_handle(asked.id, result_type=Status).result()
                    return status
            async with self._db.read() as conn:
                now = await cases.get(conn, case.case_id) or case
            if now.status.closed:
                raise _ended(now) from error
            raise unavailable("The case is about to be scheduled; try again in a moment.") from error

    # -------------------------------------------------------------------------------------------------------- rollback

    async def begun(self, workflow_id: str) -> str:
        """Why a rollback was called off; empty when it goes on, or when that is not known within 2 s."""
        try:
            async with _within(ROLLBACK_PATIENCE_S):
                while True:
                    try:
                        handle = self._client.get_workflow_handle(workflow_id)
                        off: str = await handle.execute_update("begun", id="begun", result_type=str)
                        return off
                    except WorkflowUpdateFailedError:  # it has not begun, or has ended in the very moment
                        await asyncio.sleep(PAUSE_S)
        except (NoAnswer, Gone):
            return ""


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    """A deadline for one conversation with Temporal. Raises NoAnswer and Gone; refusals of the Workflow pass through.

    The SDK's own `rpc_timeout` is not used: measured, 3 s of it took 6 s.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except (TimeoutError, RPCTimeoutOrCancelledError) as error:
        raise NoAnswer from error
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise Gone from error
        _log.warning("Temporal: %s", error.message)
        raise NoAnswer from error
    except RuntimeError as error:
        # What the SDK raises when a client that has never been connected cannot connect.
        if "connect" in str(error):
            raise NoAnswer from error
        raise


def _problem(decision_id: str, code: str, message: str, details: dict[str, Any]) -> Problem:
    """A refusal of the Workflow in HTTP's terms. An unknown code is a defect, never an acceptance."""
    match code:
        case "NotAllowed":
            return forbidden(message, details.get("rule", message))
        case "AlreadyClosed":
            kind, members = "already-closed", {"outcome": details.get("outcome")}
        case "Stale":
            kind, members = "stale", {"changed": details.get("changed", []), "revision": details.get("revision")}
        case "Reused":
            kind, members = "reused-id", {"changed": ["verdict, comment, edits or revision"]}
        case "AlreadyClaimed":
            kind, members = "already-claimed", {"assignee": details.get("assignee")}
        case "AlreadyAnswered" | "Nothing":
            kind, members = "nothing-to-do", {}
        case "TooMany":
            kind, members = "too-many-messages", {}
        case "WrongVerdict":
            return invalid(message, [FieldError(field="verdict", message=message)], **details)
        case "InvalidEdits":
            errors = details.get("errors") or [{"field": name, "message": message} for name in details["fields"]]
            named = [
                FieldError(field=f"edits.{each['field'] or ''}".rstrip("."), message=each["message"]) for each in errors
            ]
            return invalid(message, named or [FieldError(field="edits", message=message)])
        case "Missing":
            return invalid(message, [FieldError(field=details.get("field", "text"), message=message)])
        case "CommentNeeded":
            return invalid(message, [FieldError(field="comment", message=message)])
        case "Unreadable" | "Unforeseen":  # larger than a case takes, or of another release than the worker's
            return invalid(message, [])
        case "UnknownTask" | "NotReady":
            return not_found("task")
        case _:
            raise ValueError(f"a refusal of unknown kind '{code}': {message}")
    return Problem(409, message, kind=kind, decision_id=decision_id, **members)


def _ended(case: CaseRow) -> Problem:
    return Problem(
        409,
        f"The case has ended already: {case.status.replace('_', ' ')}.",
        kind="already-closed",
        case_id=case.case_id,
        outcome=case.status,
    )
