"""The engine of a case: steps with their undo, gates where people decide, rollback when it does not end well.

A process subclasses CaseWorkflow and tells its story in one method with `step()` and `gate()`. What people say to a
case is in `desk.py`, waiting for them in `waiting.py`, undoing in `unwinding.py`.

The story runs as a task of its own. A cancellation, by message or by Temporal, sets a flag which steps and gates look
at; it is never thrown into the middle of a rollback or of a record.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple, TypeVar, overload

from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

from activities.engine.child_cases import Child, ChildCases
from domain.base import FieldChange
from domain.case import CaseInput, CaseResult
from domain.messages import StartNow
from domain.names import MAX_FACTS_BYTES
from domain.records import GateOpening
from domain.ruling import GateRuling
from domain.status import Outcome, Status, Verdict
from domain.step import ChildRequest, StepCall, StepOptions
from domain.task import DecisionView, TaskView
from domain.undo import PlannedUndo
from domain.wording import Words
from workflows.bounds import until
from workflows.desk import CaseEnds, EndStands, spoken
from workflows.failures import failure_of, retry_policy
from workflows.gate import Gate
from workflows.leavers import without
from workflows.moments import moment_text
from workflows.people import refusal
from workflows.reading import reads_signal, reads_update
from workflows.sub_cases import SubCases
from workflows.waiting import RETRY_OR_ROLL_BACK, passed

RequestT = TypeVar("RequestT", bound=BaseModel)
ResultT = TypeVar("ResultT")

BEAT = timedelta(seconds=10)
"""After which a worker that says nothing is taken for dead, in steps that take long and tell that they live."""
CHANGES = "changes"
"""The gate of the task by which a requester makes changes."""
STEP_VERDICTS = (Verdict.RETRY, Verdict.SKIP, Verdict.DONE_BY_HAND, Verdict.ROLL_BACK)


class GateAt(NamedTuple):
    """A gate with what is asked about there."""

    name: str
    facts: BaseModel | None = None


class NextRound(Exception):
    """Raised when a case has another input than it began with: all is undone, and the story begins anew."""


class CaseWorkflow(SubCases):
    """Base of every process."""

    words: ClassVar[Words]

    def __init__(self) -> None:
        super().__init__()
        self._decided = False
        """A gate was approved, and that is not in SQL yet."""
        self._early_start: StartNow | None = None
        """By whom the case is started before its time."""
        self._start_asked: StartNow | None = None
        """Who asked for that before the story began."""
        self._round = 1
        self._changes: list[FieldChange] = []
        """What the requester, or an operator, changed for this round."""

    # --------------------------------------------------------------------------------------------- words for a process

    @overload
    async def step(
        self,
        activity: Callable[[Any, StepCall[RequestT]], Awaitable[ResultT]],
        request: RequestT,
        *,
        skipped: ResultT,
        undo: Callable[[Any, StepCall[RequestT]], Awaitable[Any]] | None = None,
        uses: Callable[..., Any] | None = None,
        heartbeat: timedelta | None = None,
        options: StepOptions | None = None,
    ) -> ResultT: ...

    @overload
    async def step(
        self,
        activity: Callable[[Any, StepCall[RequestT]], Awaitable[ResultT]],
        request: RequestT,
        *,
        undo: Callable[[Any, StepCall[RequestT]], Awaitable[Any]] | None = None,
        uses: Callable[..., Any] | None = None,
        heartbeat: timedelta | None = None,
        options: StepOptions | None = None,
    ) -> ResultT | None: ...

    async def step(
        self,
        activity: Callable[[Any, StepCall[RequestT]], Awaitable[ResultT]],
        request: RequestT,
        *,
        skipped: ResultT | None = None,
        undo: Callable[[Any, StepCall[RequestT]], Awaitable[Any]] | None = None,
        uses: Callable[..., Any] | None = None,
        heartbeat: timedelta | None = None,
        options: StepOptions | None = None,
    ) -> ResultT | None:
        """Carry out one step, its undo registered first.

        `uses` names an earlier step whose effect this one uses up, such as the hold that a payment is made from: then
        there is nothing of it left to undo. `options` say how often the step is tried, unless the policy does.

        A `Refused` step ends the case. One whose attempts end for any other reason waits for operators: they retry it,
        with a mended input if need be, skip it or do it by hand, or roll the case back. What the step answers when it
        was skipped or done by hand is `skipped`; without that None, which the story has to expect.
        """
        with self._branch():
            return await self._carried_out(activity, request, skipped, undo, uses, heartbeat, options)

    async def _carried_out(
        self,
        activity: Callable[[Any, StepCall[RequestT]], Awaitable[ResultT]],
        request: RequestT,
        skipped: ResultT | None,
        undo: Callable[[Any, StepCall[RequestT]], Awaitable[Any]] | None,
        uses: Callable[..., Any] | None,
        heartbeat: timedelta | None,
        options: StepOptions | None,
    ) -> ResultT | None:
        name = activity.__name__
        call, options = self._call(name, request), self._options(name, options)
        planned = self._planned(name, undo.__name__, call, uses.__name__ if uses else None) if undo else None
        if planned is not None:
            self._saga.register(planned)
            call = call.model_copy(update={"undo": planned.undo, "uses": planned.uses})
        if self._decided:
            # A gate that follows the decided one writes it down along with itself; a step may take long.
            self._decided = False
            await self._write()
        halts = self._halting()
        while True:
            self._stop_if_cancelled()
            self._show(self.words.step(name, request))
            running = workflow.start_activity_method(
                activity,
                call,
                summary=self._step,
                start_to_close_timeout=options.time_limit,
                schedule_to_close_timeout=options.retry_for,
                heartbeat_timeout=heartbeat,
                retry_policy=retry_policy(options),
                # An undo must never overlap the step it undoes.
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
            await workflow.wait_condition(lambda: running.done() or halts())  # noqa: B023
            if not running.done():
                running.cancel()
            try:
                result = await running
            except ActivityError as error:
                self._stop_if_cancelled()
                if await self._failed(name, error, options, planned):
                    continue
                return skipped  # an operator said so, with a reason
            data = result.model_dump(mode="json") if isinstance(result, BaseModel) else None
            if planned is not None:
                self._saga.done(planned.call.key)
            plan = planned.view.model_dump() if planned else None
            did = {"step": name, "key": call.key, "result": data, "undo": plan}
            self._journal.note("step_done", f"{self._step}: done", did)
            self._stop_if_cancelled()
            return result

    def _planned(self, step: str, undo: str, call: StepCall[Any], uses: str | None) -> PlannedUndo:
        """How to undo a step that is about to run."""
        undo_call = StepCall[Any](**{**dict(call), "key": f"{call.key}/undo", "undoes": call.key})
        return PlannedUndo(
            step=step,
            undo=undo,
            summary=self.words.step(undo, call.input),
            call=undo_call,
            uses=self._saga.key_of(uses) if uses else None,
        )

    async def _failed(self, name: str, error: ActivityError, options: StepOptions, planned: PlannedUndo | None) -> bool:
        """A step has failed for good. Answers whether to try it again; raises what ends the case or begins it anew."""
        failure = failure_of(error, options)
        if failure.refused:
            self._journal.note("step_refused", f"{self._step}: refused. {failure.said}", {"step": name})
            raise CaseEnds(Status.FAILED, failure.said)
        if options.then != "intervene":
            said = f"{self._step}: failed. {failure.said}{failure.tried}"
            self._journal.note("step_failed", said, failure.facts(name))
            again = options.resubmit_after if options.then == "resubmit" else None
            raise CaseEnds(Status.FAILED, said, resubmit_after=again)
        before = self._started.input
        gate = await self._mend(name, failure, verdicts=STEP_VERDICTS, editable=True)
        answer = gate.task.decisions[-1]
        if gate.outcome is Outcome.RETRY and self._begins_round(before):
            # What was held, found and approved was for another input; whoever mended it approves nothing of it.
            self._submitters += [view.by for view in gate.task.decisions]
            raise NextRound
        if gate.outcome is Outcome.DONE_BY_HAND and planned is not None:
            self._saga.done(planned.call.key, by_hand=f"{answer.by}: {answer.comment}")
        return gate.outcome is Outcome.RETRY

    def _begins_round(self, before: BaseModel) -> bool:
        """Whether the input is another than it was; the next round is noted then."""
        changes = self._differences(before, self._started.input)
        if changes:
            self._note_round(changes)
        return bool(changes)

    def _note_round(self, changes: list[FieldChange]) -> None:
        self._round += 1
        self._changes = changes
        changed = ", ".join(change.field for change in changes) or "nothing"
        self._journal.note(
            "round_started",
            f"Round {self._round}: {changed} changed",
            {"round": self._round, "changes": [change.model_dump(mode="json") for change in changes]},
        )

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
        await self._pass([GateAt(name, facts)], editable=request is not None)
        return None if request is None else self._started.input

    async def gates(
        self, *wanted: str | GateAt, facts: BaseModel | None = None, first_no_ends_all: bool = True
    ) -> None:
        """Stop at several gates at once, until all are passed, in any order.

        A gate that is asked about several things stands there once for each, with facts of its own. A rejection or an
        expiry ends the case: at once, or when all are decided if not `first_no_ends_all`.
        """
        stops = [GateAt(each, facts) if isinstance(each, str) else each for each in wanted]
        await self._pass(stops, first_no_ends_all=first_no_ends_all)

    async def _pass(self, wanted: Sequence[GateAt], *, editable: bool = False, first_no_ends_all: bool = True) -> None:
        with self._branch():
            await self._passed(wanted, editable, first_no_ends_all)

    async def _passed(self, wanted: Sequence[GateAt], editable: bool, first_no_ends_all: bool) -> None:
        self._stop_if_cancelled()
        for name, facts in wanted:
            if facts is not None and (size := len(facts.model_dump_json().encode())) > MAX_FACTS_BYTES:
                raise CaseEnds(
                    Status.FAILED,
                    f"What was found for {spoken(name)} is {size:,} bytes; at most {MAX_FACTS_BYTES:,} can be shown.",
                )
        left = list(wanted)
        while left:
            gates: list[Gate] = []
            stops: list[GateAt] = []
            for stop in left:
                beside = sum(gate.task.gate == stop.name for gate in gates)
                opening = await self._open(stop, editable, beside)
                self._end_stands(opening.ended)
                if opening.task is not None:
                    gates.append(self._opened(opening.task, opening.ruling))
                    stops.append(stop)
                elif opening.ruling.decided == "reject":
                    self._drop(gates)
                    raise CaseEnds(Status.REJECTED, f"Rejected by rule at {spoken(stop.name)}: {opening.ruling.rule}")
            if not gates:
                self._decided = False
                return
            await self._wait_at(gates, Status.AWAITING_APPROVAL, first_no_ends_all=first_no_ends_all)
            for gate in gates:
                self._end_by(gate)
            self._decided = True
            left = [stop for stop, gate in zip(stops, gates, strict=True) if not passed(gate)]
            if sent_back := next((gate for gate in gates if gate.outcome is Outcome.CHANGES_REQUESTED), None):
                await self._make_changes(sent_back)

    async def _make_changes(self, gate: Gate) -> None:
        """Back to the requester, until they resubmit. Raises NextRound if they changed anything."""
        asked = gate.task.decisions[-1]
        case, limit = self._started, gate.ruling.changes_for
        task = self._task(CHANGES, f"{asked.by} asks for changes: {asked.comment}", facts=gate.task.facts)
        task = task.model_copy(update={"kind": "changes", "candidate_users": [case.requester]})
        for leaver, successor in (await self._journal.count(task)).left.items():
            task = task.model_copy(update=without(task, leaver, successor))
        whom = ", ".join(task.candidate_users + task.candidate_groups)
        end = workflow.now() + limit
        task = task.model_copy(
            update={
                "verdicts": [Verdict.RESUBMIT],
                "editable": list(type(case.input).model_fields),
                "rule": f"changes were requested at {spoken(gate.task.gate)}",
                "due_at": end,
                "expires_at": end,
            }
        )
        ruling = GateRuling(
            needed=True,
            rule=task.rule,
            groups=task.candidate_groups,
            users=task.candidate_users,
            separation_of_duties=False,
            reminders=[end - limit / 2],
            due_at=end,
            expires_at=end,
        )
        waits = Gate(task, ruling)
        waits.uncertain = True  # the requester may be away, or have left
        self._journal.note(
            "changes_requested",
            f"{asked.by} asks {whom} for changes: {asked.comment}",
            {"task_id": task.task_id, "gate": gate.task.gate},
        )
        self._status = Status.AWAITING_CHANGES
        await self._write(opened=task)
        before = case.input
        await self._wait_at([waits], Status.AWAITING_CHANGES)
        if waits.outcome is Outcome.EXPIRED:
            raise CaseEnds(Status.EXPIRED, f"{whom} did not make the changes in time.")
        self._note_round(self._differences(before, self._started.input))
        if self._changes:
            raise NextRound

    async def _open(self, stop: GateAt, editable: bool, beside: int) -> GateOpening:
        """Ask the policy; where it gives no ruling operators retry or roll back, and nobody may skip the people."""
        name, facts = stop.name, stop.facts.model_dump(mode="json") if stop.facts is not None else {}
        while True:
            self._stop_if_cancelled()
            self._show(self.words.gate(name, self._started.input, facts))
            others = [person for gate, people in self._deciders.items() if gate != name for person in people]
            others += [person for person in self._submitters if person != self._started.requester]
            task = self._task(name, self._step, facts=facts, excluded=others, beside=beside)
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
                await self._mend(name, failure_of(error, StepOptions()), verdicts=RETRY_OR_ROLL_BACK)

    async def will_ask(self, name: str, *, facts: BaseModel | None = None) -> bool:
        """Whether people will decide at a gate which the case has not come to, as far as can be told from these facts.

        A rule that cannot be worked out from them counts as one that asks people: its gate would open, or wait for
        operators.
        """
        shown = facts.model_dump(mode="json") if facts is not None else {}
        task = self._task(name, self.words.gate(name, self._started.input, shown), facts=shown)
        try:
            return (await self._journal.rule_again(task, **self._seen)).needed
        except FailureError:
            return True

    def approvals(self, gate: str) -> list[DecisionView]:
        """The approvals of people that a gate was passed by in this round; none where the policy needed nobody."""
        asked = [each for each in self._gates.values() if each.task.gate == gate and each.task.round == self._round]
        passed_by = [each.task for each in asked if passed(each)]
        return [view for task in passed_by[-1:] for view in task.decisions if view.verdict is Verdict.APPROVE]

    async def _ask_for(self, asked: ChildRequest) -> Child | None:
        return await self.step(ChildCases.ask_for_case, asked, undo=ChildCases.withdraw_case)

    # ------------------------------------------------------------------------------------------------------- the story

    async def conduct(
        self, case: CaseInput[RequestT], procedure: Callable[[RequestT], Awaitable[BaseModel | None]]
    ) -> CaseResult:
        """Run the procedure of a case to one of its ends and say which. Never fails but for a defect."""
        if case.start_at is not None and case.start_at > workflow.now():
            self._status = Status.SCHEDULED  # before anybody can ask
        return await self._conduct(case, lambda: self._tell(case, procedure))

    async def _tell(
        self, case: CaseInput[RequestT], procedure: Callable[[RequestT], Awaitable[BaseModel | None]]
    ) -> CaseResult:
        output = None
        try:
            try:
                await self._wait_for_start(case)
                while True:
                    try:
                        output = await procedure(self._started.input)
                        break
                    except NextRound:
                        await self._branches_stop()
                        await self._unwind()
                        self._undone, self._deciders = [], {}
                self._stop_if_cancelled()
                end = CaseEnds(Status.COMPLETED, "Everything was done.")
            except CaseEnds as error:
                end = error
                await self._branches_stop()
                await self._roll_back(end.reason)
            except FailureError as error:
                end = CaseEnds(Status.FAILED, failure_of(error, StepOptions()).said)
                await self._branches_stop()
                await self._roll_back(end.reason)
        except EndStands as stands:
            return await self._close(stands.ended)
        return await self._close(
            CaseResult(
                case_id=case.case_id,
                status=end.status,
                reason=end.reason,
                output=output.model_dump(mode="json") if output is not None else None,
                undone=self._undone,
                decision=self._answer if end.status in (Status.COMPLETED, Status.REJECTED) else None,
                resubmit_after=end.resubmit_after,
            )
        )

    async def _wait_for_start(self, case: CaseInput[Any]) -> None:
        """A start in the future is a timer here, never Temporal's start delay, which cannot be ended early."""
        if case.start_at is None or self._status is not Status.SCHEDULED:
            return
        self._show(f"Starts at {moment_text(case.start_at)}")
        if self._start_asked is not None:
            self._start_if_scheduled(self._start_asked)
        while not (self._cancellation is not None or self._early_start is not None):
            if (left := until(case.start_at, workflow.now())) == timedelta(0):
                self._journal.note("case_started", "The scheduled time has come")
                break
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: self._cancellation is not None or self._early_start is not None,
                    timeout=left,
                    timeout_summary="the scheduled start",
                )
        self._stop_if_cancelled()
        self._set_status(Status.RUNNING)
        await self._write()
        self._stop_if_cancelled()

    @workflow.signal(description="The second door of an early start, used when no worker answered")
    @reads_signal
    def submit_start(self, asked: StartNow) -> None:
        """Comes to nothing where the case does not wait for its time any more."""
        if self._case is None:
            self._start_asked = asked
        else:
            self._start_if_scheduled(asked)

    def _start_if_scheduled(self, asked: StartNow) -> None:
        with suppress(ApplicationError):
            self._check_start(asked)
            self._start_early(asked)

    @workflow.update(description="Start a scheduled case before its time")
    @reads_update
    def start_now(self, asked: StartNow) -> Status:
        """Answers the status of the case. The same id gets the same answer, and starts it once."""
        self._start_early(asked)
        return Status.RUNNING

    @start_now.validator
    @reads_update
    def _may_start_now(self, asked: StartNow) -> None:
        self._check_start(asked)

    def _start_early(self, asked: StartNow) -> None:
        if self._early_start is None:
            self._early_start = asked
            planned = moment_text(self._started.start_at) if self._started.start_at else ""
            said = f"Started by {asked.by.id} before its time, {planned}"
            self._journal.note("case_started", said, {"early": True, "via": asked.via}, actor=asked.by.id)

    def _check_start(self, asked: StartNow) -> None:
        """Raise the refusal of an early start; changes nothing."""
        if self._early_start is not None and self._early_start.id == asked.id:
            return
        status = self._started and self._status
        if status is not Status.SCHEDULED or self._early_start is not None or self._cancellation is not None:
            raise refusal(
                "NotScheduled", "This case does not wait for its time: it was started, or cancelled, already."
            )

    # ------------------------------------------------------------------------------------------------------ small parts

    def _call(self, name: str, request: RequestT) -> StepCall[RequestT]:
        """The step's input with its idempotency key, `<case_id>/<step>` and `#n` from the second time on."""
        case = self._started
        count = self._keys[name] = self._keys.get(name, 0) + 1
        return StepCall[RequestT](
            case_id=case.case_id,
            reference=case.reference,
            requester=case.requester,
            policy_hash=case.policy_hash,
            key=self._key(name, count),
            input=request,
        )

    @property
    def _input_json(self) -> dict[str, Any]:
        stored: dict[str, Any] = self._started.input.model_dump(mode="json")
        return stored

    def _shown(self, task: TaskView | None) -> dict[str, Any]:
        case = self._started
        return {
            "title": self.words.title_of(case.input),
            "key_fields": self.words.key_fields_of(case.input),
            "input": self._masked(self._input_json),
            "money": self.words.money_of(self._input_json),
            **({"summary": self.words.gate(task.gate, case.input, task.facts)} if task else {}),
        }

    def _masked(self, stored: dict[str, Any]) -> dict[str, Any]:
        return self.words.shown_input(stored)
