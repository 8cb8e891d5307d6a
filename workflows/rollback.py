"""Rolling back a case whose own Workflow has ended: a completed one, or one that was ended in Temporal.

It goes by the plan that the record holds. The keys are those of the case, so whatever was undone before stays undone
once.
"""

from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

# The sandbox loads this file anew for each case, and these not: they are known to be deterministic, and large.
with workflow.unsafe.imports_passed_through():
    from domain.case import CaseResult
    from domain.names import INTERVENTION, ROLLBACK
    from domain.rollback import RollbackInput
    from domain.status import Outcome, Status, Verdict
    from domain.step import StepOptions
    from domain.task import DecisionView, TaskView
    from workflows.desk import CaseEnds, EndStands
    from workflows.failures import Failure, failure_of
    from workflows.reading import reads_update
    from workflows.unwinding import Unwinding
    from workflows.waiting import RETRY_OR_ROLL_BACK

LOST_VERDICTS = (Verdict.ROLL_BACK, Verdict.DONE_BY_HAND)
"""What can become of a case that can no longer go on by itself."""


class CalledOff(Exception):
    """Nothing is undone, and the case stays as it had ended."""


@workflow.defn(name="rollback")
class RollbackWorkflow(Unwinding):
    """Undo a case by its recorded plan.

    1. A completed case: those decide whom the policy names in `[<process>.gates.rollback]`, if it has that.
    2. A case that was ended in Temporal: operators decide whether to undo it.
    3. Everything is undone, newest first. If the receiver refuses the first undo, the case stays completed.
    """

    behind_a_gate = Status.ROLLING_BACK

    def __init__(self) -> None:
        super().__init__()
        self._begun: str | None = None
        """Once it is known whether the rollback goes on: empty, or why it does not."""

    @workflow.run
    async def run(self, asked: RollbackInput) -> CaseResult:
        return await self._conduct(asked, self._tell)

    @workflow.update(description="Answers as soon as people are asked or something is undone; else why nothing is")
    @reads_update
    async def begun(self) -> str:
        """Empty, or the reason for which the rollback was called off."""
        await workflow.wait_condition(lambda: self._begun is not None)
        return self._begun or ""

    async def _tell(self) -> CaseResult:
        case, asked = self._asked_for, self._asked_for.asked
        for undo in case.plan:
            self._saga.register(undo)
        ended = asked.ended or CaseResult(case_id=case.case_id, status=Status.FAILED, reason=asked.reason)
        try:
            end = await self._operators_decide() if asked.lost else await self._approved()
            await self._roll_back(asked.reason if asked.lost else f"{asked.by} asked for it: {asked.reason}")
        except CalledOff as off:
            self._goes_on(str(off))
            self._journal.note("rollback_called_off", f"Nothing was undone: {off}")
            return await self._close(ended, again=True)
        except EndStands as stands:
            return await self._close(stands.ended)
        self._goes_on()
        return await self._close(
            ended.model_copy(update={"status": end.status, "reason": end.reason, "undone": self._undone})
        )

    async def _approved(self) -> CaseEnds:
        """How a completed case ends once it is undone, after the people have approved whom the policy names.

        Raises CalledOff when they do not.
        """
        asked = self._asked_for.asked
        try:
            if ROLLBACK in self._asked_for.own_gates and not asked.begun:
                await self._ask()
        except CaseEnds as no:
            raise CalledOff(no.reason) from no
        return CaseEnds(Status.ROLLED_BACK, f"Rolled back by {asked.by}: {asked.reason}")

    async def _ask(self) -> None:
        """Stop at the gate. Raises CaseEnds with the reason when nobody, or not enough people, approve."""
        asked = self._asked_for.asked
        facts = {
            "asked_by": asked.by,
            "reason": asked.reason,
            "would_be_undone": [undo.summary for undo in self._saga.plan()],
        }
        question = self._question
        while True:
            self._show(question)
            task = self._task(ROLLBACK, question, facts=facts, excluded=[asked.by])
            task = task.model_copy(update={"verdicts": [Verdict.APPROVE, Verdict.REJECT, Verdict.ABSTAIN]})
            try:
                opening = await self._journal.open_gate(task, **self._seen)
                break
            except FailureError as error:
                self._goes_on()
                await self._mend(ROLLBACK, failure_of(error, StepOptions()), verdicts=RETRY_OR_ROLL_BACK)
        self._end_stands(opening.ended)
        self._goes_on()
        if opening.task is not None:
            gate = self._opened(opening.task, opening.ruling)
            await self._wait_at([gate], Status.AWAITING_APPROVAL)
            self._end_by(gate)
        elif opening.ruling.decided == "reject":
            raise CaseEnds(Status.REJECTED, f"Rejected by rule: {opening.ruling.rule}")

    async def _operators_decide(self) -> CaseEnds:
        """How a case ends that can no longer go on by itself. Raises EndStands when it was settled without us."""
        asked = self._asked_for.asked
        self._show(asked.reason)
        facts = {
            "step": "case",
            "cause": "The case was ended in Temporal before its time.",
            "error": asked.reason,
            "would_be_undone": [undo.summary for undo in self._saga.plan()],
        }
        self._goes_on()
        if asked.decided is not None and INTERVENTION not in self._asked_for.own_gates:
            if asked.decided.verdict is Verdict.DONE_BY_HAND:
                self._settle_all(Outcome.DONE_BY_HAND)
            return self._said_by(asked.decided)
        gate = await self._intervention(asked.reason, facts, LOST_VERDICTS, endless=True)
        try:
            await self._wait_at([gate], Status.NEEDS_INTERVENTION)
        except CaseEnds as cancelled:
            return cancelled
        if gate.outcome is Outcome.DONE_BY_HAND:
            self._settle_all(gate.outcome)
        return self._said_by(gate.task.decisions[-1])

    def _settle_all(self, outcome: Outcome) -> None:
        while undo := self._saga.newest():
            self._settled(undo, outcome)
            self._saga.settle(undo)

    def _said_by(self, said: DecisionView) -> CaseEnds:
        told = f"{said.by}: {said.verdict.replace('_', ' ')}. {said.comment}"
        return CaseEnds(Status.FAILED, f"{self._asked_for.asked.reason} {told}".rstrip())

    def _undo_refused(self, failure: Failure) -> None:
        asked = self._asked_for.asked
        if failure.refused and asked.ended is not None and not asked.begun and not self._undone:
            raise CalledOff(failure.said)
        self._goes_on()

    def _goes_on(self, but: str = "") -> None:
        """It is known now whether the rollback goes on; the first answer stands."""
        if self._begun is None:
            self._begun = but

    # ------------------------------------------------------------------------------------------------------ small parts

    @property
    def _asked_for(self) -> RollbackInput:
        case = self._started
        assert isinstance(case, RollbackInput)
        return case

    @property
    def _input_json(self) -> dict[str, Any]:
        return self._asked_for.input

    @property
    def _question(self) -> str:
        asked = self._asked_for.asked
        return f"Take back what was completed? {asked.by} asks for it: {asked.reason}"

    def _shown(self, task: TaskView | None) -> dict[str, Any]:
        case = self._asked_for
        shown = {"title": case.title, "key_fields": case.key_fields, "input": case.shown, "money": case.money}
        return shown | ({"summary": self._question} if task else {})
