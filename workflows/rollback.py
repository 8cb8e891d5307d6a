"""The rollback of a case whose own Workflow has ended: a completed case, or a case that was ended in Temporal.

The plan comes from the database. Its undos have the idempotency keys of the case, so each effect is undone once only.
"""

from collections.abc import Mapping
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

# The sandbox imports this file again for each Workflow, but not these modules: they are deterministic and large.
with workflow.unsafe.imports_passed_through():
    from domain.case import CaseInput, CaseResult
    from domain.masking import hidden_values, without
    from domain.names import INTERVENTION, ROLLBACK
    from domain.rollback import RollbackInput
    from domain.status import Outcome, Status, Verdict
    from domain.step import StepOptions
    from domain.task import DecisionView, TaskView
    from workflows.engine.branches import Branches
    from workflows.engine.compensation import Compensation
    from workflows.engine.endings import AlreadyEnded, CaseEnds
    from workflows.engine.failures import Failure, failure_of
    from workflows.engine.human_tasks import RETRY_OR_ROLL_BACK, HumanTasks, raise_end_of
    from workflows.engine.lifecycle import close, run_to_end
    from workflows.engine.message_handlers import MessageHandlers
    from workflows.engine.read_messages import reads_update

LOST_VERDICTS = (Verdict.ROLL_BACK, Verdict.DONE_BY_HAND)
"""The verdicts that operators can choose for a case that was ended in Temporal."""


class CalledOff(Exception):
    """Raised to stop a rollback before anything is undone: the case keeps its end."""


class RollbackPresentation:
    """How a rollback shows its case: with the same input that the case's own Workflow showed."""

    def input_json(self, case: CaseInput[Any]) -> dict[str, Any]:
        return _rollback(case).input

    def masked(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError(f"nobody may edit the input in a rollback: {sorted(stored)}")

    def without_masked(self, case: CaseInput[Any], said: Any) -> Any:
        whole = _rollback(case)
        return without(said, list(hidden_values(whole.input, whole.shown)))

    def task_fields(self, case: CaseInput[Any], task: TaskView | None) -> dict[str, Any]:
        whole = _rollback(case)
        shown = {"title": whole.title, "key_fields": whole.key_fields, "input": whole.shown, "money": whole.money}
        return shown | ({"summary": _question(whole)} if task else {})


@workflow.defn(name="rollback")
class RollbackWorkflow(MessageHandlers):
    """Undo a case by its stored plan.

    1. A completed case: people decide, if the policy has `[<process>.gates.rollback]`.
    2. A case that was ended in Temporal: operators decide whether to undo it.
    3. Everything is undone, newest first. If the receiver refuses the first undo of a completed case, the case stays
       completed.
    """

    def __init__(self) -> None:
        super().__init__(RollbackPresentation(), status_after_gate=Status.ROLLING_BACK)
        self._tasks = HumanTasks(self.state, Branches(self.state), self.messages)
        self._compensation = Compensation(self.state, self._tasks, on_failure=self._undo_failed)
        self._begun: str | None = None
        """None until the Update `begun` can be answered.

        Afterwards, this is the answer of `begun`: an empty text, or the reason why nothing was undone.
        """

    @workflow.run
    async def run(self, rollback: RollbackInput) -> CaseResult:
        return await run_to_end(self.state, self.messages, rollback, self._follow)

    @workflow.update(description="Answers as soon as people are asked or something is undone; else why nothing is")
    @reads_update
    async def begun(self) -> str:
        """Wait until people are asked, an attempt of an undo fails, everything is undone, or the rollback is called
        off.

        Return the reason why nothing was undone if the rollback is called off before the other events; otherwise an
        empty text.
        """
        await workflow.wait_condition(lambda: self._begun is not None)
        return self._begun or ""

    async def _follow(self) -> CaseResult:
        """Ask people if this is needed, undo the case, and close it. Return the result of the case."""
        run, case, asked = self.state, self._rollback, self._rollback.asked
        for undo in case.plan:
            run.saga.register(undo)
        ended = asked.ended or CaseResult(case_id=case.case_id, status=Status.FAILED, reason=asked.reason)
        try:
            end = await self._operators_decide() if asked.lost else await self._approved()
            reason = asked.reason if asked.lost else f"{asked.by} asked for it: {asked.reason}"
            await self._compensation.roll_back(reason)
        except CalledOff as off:
            self._answer_begun(str(off))
            run.journal.note("rollback_called_off", f"Nothing was undone: {off}", {"reason": str(off)})
            return await close(run, self.messages, ended, again=True)
        except AlreadyEnded as already:
            return await close(run, self.messages, already.ended)
        self._answer_begun()
        result = ended.model_copy(update={"status": end.status, "reason": end.reason, "undone": run.undone})
        return await close(run, self.messages, result)

    async def _approved(self) -> CaseEnds:
        """Ask people for approval, and return the end of a completed case after its rollback.

        Raises CalledOff if people or a rule do not approve.
        """
        asked = self._rollback.asked
        try:
            if ROLLBACK in self._rollback.own_gates and not asked.begun:
                await self._ask()
        except CaseEnds as no:
            raise CalledOff(no.reason) from no
        return CaseEnds(Status.ROLLED_BACK, f"Rolled back by {asked.by}: {asked.reason}")

    async def _ask(self) -> None:
        """Wait until people or a rule approve the rollback at its gate.

        Raises CaseEnds with the reason if people or a rule do not approve.
        """
        run, asked = self.state, self._rollback.asked
        facts = {
            "asked_by": asked.by,
            "reason": asked.reason,
            "would_be_undone": [undo.summary for undo in run.saga.plan()],
        }
        question = _question(self._rollback)
        while True:
            run.show(question)
            task = run.new_task(ROLLBACK, question, facts=facts, excluded=[asked.by])
            task = task.model_copy(update={"verdicts": [Verdict.APPROVE, Verdict.REJECT, Verdict.ABSTAIN]})
            try:
                opening = await run.journal.open_gate(task, **run.policy_input)
                break
            except FailureError as error:
                self._answer_begun()
                await self._tasks.intervene(ROLLBACK, failure_of(error, StepOptions()), verdicts=RETRY_OR_ROLL_BACK)
        self._answer_begun()
        if opening.task is not None:
            gate = self._tasks.gate_of(opening.task, opening.ruling)
            await self._tasks.wait_at([gate], Status.AWAITING_APPROVAL)
            raise_end_of(gate)
        elif opening.ruling.decided == "reject":
            raise CaseEnds(Status.REJECTED, f"Rejected by rule: {opening.ruling.rule}")

    async def _operators_decide(self) -> CaseEnds:
        """Ask operators about a case that was ended in Temporal, and return how the case ends.

        Raises AlreadyEnded if the database already holds another end of the case.
        """
        run, rollback, asked = self.state, self._rollback, self._rollback.asked
        run.show(asked.reason)
        facts = {
            "step": "case",
            "failure": "EndedInTemporal",
            "cause": "The case was ended in Temporal before its time.",
            "error": asked.reason,
            "would_be_undone": [undo.summary for undo in run.saga.plan()],
        }
        self._answer_begun()
        if asked.decided is not None and INTERVENTION not in rollback.own_gates:
            if asked.decided.verdict is Verdict.DONE_BY_HAND:
                self._settle_all()
            return self._end_by(asked.decided)
        gate = await self._tasks.open_intervention(asked.reason, facts, LOST_VERDICTS, endless=True)
        try:
            await self._tasks.wait_at([gate], Status.NEEDS_INTERVENTION)
        except CaseEnds as cancelled:
            return cancelled
        if gate.outcome is Outcome.DONE_BY_HAND:
            self._settle_all()
        return self._end_by(gate.task.decisions[-1])

    def _settle_all(self) -> None:
        """Record that operators have done every undo by hand."""
        saga = self.state.saga
        while undo := saga.newest():
            self._compensation.note_settled(undo, Outcome.DONE_BY_HAND)
            saga.settle(undo)

    def _end_by(self, answer: DecisionView) -> CaseEnds:
        told = f"{answer.by}: {answer.verdict.replace('_', ' ')}. {answer.comment}"
        return CaseEnds(Status.FAILED, f"{self._rollback.asked.reason} {told}".rstrip())

    def _undo_failed(self, failure: Failure) -> None:
        """Raise CalledOff if the receiver refuses the first undo of a completed case, because nothing is undone yet."""
        asked = self._rollback.asked
        if failure.refused and asked.ended is not None and not asked.begun and not self.state.undone:
            raise CalledOff(failure.said)
        self._answer_begun()

    def _answer_begun(self, called_off: str = "") -> None:
        """Set the answer of the Update `begun`: an empty text, or the reason why nothing is undone.

        Only the first answer counts.
        """
        if self._begun is None:
            self._begun = called_off

    @property
    def _rollback(self) -> RollbackInput:
        return _rollback(self.state.case)


def _rollback(case: CaseInput[Any]) -> RollbackInput:
    assert isinstance(case, RollbackInput)
    return case


def _question(rollback: RollbackInput) -> str:
    asked = rollback.asked
    return f"Take back what was completed? {asked.by} asks for it: {asked.reason}"
