"""The engine of a case: steps with their undo, gates where people decide, rollback when it does not end well.

A process subclasses CaseWorkflow and tells its story in one method with `step()` and `gate()`. Everything else is here:
the handlers of people's messages, the clock, the saga, the record, what an engineer reads in the Temporal Web UI.

The story runs as a task of its own. A cancellation, by message or by Temporal, sets a flag which steps and gates look
at; it is never thrown into the middle of a rollback or of a record.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

from workflows.display import attributes, details
from workflows.gate import Gate, refusal
from workflows.journal import Journal
from workflows.models import (
    MAX_FACTS_BYTES,
    MAX_IDLE_MESSAGES,
    OPERATORS,
    Actor,
    Cancellation,
    CaseInput,
    CaseResult,
    CaseState,
    ChainHead,
    Decision,
    DecisionRecord,
    GateOpening,
    GateRuling,
    Outcome,
    Quorum,
    Receipt,
    Status,
    StepCall,
    TaskView,
    Verdict,
    task_id_for,
)
from workflows.saga import Saga, Undo
from workflows.words import Words

RequestT = TypeVar("RequestT", bound=BaseModel)
ResultT = TypeVar("ResultT")

INTERVENTION = "intervention"

STEP_TIMEOUT = timedelta(seconds=10)
STEP_RETRIES = RetryPolicy(
    initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=10), maximum_attempts=10
)
"""About a minute of attempts: longer than a restart of a database, shorter than a reviewer's patience."""


LATE = timedelta(seconds=30)
"""How long storing a task may take before its clock is moved: an expiry must not come before anybody saw the task."""


class CaseEnds(Exception):
    """Raised by steps and gates to end a case other than by completing it. Everything done is undone first."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class CaseWorkflow:
    """Base of every process."""

    words: ClassVar[Words]

    def __init__(self) -> None:
        # No argument and no @workflow.init: the SDK demands that it match the subclass's `run`.
        self._case: CaseInput[Any] | None = None
        self._status = Status.RUNNING
        self._step = ""
        self._saga = Saga()
        self._undone: list[str] = []
        self._gates: dict[str, Gate] = {}
        self._keys: dict[str, int] = {}
        self._deciders: list[str] = []
        self._forward = True
        """Until the case ends or rolls back; only then can it be cancelled."""
        self._cancellation: Cancellation | None = None
        self._decided = False
        """A gate was approved, and that is not in SQL yet."""
        self._idle_messages = 0
        self._receipts: dict[str, Receipt] = {}
        self._early: list[Decision] = []
        self._journal = Journal(workflow.info().workflow_id)

    # --------------------------------------------------------------------------------------------- words for a process

    async def step(
        self,
        activity: Callable[[Any, StepCall[RequestT]], Awaitable[ResultT]],
        request: RequestT,
        *,
        undo: Callable[[Any, StepCall[RequestT]], Awaitable[Any]] | None = None,
        time_limit: timedelta = STEP_TIMEOUT,
        heartbeat: timedelta | None = None,
        retries: RetryPolicy = STEP_RETRIES,
    ) -> ResultT:
        """Carry out one step, its undo registered first.

        A `Refused` step ends the case. One whose retries end for any other reason waits for operators: they retry it,
        skip it (the result is then None) or roll the case back.
        """
        name = activity.__name__
        call = self._call(name, request)
        planned = None
        if undo is not None:
            planned = Undo(
                step=name,
                activity=undo,
                name=undo.__name__,
                call=call.model_copy(update={"key": f"{call.key}/undo", "undoes": call.key}),
                summary=self.words.step(undo.__name__, request),
            )
            self._saga.register(planned)
        if self._decided:
            # A gate that follows the decided one writes it down along with itself; a step may take long.
            self._decided = False
            await self._journal.write(self._status)
        while True:
            self._stop_if_cancelled()
            self._show(self.words.step(name, request))
            running = workflow.start_activity_method(
                activity,
                call,
                summary=self._step,
                start_to_close_timeout=time_limit,
                heartbeat_timeout=heartbeat,
                retry_policy=retries,
                # An undo must never overlap the step it undoes.
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
            await workflow.wait_condition(lambda: running.done() or self._cancellation is not None)  # noqa: B023
            if not running.done():
                running.cancel()
            try:
                result = await running
            except ActivityError as error:
                self._stop_if_cancelled()
                if await self._mend(name, error, may_skip=True) is Outcome.SKIP:
                    return None  # type: ignore[return-value]  # an operator said so, with a reason
            else:
                data = result.model_dump(mode="json") if isinstance(result, BaseModel) else None
                plan = planned.view.model_dump() if planned else None
                did = {"step": name, "key": call.key, "result": data, "undo": plan}
                self._journal.note("step_done", f"{self._step}: done", did)
                self._stop_if_cancelled()
                return result

    async def gate(self, name: str, *, facts: BaseModel | None = None) -> None:
        """Stop until the right people have approved; go on at once where the policy needs nobody.

        A rejection or an expiry ends the case.
        """
        self._stop_if_cancelled()
        shown_facts = facts.model_dump(mode="json") if facts is not None else {}
        if facts is not None and (size := len(facts.model_dump_json().encode())) > MAX_FACTS_BYTES:
            raise CaseEnds(
                Status.FAILED,
                f"The facts for {name} are {size:,} bytes; at most {MAX_FACTS_BYTES:,} can be shown to a reviewer.",
            )
        opening = await self._open(name, shown_facts)
        if opening.task is None:
            self._decided = False
            return
        await self._wait_at(gate := self._opened(opening.task, opening.ruling), Status.AWAITING_APPROVAL)
        match gate.outcome:
            case Outcome.APPROVED | Outcome.APPROVED_BY_RULE:
                self._decided = True
            case Outcome.EXPIRED:
                raise CaseEnds(Status.EXPIRED, f"Nobody decided {name.replace('-', ' ')} in time.")
            case _:
                last = gate.task.decisions[-1]
                why = f": {last.comment}" if last.comment else "."
                raise CaseEnds(Status.REJECTED, f"Rejected by {last.by} at {name.replace('-', ' ')}{why}")

    def _opened(self, task: TaskView, ruling: GateRuling) -> Gate:
        """The gate of a task. Where an outage kept the task from people, its clock starts when they can see it."""
        late = workflow.now() - task.opened_at
        if late < LATE:
            return Gate(task, ruling)
        ruling = ruling.later(late)
        gate = Gate(task.model_copy(update={"due_at": ruling.due_at, "expires_at": ruling.expires_at}), ruling)
        self._journal.changed(gate)
        self._journal.note("clock_moved", f"The task was stored late; its clock is moved by {late}")
        return gate

    async def _open(self, name: str, facts: dict[str, Any]) -> GateOpening:
        """Ask the policy; where it gives no ruling operators retry or roll back, and nobody may skip the people."""
        case = self._started
        seen = {
            "reference": case.reference,
            "requester": case.requester,
            "priority": case.priority,
            "batch_id": case.batch_id or "",
        }
        while True:
            self._stop_if_cancelled()
            self._show(self.words.gate(name, case.input))
            task = self._task(name, self._step, facts=facts, excluded=self._deciders)
            try:
                return await self._journal.open_gate(
                    task, case=seen, policy_hash=case.policy_hash, input=case.input.model_dump(mode="json")
                )
            except FailureError as error:
                await self._mend(name, error, may_skip=False)

    # ------------------------------------------------------------------------------------------------------- the story

    async def conduct(
        self, case: CaseInput[RequestT], procedure: Callable[[RequestT], Awaitable[BaseModel | None]]
    ) -> CaseResult:
        """Run the procedure of a case to one of its ends and say which. Never fails but for a defect."""
        self._case = case
        if self._cancellation is not None:  # it came before this method began
            early, self._cancellation = self._cancellation, None
            self._cancel(early)
        story = asyncio.create_task(self._tell(case, procedure))
        while not story.done():
            try:
                await workflow.wait_condition(story.done)
            except asyncio.CancelledError:
                # Temporal cancels the main task only; the story goes on and unwinds what it did.
                self._cancel(
                    Cancellation(
                        id=f"{case.case_id}/temporal",
                        by=Actor(id="temporal"),
                        reason=workflow.cancellation_reason() or "cancelled in Temporal",
                        via="temporal",
                        at=workflow.now(),
                    )
                )
        return story.result()

    async def _tell(
        self, case: CaseInput[RequestT], procedure: Callable[[RequestT], Awaitable[BaseModel | None]]
    ) -> CaseResult:
        output = None
        try:
            await self._wait_for_start(case)
            output = await procedure(case.input)
            self._stop_if_cancelled()
            status, reason = Status.COMPLETED, "Everything was done."
        except (CaseEnds, FailureError) as error:
            end = error if isinstance(error, CaseEnds) else CaseEnds(Status.FAILED, str(error))
            if ended := await self._roll_back(end.reason):
                return await self._close(ended)
            status, reason = end.status, end.reason
        return await self._close(
            CaseResult(
                case_id=case.case_id,
                status=status,
                reason=reason,
                output=output.model_dump(mode="json") if output is not None else None,
                undone=self._undone,
            )
        )

    async def _wait_for_start(self, case: CaseInput[Any]) -> None:
        """A start in the future is a timer here, never Temporal's start delay, which cannot be ended early."""
        if case.start_at is None or case.start_at <= workflow.now():
            return
        self._status = Status.SCHEDULED
        self._show(f"Starts at {case.start_at:%Y-%m-%d %H:%M} UTC")
        try:
            await workflow.wait_condition(
                lambda: self._cancellation is not None,
                timeout=case.start_at - workflow.now(),
                timeout_summary="the scheduled start",
            )
        except TimeoutError:
            self._set_status(Status.RUNNING)
            self._journal.note("case_started", "The scheduled time has come")
            await self._journal.write(self._status)
        self._stop_if_cancelled()

    async def _roll_back(self, reason: str) -> CaseResult | None:
        """Undo everything that was done, newest first. An undo that fails waits for operators; none is left out.

        If the record holds the end of the case already, that end is answered and nothing is undone: a cancellation came
        between the record and Temporal's history, and people have been told the end.
        """
        self._forward = False
        self._set_status(Status.ROLLING_BACK)
        self._journal.note(
            "rollback_started", f"Rolling back. {reason}", {"plan": [u.summary for u in self._saga.plan()]}
        )
        if ended := (await self._journal.write(self._status)).ended:
            return ended
        while undo := self._saga.newest():
            await self._undo(undo)
            self._saga.settle(undo)
            await self._journal.write(self._status)
        return None

    async def _undo(self, undo: Undo) -> None:
        while True:
            self._show(undo.summary)
            try:
                anything = await workflow.execute_activity_method(
                    undo.activity,
                    undo.call,
                    summary=undo.summary,
                    start_to_close_timeout=STEP_TIMEOUT,
                    retry_policy=STEP_RETRIES,
                )
            except ActivityError as error:
                if await self._mend(undo.name, error, may_skip=True) is Outcome.SKIP:
                    return
            else:
                if anything is False:  # an undo that answers nothing always did something
                    said = "there was nothing to undo"
                else:
                    said = "done"
                    self._undone.append(undo.summary)
                self._journal.note("undo_done", f"{undo.summary}: {said}", {"undo": undo.name, "key": undo.call.key})
                return

    async def _mend(self, name: str, error: FailureError, *, may_skip: bool) -> Outcome | None:
        """A step, an undo or the opening of a gate has failed for good.

        A refusal ends the case; anything else is for operators to decide.

        Answers what they chose, retry or skip; rolling back ends the case here.
        """
        doing, cause = self._step, error.cause if isinstance(error, ActivityError) else error
        message = cause.message if isinstance(cause, ApplicationError) else str(cause or error)
        if self._forward and isinstance(cause, ApplicationError) and cause.type == "Refused":
            self._journal.note("step_refused", f"{doing}: refused. {message}", {"step": name})
            raise CaseEnds(Status.FAILED, message)
        failure = f"{doing}: failed. {message}"
        self._journal.note("step_failed" if self._forward else "undo_failed", failure, {"step": name, "error": message})
        before = self._status
        gate = self._intervention(name, failure, message, may_skip)
        answers = ", ".join(verdict.replace("_", " ") for verdict in gate.task.verdicts)
        self._journal.note("intervention_opened", f"Waits for {OPERATORS}: {answers}", {"task_id": gate.task.task_id})
        await self._journal.write(Status.NEEDS_INTERVENTION, opened=gate.task)
        await self._wait_at(gate, Status.NEEDS_INTERVENTION)
        if gate.outcome is Outcome.ROLL_BACK:
            raise CaseEnds(Status.FAILED, failure)
        self._set_status(before)
        await self._journal.write(self._status)
        return gate.outcome

    def _intervention(self, name: str, failure: str, message: str, may_skip: bool) -> Gate:
        """The task by which operators choose. A rollback under way cannot be rolled back again."""
        rule = "its retries have ended"
        task = self._task(INTERVENTION, failure, facts={"step": name, "error": message})
        task = task.model_copy(
            update={
                "kind": "intervention",
                "candidate_groups": [OPERATORS],
                "verdicts": [
                    Verdict.RETRY,
                    *([Verdict.SKIP] if may_skip else []),
                    *([Verdict.ROLL_BACK] if self._forward else []),
                ],
                "rule": rule,
            }
        )
        return Gate(task, GateRuling(needed=True, rule=rule, groups=[OPERATORS], separation_of_duties=False))

    async def _close(self, result: CaseResult) -> CaseResult:
        """Write the end, drain the handlers, and answer. What comes in while draining is refused and recorded too."""
        self._forward = False
        status = result.status
        self._set_status(status)
        undone = f"; {len(result.undone)} of its steps undone" if result.undone else ""
        data = {"status": status.value, "reason": result.reason}
        self._journal.note("case_closed", f"Ended {status.value}{undone}", data)
        self._show(result.reason)
        for decision in self._early:
            self.submit_decision(decision)
        head = await self._journal.write(self._status, result=result)
        await workflow.wait_condition(workflow.all_handlers_finished)
        while self._journal.unwritten:
            head = await self._journal.write(self._status)
            await workflow.wait_condition(workflow.all_handlers_finished)
        return result.model_copy(update={"audit": ChainHead(count=head.count, hash=head.hash)})

    # ------------------------------------------------------------------------------------------------- waiting at gates

    async def _wait_at(self, gate: Gate, status: Status) -> None:
        """Until the gate has an outcome; a cancellation of a case that is still going forward closes it."""
        self._gates[gate.task.task_id] = gate
        self._status = status
        self._upsert(gate)
        self._show(gate.task.summary)
        for decision in [early for early in self._early if early.task_id == gate.task.task_id]:
            self._early.remove(decision)
            self.submit_decision(decision)
        while gate.open:
            if self._forward and self._cancellation is not None:
                gate.close(Outcome.CANCELLED, workflow.now())
                break
            if self._journal.unwritten:
                await self._journal.write(self._status)
                continue
            await self._until_message_or_alarm(gate)
            for rang in gate.ring(workflow.now()):
                self._journal.note(rang.kind, rang.summary, {"task_id": gate.task.task_id, **rang.data})
                self._journal.changed(gate)
            self._show(gate.task.summary)
        self._journal.changed(gate)
        assert gate.outcome is not None
        self._journal.note(
            "gate_closed",
            f"{gate.task.gate.replace('-', ' ').capitalize()}: {gate.outcome.value.replace('_', ' ')}",
            {"task_id": gate.task.task_id, "gate": gate.task.gate, "outcome": gate.outcome.value},
        )
        if gate.task.kind == "gate":
            self._deciders += [view.by for view in gate.task.decisions]
        if gate.outcome in (Outcome.APPROVED, Outcome.APPROVED_BY_RULE):
            self._set_status(Status.RUNNING)
        if gate.outcome not in (Outcome.REJECTED, Outcome.EXPIRED, Outcome.ROLL_BACK):
            self._stop_if_cancelled()  # after a no, the no stands: whoever said it was told so

    async def _until_message_or_alarm(self, gate: Gate) -> None:
        alarm = gate.next_alarm()
        wait = alarm.at - workflow.now() if alarm else None
        if wait is not None and wait <= timedelta(0):
            return
        try:
            await workflow.wait_condition(
                lambda: not gate.open or self._journal.unwritten or (self._forward and self._cancellation is not None),
                timeout=wait,
                timeout_summary=alarm.words if alarm else None,
            )
        except TimeoutError:
            return

    # -------------------------------------------------------------------------------------------------------- messages

    @workflow.update(description="Decide a task: approve, reject; for intervention tasks retry, skip, roll_back")
    def decide(self, decision: Decision) -> Receipt:
        """The first door: refused or accepted while the caller waits. The same decision id gets the same receipt."""
        return self._accept(decision)

    @decide.validator
    def _may_decide(self, decision: Decision) -> None:
        self._check(decision)

    @workflow.signal(description="The second door, used when no worker answered: applied or refused later")
    def submit_decision(self, decision: Decision) -> None:
        """Never raises: a signal handler that raises fails the whole case. A refusal is recorded instead."""
        if decision.id in self._receipts and self._receipts[decision.id].content == decision.content:
            return
        if decision.task_id not in self._gates and not self._status.closed:
            if self._may_idle():
                self._early.append(decision)
            return
        try:
            self._check(decision)
        except ApplicationError as no:
            if not self._may_idle():
                return
            self._journal.judge(DecisionRecord(decision=decision, refusal=no.message, code=no.type or ""))
            self._journal.note(
                "decision_refused",
                f"{decision.by.id} was refused to {decision.verdict}: {no.message}",
                {"task_id": decision.task_id, "decision_id": decision.id, "code": no.type, "via": decision.via},
                actor=decision.by.id,
            )
        else:
            self._accept(decision)

    @workflow.signal(description="Stop the case, undo what it did and end cancelled")
    def cancel_case(self, cancellation: Cancellation) -> None:
        """Never raises. Comes to nothing when the case is rolling back or has ended, which is recorded."""
        self._cancel(cancellation)

    @workflow.query(description="Status, tasks, rollback plan and timeline")
    def status(self) -> CaseState:
        case = self._started
        return CaseState(
            case_id=case.case_id,
            status=self._status,
            title=self.words.title_of(case.input),
            step=self._step or None,
            tasks=[gate.task for gate in self._gates.values()],
            rollback_plan=self._saga.plan(),
            timeline=self._journal.timeline,
        )

    def _check(self, decision: Decision) -> None:
        """Raise the refusal of a decision; changes nothing, so that it can be the update's validator."""
        if receipt := self._receipts.get(decision.id):
            if receipt.content != decision.content:
                raise refusal("Reused", "This decision id was used already, with another answer.")
            return
        gate = self._gates.get(decision.task_id)
        if gate is None and self._status.closed:
            raise refusal("AlreadyClosed", f"The case has ended: {self._status.value}.", outcome=self._status.value)
        if gate is None:
            raise refusal("NotReady", "The case has not reached this task yet; try again in a moment.")
        gate.check(decision)

    def _accept(self, decision: Decision) -> Receipt:
        if receipt := self._receipts.get(decision.id):
            return receipt
        gate = self._gates[decision.task_id]
        rule, seen = gate.check(decision), gate.task
        gate.decide(decision, workflow.now())
        self._journal.judge(DecisionRecord(decision=decision))
        self._journal.note(
            "decided",
            f"{decision.by.id}: {decision.verdict.replace('_', ' ')}"
            + (f" ({decision.comment})" * bool(decision.comment)),
            {
                "task_id": seen.task_id,
                "gate": seen.gate,
                "decision_id": decision.id,
                "verdict": decision.verdict.value,
                "comment": decision.comment,
                "rule": rule,
                "groups": decision.by.groups,
                "revision": seen.revision,
                "shown": seen.digest,
                "via": decision.via,
            },
            actor=decision.by.id,
        )
        self._journal.changed(gate)
        match gate.outcome:
            case Outcome.APPROVED:
                self._status = Status.RUNNING
            case Outcome.REJECTED | Outcome.ROLL_BACK:
                self._status = Status.ROLLING_BACK
            case Outcome.RETRY | Outcome.SKIP:
                self._status = Status.RUNNING if self._forward else Status.ROLLING_BACK
            case _:
                pass
        receipt = Receipt(decision_id=decision.id, content=decision.content, task=gate.task, case_status=self._status)
        self._receipts[decision.id] = receipt
        return receipt

    def _cancel(self, cancellation: Cancellation) -> None:
        if self._cancellation is not None and self._cancellation.id == cancellation.id:
            return
        if self._case is None:
            self._cancellation = self._cancellation or cancellation
            return
        data = {"reason": cancellation.reason, "via": cancellation.via}
        if not self._forward or self._cancellation is not None:
            if self._may_idle():
                self._journal.note(
                    "cancel_too_late", "A request to cancel came too late", data, actor=cancellation.by.id
                )
            return
        self._cancellation = cancellation
        self._journal.note("cancel_requested", f"Cancelled: {cancellation.reason}", data, actor=cancellation.by.id)

    def _may_idle(self) -> bool:
        """Whether one more message that comes to nothing is remembered. Accepted decisions are few by the rules."""
        self._idle_messages += 1
        return self._idle_messages <= MAX_IDLE_MESSAGES

    def _stop_if_cancelled(self) -> None:
        """End a case that was cancelled. Looked at after every step: a cancelled activity may still have succeeded."""
        if self._forward and self._cancellation is not None:
            by = self._cancellation.by.id
            raise CaseEnds(Status.CANCELLED, f"Cancelled by {by}: {self._cancellation.reason}")

    # ------------------------------------------------------------------------------------------------------ small parts

    @property
    def _started(self) -> CaseInput[Any]:
        if self._case is None:
            raise refusal("NotReady", "The case has not begun yet; try again in a moment.")
        return self._case

    def _call(self, name: str, request: RequestT) -> StepCall[RequestT]:
        """The step's input with its idempotency key, `<case_id>/<step>` and `#n` from the second time on."""
        case = self._started
        count = self._keys[name] = self._keys.get(name, 0) + 1
        return StepCall[RequestT](
            case_id=case.case_id,
            reference=case.reference,
            requester=case.requester,
            policy_hash=case.policy_hash,
            key=f"{case.case_id}/{name}" + (f"#{count}" if count > 1 else ""),
            input=request,
        )

    def _task(self, gate: str, summary: str, *, facts: dict[str, Any], excluded: list[str] | None = None) -> TaskView:
        """A task before the policy has said who decides it and by when."""
        case = self._started
        return TaskView(
            task_id=task_id_for(case.case_id, gate, len(self._gates) + 1),
            case_id=case.case_id,
            process=case.process,
            gate=gate,
            title=self.words.title_of(case.input),
            summary=summary,
            key_fields=self.words.key_fields_of(case.input),
            requester=case.requester,
            excluded_users=list(dict.fromkeys(excluded or [])),
            quorum=Quorum(needed=1),
            opened_at=workflow.now(),
            priority=case.priority,
            input=self.words.shown_input(case.input.model_dump(mode="json")),
            facts=facts,
        )

    def _set_status(self, status: Status) -> None:
        self._status = status
        self._upsert(None)

    def _upsert(self, gate: Gate | None) -> None:
        """Keep the search attributes true: what the case waits for, and until when."""
        workflow.upsert_search_attributes(attributes(self._status, gate.task if gate else None))

    def _show(self, doing: str) -> None:
        """Say in the Temporal Web UI, in words, where the case stands."""
        self._step = doing
        tasks = [gate.task for gate in self._gates.values()]
        workflow.set_current_details(details(self._status, doing, tasks, self._saga.plan()))
