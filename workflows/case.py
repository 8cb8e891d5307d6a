"""The engine of a case: steps with their undo, gates where people decide, rollback when it does not end well.

A process subclasses CaseWorkflow and tells its story in one method with `step()` and `gate()`. Everything else is here:
the handlers of people's messages, the clock, the saga, the record, what an engineer reads in the Temporal Web UI.

The story runs as a task of its own. A cancellation, by message or by Temporal, sets a flag which steps and gates look
at; it is never thrown into the middle of a rollback or of a record.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, ClassVar, TypeVar, overload

from pydantic import BaseModel, ValidationError
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

from workflows.display import attributes, details
from workflows.gate import Gate, Happened
from workflows.journal import ENGINE, Journal
from workflows.models import (
    MAX_FACTS_BYTES,
    MAX_IDLE_MESSAGES,
    MAX_MESSAGES,
    OPERATORS,
    Act,
    Action,
    Actor,
    Cancellation,
    CaseInput,
    CaseResult,
    CaseState,
    ChainHead,
    Decision,
    DecisionRecord,
    FieldChange,
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
from workflows.people import refusal, voters
from workflows.saga import Saga, Undo
from workflows.words import Words

RequestT = TypeVar("RequestT", bound=BaseModel)
ResultT = TypeVar("ResultT")

INTERVENTION = "intervention"
CHANGES = "changes"
"""The gate of the task by which a requester makes changes."""

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


class NextRound(Exception):
    """Raised by a gate when the requester has resubmitted another input: all is undone, and the story begins anew."""


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
        self._deciders: dict[str, list[str]] = {}
        """Who decided which gate of this round."""
        self._submitters: list[str] = []
        """Who has resubmitted the case."""
        self._asked: Sequence[Gate] = ()
        """The gates that the case waits at."""
        self._first_no_ends_all = True
        self._forward = True
        """Until the case ends or rolls back; only then can it be cancelled."""
        self._cancellation: Cancellation | None = None
        self._decided = False
        """A gate was approved, and that is not in SQL yet."""
        self._idle_messages = 0
        self._messages = 0
        self._round = 1
        self._changes: list[FieldChange] = []
        """What the requester changed for this round."""
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

    @overload
    async def gate(self, name: str, *, facts: BaseModel | None = None) -> None: ...

    @overload
    async def gate(self, name: str, request: RequestT, *, facts: BaseModel | None = None) -> RequestT: ...

    async def gate(
        self, name: str, request: RequestT | None = None, *, facts: BaseModel | None = None
    ) -> RequestT | None:
        """Stop until the right people have approved; go on at once where the policy needs nobody.

        A rejection or an expiry ends the case. With `request`, the input of the case, reviewers may change fields that
        the policy names; the answer is the input as they approved it, and later steps must go by that.
        """
        await self._pass([name], facts, editable=request is not None)
        return None if request is None else self._started.input

    async def gates(self, *names: str, facts: BaseModel | None = None, first_no_ends_all: bool = True) -> None:
        """Stop at several gates at once, until all are passed, in any order.

        A rejection or an expiry ends the case: at once, or when all are decided if not `first_no_ends_all`.
        """
        await self._pass(names, facts, first_no_ends_all=first_no_ends_all)

    async def _pass(
        self,
        names: Sequence[str],
        facts: BaseModel | None,
        *,
        editable: bool = False,
        first_no_ends_all: bool = True,
    ) -> None:
        self._stop_if_cancelled()
        shown_facts = facts.model_dump(mode="json") if facts is not None else {}
        if facts is not None and (size := len(facts.model_dump_json().encode())) > MAX_FACTS_BYTES:
            raise CaseEnds(
                Status.FAILED,
                f"The facts for {', '.join(names)} are {size:,} bytes; at most {MAX_FACTS_BYTES:,} can be shown to a "
                "reviewer.",
            )
        left = list(names)
        while left:
            gates: list[Gate] = []
            for name in left:
                opening = await self._open(name, shown_facts, editable)
                if opening.task is not None:
                    gates.append(self._opened(opening.task, opening.ruling))
                elif opening.ruling.decided == "reject":
                    self._drop(gates)
                    raise CaseEnds(Status.REJECTED, f"Rejected by rule at {_spoken(name)}: {opening.ruling.rule}")
            if not gates:
                self._decided = False
                return
            await self._wait_at(gates, Status.AWAITING_APPROVAL, first_no_ends_all=first_no_ends_all)
            for gate in gates:
                self._end_by(gate)
            self._decided = True
            left = [gate.task.gate for gate in gates if not _passed(gate)]
            if sent_back := next((gate for gate in gates if gate.outcome is Outcome.CHANGES_REQUESTED), None):
                await self._make_changes(sent_back)

    def _end_by(self, gate: Gate) -> None:
        """End the case if this gate says so."""
        name = _spoken(gate.task.gate)
        match gate.outcome:
            case Outcome.EXPIRED:
                raise CaseEnds(Status.EXPIRED, f"Nobody decided {name} in time.")
            case Outcome.REJECTED_BY_RULE:
                raise CaseEnds(Status.REJECTED, f"Rejected by rule at {name}: {gate.task.rule}")
            case Outcome.REJECTED:
                last = next(view for view in reversed(gate.task.decisions) if view.verdict is Verdict.REJECT)
                why = f": {last.comment}" if last.comment else "."
                raise CaseEnds(Status.REJECTED, f"Rejected by {last.by} at {name}{why}")

    def _drop(self, gates: Sequence[Gate]) -> None:
        """Close tasks that nobody needs to decide any more."""
        for gate in gates:
            if gate.open:
                self._gates[gate.task.task_id] = gate
                gate.close(Outcome.CANCELLED, workflow.now())
                self._close_gate(gate)

    async def _make_changes(self, gate: Gate) -> None:
        """Back to the requester, until they resubmit. Raises NextRound if they changed anything."""
        asked = gate.task.decisions[-1]
        case, limit = self._started, gate.ruling.changes_for
        task = self._task(CHANGES, f"{asked.by} asks for changes: {asked.comment}", facts=gate.task.facts)
        end = workflow.now() + limit
        task = task.model_copy(
            update={
                "kind": "changes",
                "candidate_users": [case.requester],
                "verdicts": [Verdict.RESUBMIT],
                "editable": list(type(case.input).model_fields),
                "rule": f"changes were requested at {_spoken(gate.task.gate)}",
                "due_at": end,
                "expires_at": end,
            }
        )
        ruling = GateRuling(
            needed=True,
            rule=task.rule,
            users=[case.requester],
            separation_of_duties=False,
            reminders=[end - limit / 2],
            due_at=end,
            expires_at=end,
        )
        waits = Gate(task, ruling)
        self._journal.note(
            "changes_requested",
            f"{asked.by} asks {case.requester} for changes: {asked.comment}",
            {"task_id": task.task_id, "gate": gate.task.gate},
        )
        await self._journal.write(Status.AWAITING_CHANGES, opened=task)
        before = case.input
        await self._wait_at([waits], Status.AWAITING_CHANGES)
        if waits.outcome is Outcome.EXPIRED:
            raise CaseEnds(Status.EXPIRED, f"{case.requester} did not make the changes in time.")
        self._round += 1
        self._changes = self._differences(before, self._started.input)
        changed = ", ".join(change.field for change in self._changes) or "nothing"
        self._journal.note(
            "round_started",
            f"Round {self._round}: {changed} changed",
            {"round": self._round, "changes": [change.model_dump(mode="json") for change in self._changes]},
        )
        if self._changes:
            raise NextRound

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

    async def _open(self, name: str, facts: dict[str, Any], editable: bool) -> GateOpening:
        """Ask the policy; where it gives no ruling operators retry or roll back, and nobody may skip the people."""
        while True:
            self._stop_if_cancelled()
            self._show(self.words.gate(name, self._started.input))
            others = [person for gate, people in self._deciders.items() if gate != name for person in people]
            others += [person for person in self._submitters if person != self._started.requester]
            task = self._task(name, self._step, facts=facts, excluded=others)
            fields = list(type(self._started.input).model_fields) if editable else []
            task = task.model_copy(
                update={
                    "verdicts": [Verdict.APPROVE, Verdict.REJECT, Verdict.REQUEST_CHANGES, Verdict.ABSTAIN],
                    "editable": fields,
                    "round": self._round,
                    "changes": self._changes,
                }
            )
            try:
                return await self._journal.open_gate(task, **self._seen)
            except FailureError as error:
                await self._mend(name, error, may_skip=False)

    @property
    def _seen(self) -> dict[str, Any]:
        """The case as the policy sees it."""
        case = self._started
        seen = {
            "reference": case.reference,
            "requester": case.requester,
            "priority": case.priority,
            "batch_id": case.batch_id or "",
        }
        return {"case": seen, "policy_hash": case.policy_hash, "input": case.input.model_dump(mode="json")}

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
            while True:
                try:
                    output = await procedure(self._started.input)
                    break
                except NextRound:
                    await self._unwind()
                    self._undone, self._deciders = [], {}
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
        await self._unwind()
        return None

    async def _unwind(self) -> None:
        while undo := self._saga.newest():
            await self._undo(undo)
            self._saga.settle(undo)
            await self._journal.write(self._status)

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
        await self._wait_at([gate], Status.NEEDS_INTERVENTION)
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

    async def _wait_at(self, gates: Sequence[Gate], status: Status, *, first_no_ends_all: bool = True) -> None:
        """Until all gates have an outcome; a cancellation of a case that is still going forward closes them."""
        for gate in gates:
            self._gates[gate.task.task_id] = gate
        outer = self._asked, self._first_no_ends_all  # operators may be asked while people are
        self._asked, self._first_no_ends_all = gates, first_no_ends_all
        try:
            await self._waited(gates, status)
        finally:
            self._asked, self._first_no_ends_all = outer

    async def _waited(self, gates: Sequence[Gate], status: Status) -> None:
        self._status = status
        self._upsert(gates[0])
        self._show(gates[0].task.summary)
        for decision in [early for early in self._early if any(early.task_id == g.task.task_id for g in gates)]:
            self._early.remove(decision)
            self.submit_decision(decision)
        closed: list[Gate] = []
        helped: Gate | None = None
        while True:
            for gate in gates:
                if not gate.open and gate not in closed:
                    closed.append(gate)
                    self._close_gate(gate)
            if not any(gate.open for gate in gates):
                break
            if self._forward and self._cancellation is not None:
                self._drop([gate for gate in gates if gate.open])
                closed = list(gates)
                break
            if any(not _passed(gate) for gate in closed) and (self._first_no_ends_all or _sent_back(closed)):
                self._drop([gate for gate in gates if gate.open])
                closed = list(gates)
                break
            if self._journal.unwritten:
                await self._journal.write(self._status)
                continue
            if unsure := next((gate for gate in gates if gate.open and (gate.edited or gate.uncertain)), None):
                try:
                    helped = await self._look_again(unsure, helped)
                except CaseEnds:
                    self._drop([gate for gate in gates if gate.open])
                    raise
                continue
            if helped is not None and not helped.open:
                self._helped(helped, [gate for gate in gates if gate.open])
                helped = None
                continue
            await self._until_message_or_alarm([*gates, *([helped] if helped else [])])
            for gate in gates:
                for rang in gate.ring(workflow.now()):
                    self._happened(gate, rang)
            self._show(next((gate for gate in gates if gate.open), gates[0]).task.summary)
        if helped is not None:
            self._drop([helped])
        if all(_passed(gate) for gate in gates):
            self._set_status(Status.RUNNING)
        stands = (Outcome.REJECTED, Outcome.REJECTED_BY_RULE, Outcome.EXPIRED, Outcome.ROLL_BACK)
        if not any(gate.outcome in stands for gate in gates):
            self._stop_if_cancelled()  # after a no, the no stands: whoever said it was told so

    def _close_gate(self, gate: Gate) -> None:
        """Write down how a gate ended, and who decided it: they decide no other of this case."""
        self._journal.changed(gate)
        assert gate.outcome is not None
        self._journal.note(
            "gate_closed",
            f"{_spoken(gate.task.gate).capitalize()}: {gate.outcome.value.replace('_', ' ')}",
            {"task_id": gate.task.task_id, "gate": gate.task.gate, "outcome": gate.outcome.value},
        )
        if gate.task.kind == "gate":
            self._deciders[gate.task.gate] = voters(gate.task)
        elif gate.task.kind == "changes":
            # Somebody in the requester's place asks as the requester does, and decides as little.
            self._submitters += voters(gate.task)

    async def _look_again(self, gate: Gate, helped: Gate | None) -> Gate | None:
        """Find the rules for an edited input, or whether enough people are left. Answers what operators are asked."""
        if gate.edited:
            try:
                ruling = await self._journal.rule_again(gate.task, **self._seen)
            except FailureError as error:
                await self._mend(gate.task.gate, error, may_skip=False)
            else:
                self._happened(gate, gate.adopt(ruling, workflow.now()))
            return helped
        able = (await self._journal.count(gate.task)).able
        if (short := gate.count(able, workflow.now())) is None:
            return helped
        self._happened(gate, short)
        if short.kind != "gate_short" or helped is not None:
            return helped
        helped = self._intervention(gate.task.gate, short.summary, short.summary, may_skip=False)
        self._gates[helped.task.task_id] = helped
        self._journal.note(
            "intervention_opened", f"Waits for {OPERATORS}: retry, roll back", {"task_id": helped.task.task_id}
        )
        self._set_status(Status.NEEDS_INTERVENTION)
        await self._journal.write(self._status, opened=helped.task)
        return helped

    def _helped(self, helped: Gate, gates: Sequence[Gate]) -> None:
        """Operators have answered that a gate has too few people: count again, or roll back."""
        self._close_gate(helped)
        if helped.outcome is Outcome.ROLL_BACK:
            self._drop(gates)
            raise CaseEnds(Status.FAILED, helped.task.summary)
        self._set_status(Status.AWAITING_APPROVAL)
        for gate in gates:
            gate.uncertain = True

    def _separate(self) -> None:
        """Of gates that are open together each excludes who decided another, where its policy says so."""
        for gate in self._asked:
            if gate.open and gate.ruling.separation_of_duties and gate.task.kind == "gate":
                gate.exclude([name for other in self._asked if other is not gate for name in voters(other.task)])

    def _happened(self, gate: Gate, what: Happened, actor: str = ENGINE) -> None:
        self._journal.note(what.kind, what.summary, {"task_id": gate.task.task_id, **what.data}, actor=actor)
        self._journal.changed(gate)

    async def _until_message_or_alarm(self, gates: Sequence[Gate]) -> None:
        waiting = [gate for gate in gates if gate.open]
        alarm = min((a for gate in waiting if (a := gate.next_alarm())), key=lambda alarm: alarm.at, default=None)
        wait = alarm.at - workflow.now() if alarm else None
        if wait is not None and wait <= timedelta(0):
            return
        try:
            await workflow.wait_condition(
                lambda: (
                    any(not gate.open or gate.edited or gate.uncertain for gate in waiting)
                    or self._journal.unwritten
                    or (self._forward and self._cancellation is not None)
                ),
                timeout=wait,
                timeout_summary=alarm.words if alarm else None,
            )
        except TimeoutError:
            return

    # -------------------------------------------------------------------------------------------------------- messages

    @workflow.update(description="Decide a task with one of its verdicts")
    async def decide(self, decision: Decision) -> Receipt:
        """The first door: refused or accepted while the caller waits. The same decision id gets the same receipt."""
        receipt = self._accept(decision)
        if not decision.edits:
            return receipt
        gate = self._gates[decision.task_id]
        await workflow.wait_condition(lambda: not (gate.open and gate.edited))
        return receipt.model_copy(update={"task": gate.task, "case_status": self._status})

    @decide.validator
    def _may_decide(self, decision: Decision) -> None:
        self._check(decision)

    @workflow.update(description="Claim, release, reassign, delegate, withdraw, ask, answer, move the clock")
    def act(self, action: Action) -> Receipt:
        """What people do with a task other than decide it. The same action id gets the same receipt."""
        return self._act(action)

    @act.validator
    def _may_act(self, action: Action) -> None:
        self._check_act(action)

    @workflow.signal(description="What a change of people means for open tasks: comes to nothing where it cannot be")
    def submit_action(self, action: Action) -> None:
        """Never raises: a signal handler that raises fails the whole case."""
        try:
            self._check_act(action)
        except ApplicationError:
            return
        if action.act is not Act.RECOUNT or self._may_idle():
            self._act(action)

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
        self._gate_of(decision.task_id).check(decision)
        self._edited(decision)

    def _check_act(self, action: Action) -> None:
        if receipt := self._receipts.get(action.id):
            if receipt.content != action.content:
                raise refusal("Reused", "This id was used already, for something else.")
            return
        gate = self._gate_of(action.task_id)
        gate.check_action(action)
        if self._messages >= MAX_MESSAGES:
            raise refusal("TooMany", f"This case has had {MAX_MESSAGES} messages; decide it or cancel it.")

    def _gate_of(self, task_id: str) -> Gate:
        gate = self._gates.get(task_id)
        if gate is None and self._status.closed:
            raise refusal("AlreadyClosed", f"The case has ended: {self._status.value}.", outcome=self._status.value)
        if gate is None:
            raise refusal("NotReady", "The case has not reached this task yet; try again in a moment.")
        return gate

    def _edited(self, decision: Decision) -> BaseModel | None:
        """The input with the edits of a decision; None without. Raises InvalidEdits, with the fields."""
        if not decision.edits:
            return None
        before = self._started.input
        try:
            edited: BaseModel = type(before).model_validate(before.model_dump(mode="json") | decision.edits)
            return edited
        except ValidationError as wrong:
            found = [
                {
                    "field": ".".join(str(part) for part in error["loc"]) or None,
                    "message": str(error["msg"]).removeprefix("Value error, "),
                }
                for error in wrong.errors()
            ]
            raise refusal("InvalidEdits", "The edited input is not valid.", errors=found) from None

    def _differences(self, before: BaseModel, after: BaseModel) -> list[FieldChange]:
        """Field by field, masked ones as they are shown."""
        old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
        shown_old, shown_new = self.words.shown_input(old), self.words.shown_input(new)
        return [
            FieldChange(field=name, before=shown_old[name], after=shown_new[name])
            for name in new
            if old[name] != new[name]
        ]

    def _accept(self, decision: Decision) -> Receipt:
        if receipt := self._receipts.get(decision.id):
            return receipt
        gate = self._gates[decision.task_id]
        rule, seen = gate.check(decision), gate.task
        changes: list[FieldChange] = []
        shown: dict[str, Any] = {}
        if (edited := self._edited(decision)) is not None:
            case = self._started
            changes = self._differences(case.input, edited)
            self._case = case.model_copy(update={"input": edited})
            shown = self._shown(gate.task.gate if gate.task.kind == "gate" else None)
            self._journal.replaced(edited.model_dump(mode="json"), shown["title"])
        void = gate.decide(decision, workflow.now(), changes, **shown)
        self._journal.withdraw(void)
        behalf = next((view.on_behalf_of for view in gate.task.decisions if view.decision_id == decision.id), None)
        self._journal.judge(DecisionRecord(decision=decision, on_behalf_of=behalf, changes=changes))
        self._journal.note(
            "decided",
            f"{decision.by.id}{f' for {behalf}' * bool(behalf)}: {decision.verdict.replace('_', ' ')}"
            + f" with {', '.join(change.field for change in changes)} edited" * bool(changes)
            + f" ({decision.comment})" * bool(decision.comment),
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
                **({"on_behalf_of": behalf} if behalf else {}),
                **({"changes": [change.model_dump(mode="json") for change in changes]} if changes else {}),
                **({"no_longer_count": [view.decision_id for view in void]} if void else {}),
            },
            actor=decision.by.id,
        )
        self._journal.changed(gate)
        self._separate()
        match gate.outcome:
            case Outcome.APPROVED if not self._waiting:
                self._status = Status.RUNNING
            case Outcome.RESUBMITTED:
                self._status = Status.RUNNING
            case Outcome.CHANGES_REQUESTED:
                self._status = Status.AWAITING_CHANGES
            case Outcome.REJECTED if self._first_no_ends_all or not self._waiting:
                self._status = Status.ROLLING_BACK
            case Outcome.ROLL_BACK:
                self._status = Status.ROLLING_BACK
            case Outcome.RETRY | Outcome.SKIP:
                self._status = Status.RUNNING if self._forward else Status.ROLLING_BACK
            case _:
                pass
        receipt = Receipt(decision_id=decision.id, content=decision.content, task=gate.task, case_status=self._status)
        self._receipts[decision.id] = receipt
        return receipt

    @property
    def _waiting(self) -> bool:
        """Whether people are still asked at a gate."""
        return any(gate.open and gate.task.kind == "gate" for gate in self._gates.values())

    def _act(self, action: Action) -> Receipt:
        if receipt := self._receipts.get(action.id):
            return receipt
        self._messages += action.act is not Act.RECOUNT
        gate = self._gates[action.task_id]
        happened, void = gate.act(action, workflow.now())
        self._journal.withdraw(void)
        if happened:
            self._happened(gate, happened, action.by.id)
        self._separate()
        receipt = Receipt(decision_id=action.id, content=action.content, task=gate.task, case_status=self._status)
        self._receipts[action.id] = receipt
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
            requester=case.requester,
            excluded_users=list(dict.fromkeys(excluded or [])),
            quorum=Quorum(needed=1),
            opened_at=workflow.now(),
            priority=case.priority,
            facts=facts,
            **{**self._shown(None), "summary": summary},
        )

    def _shown(self, gate: str | None) -> dict[str, Any]:
        """What a task shows of the input, with the question of a gate."""
        case = self._started
        return {
            "title": self.words.title_of(case.input),
            "key_fields": self.words.key_fields_of(case.input),
            "input": self.words.shown_input(case.input.model_dump(mode="json")),
            **({"summary": self.words.gate(gate, case.input)} if gate else {}),
        }

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


def _passed(gate: Gate) -> bool:
    return gate.outcome in (Outcome.APPROVED, Outcome.APPROVED_BY_RULE)


def _sent_back(gates: Sequence[Gate]) -> bool:
    return any(gate.outcome is Outcome.CHANGES_REQUESTED for gate in gates)


def _spoken(name: str) -> str:
    return name.replace("-", " ")
