"""A case: the base class of every process.

A process subclasses CaseWorkflow and describes its procedure in one method, with `step()`, `gate()`, `gates()` and
`case()`. `run` passes that method to `conduct()`.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, ClassVar, overload

from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import FailureError

from domain.case import CaseInput, CaseResult
from domain.messages import StartNow
from domain.status import Status
from domain.step import StepCall, StepOptions
from domain.task import DecisionView
from domain.wording import Words
from workflows.engine.branches import Branches
from workflows.engine.child_cases import ChildCaseRequests
from workflows.engine.compensation import Compensation
from workflows.engine.endings import AlreadyEnded, CaseEnds, NextRound
from workflows.engine.failures import failure_of
from workflows.engine.gates import GateAt, Gates
from workflows.engine.human_tasks import HumanTasks
from workflows.engine.lifecycle import close, run_to_end
from workflows.engine.message_handlers import MessageHandlers
from workflows.engine.presentation import WordsPresentation
from workflows.engine.read_messages import reads_signed_signal, reads_signed_update, reads_update
from workflows.engine.scheduled_start import ScheduledStart
from workflows.engine.steps import RequestT, ResultT, Steps

__all__ = ["BEAT", "CaseWorkflow", "GateAt"]

BEAT = timedelta(seconds=10)
"""Heartbeat timeout of long steps that send heartbeats. A worker without a heartbeat for this time counts as dead."""


class CaseWorkflow(MessageHandlers):
    """The base class of every process."""

    words: ClassVar[Words]
    """The wording of the process."""

    def __init__(self) -> None:
        super().__init__(WordsPresentation(self.words))
        run = self.state
        self._branches = Branches(run)
        self._tasks = HumanTasks(run, self._branches, self.messages)
        self._compensation = Compensation(run, self._tasks)
        self._steps = Steps(run, self._branches, self._tasks, self.words)
        self._gates = Gates(run, self._branches, self._tasks, self.words)
        self._child_cases = ChildCaseRequests(run, self._branches, self._steps, self.messages)
        self._scheduled_start = ScheduledStart(run, self._branches)

    # ------------------------------------------------------------------------------------------- what a procedure calls

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
        local: bool = False,
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
        local: bool = False,
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
        local: bool = False,
    ) -> ResultT | None:
        """Run one step and return the result of its activity. `undo`, if given, is registered before the step runs.

        `uses` names an earlier step whose effect this step uses up, such as the hold that a payment is made from. When
        this step has run, nothing of the earlier effect is left to undo. `options` say how often the step is tried,
        unless the policy has options for the step.

        `local` runs the step inside the Workflow task, which costs much less, if the options of the step are short
        enough (`StepOptions.fits_local`). Use `local` only for a short step whose effect is in Holdgate's own database
        and happens once for its key. Temporal's Web UI shows a local step only after it has ended, as a marker. A
        decision that comes just before a local step is answered only after this step.

        A step that raises `Refused` ends the case. If the attempts of a step end for any other reason, operators
        decide, unless `options.then` ends the case: operators retry the step, also with changed input, skip the step,
        do it by hand, or roll the case back. If operators skip the step or do it by hand, the result is `skipped`, or
        None if `skipped` is not given. Raises ValueError if both `local` and `heartbeat` are given.
        """
        return await self._steps.run_step(
            activity, request, skipped=skipped, undo=undo, uses=uses, heartbeat=heartbeat, options=options, local=local
        )

    @overload
    async def gate(self, name: str, *, facts: BaseModel | None = None) -> None: ...

    @overload
    async def gate(self, name: str, request: RequestT, *, facts: BaseModel | None = None) -> RequestT: ...

    async def gate(
        self, name: str, request: RequestT | None = None, *, facts: BaseModel | None = None
    ) -> RequestT | None:
        """Wait until the right people have approved; return at once where the policy needs nobody.

        A rejection ends the case, and so does an expiry, unless `on_expiry` of the policy says otherwise. With
        `request`, the input of the case, reviewers may change the fields that the policy names, and the method returns
        the approved input, which later steps must use. Without `request`, the method returns None.
        """
        await self._gates.pass_all([GateAt(name, facts)], editable=request is not None)
        return None if request is None else self.state.case.input

    async def gates(
        self, *wanted: str | GateAt, facts: BaseModel | None = None, first_no_ends_all: bool = True
    ) -> None:
        """Wait until several gates are passed, in any order.

        If one gate decides about several things, such as several permissions, pass one `GateAt` for each of them, with
        its facts. A rejection or an expired gate ends the case: at once, or with `first_no_ends_all=False` after all
        gates are decided.
        """
        stops = [GateAt(each, facts) if isinstance(each, str) else each for each in wanted]
        await self._gates.pass_all(stops, first_no_ends_all=first_no_ends_all)

    async def case(self, kind: str, process: str, request: BaseModel) -> CaseResult | None:
        """Start a child case of another process, wait until it has ended, and return its result.

        `kind` is what people call the child case: `security review`. The child case has the same requester, and a
        reference made from that of this case. If the child case ends and is not completed, this case ends, too. If this
        case ends before the child case, the child case is cancelled. After the child case has ended, its effects stay
        when this case is rolled back. The result is None if the child case could not be started and operators skipped
        it or did it by hand.
        """
        return await self._child_cases.ask(kind, process, request)

    async def will_ask(self, name: str, *, facts: BaseModel | None = None) -> bool:
        """Return True if, with these facts, people must decide at a later gate of this case.

        Also return True if the policy cannot be evaluated with these facts, because then the gate needs operators.
        """
        return await self._gates.will_ask(GateAt(name, facts))

    def approvals(self, gate: str) -> list[DecisionView]:
        """Return the approvals by which a gate was passed in this round; empty where the policy needed nobody.

        If several gates of this name were passed, the approvals are those of the last one.
        """
        return self._gates.approvals(gate)

    # --------------------------------------------------------------------------------------------------- the procedure

    async def conduct(
        self, case: CaseInput[RequestT], procedure: Callable[[RequestT], Awaitable[BaseModel | None]]
    ) -> CaseResult:
        """Run the procedure of a case to its end and return the result.

        Raises only after a defect, if the database has no such case, or if a rollback has taken over the case.
        """
        if case.start_at is not None and case.start_at > workflow.now():
            self.state.status = Status.SCHEDULED  # Set before a message can ask for the status.
        return await run_to_end(self.state, self.messages, case, lambda: self._follow(case, procedure))

    async def _follow(
        self, case: CaseInput[RequestT], procedure: Callable[[RequestT], Awaitable[BaseModel | None]]
    ) -> CaseResult:
        """Run the procedure, undo its effects if it does not end well, and close the case."""
        run, output = self.state, None
        try:
            try:
                await self._scheduled_start.wait()
                output = await self._rounds(procedure)
                await self._branches.raise_if_stopped()
                end = CaseEnds(Status.COMPLETED, "Everything was done.")
            except CaseEnds as error:
                end = error
                await self._roll_back(end.reason)
            except FailureError as error:
                if run.journal.unknown_case is not None:
                    raise  # No step has run.
                end = CaseEnds(Status.FAILED, failure_of(error, StepOptions()).said)
                await self._roll_back(end.reason)
        except AlreadyEnded as already:
            return await close(run, self.messages, already.ended)
        result = CaseResult(
            case_id=case.case_id,
            status=end.status,
            reason=run.without_masked(end.reason),
            output=output.model_dump(mode="json") if output is not None else None,
            undone=run.undone,
            decision=run.last_decision if end.status in (Status.COMPLETED, Status.REJECTED) else None,
            rule_at=end.rule_at,
            resubmit_after=end.resubmit_after,
        )
        return await close(run, self.messages, result)

    async def _roll_back(self, reason: str) -> None:
        await self._branches.stop_all()
        await self._compensation.recover()
        await self._compensation.roll_back(reason)

    async def _rounds(self, procedure: Callable[[RequestT], Awaitable[BaseModel | None]]) -> BaseModel | None:
        """Run the procedure and return its result.

        After a NextRound, undo the effects of the procedure, and run the procedure again with the new input.
        """
        run = self.state
        while True:
            try:
                return await procedure(run.case.input)
            except NextRound:
                await self._branches.stop_all()
                await self._compensation.recover()
                await self._compensation.undo_all()
                run.undone, run.deciders = [], {}

    # ---------------------------------------------------------------------------------- messages to a scheduled case

    @workflow.update(description="Start a scheduled case before its time")
    @reads_update
    def start_now(self, asked: StartNow) -> Status:
        """Start a scheduled case now and return its status. A second request with the same id gets the same answer."""
        return self._scheduled_start.start(asked)

    @start_now.validator
    @reads_signed_update
    def _check_start_now(self, asked: StartNow) -> None:
        self._scheduled_start.check(asked)

    @workflow.signal(
        description="Start a scheduled case before its time, without waiting for an answer; ignored after the start"
    )
    @reads_signed_signal
    def submit_start(self, asked: StartNow) -> None:
        """Start a scheduled case now, for a sender who does not wait for an answer; ignored after the start."""
        self._scheduled_start.submit(asked)
