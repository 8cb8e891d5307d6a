"""Waiting for people: at gates, until each has an outcome, and at the tasks by which operators deal with a failure."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

from domain.case import CaseResult
from domain.names import INTERVENTION, OPERATORS
from domain.ruling import GateRuling
from domain.status import Outcome, Status, Verdict
from domain.step import StepOptions
from domain.task import TaskView
from workflows.bounds import until
from workflows.desk import CaseEnds, Desk, EndStands, spoken
from workflows.failures import Failure, failure_of
from workflows.gate import Gate
from workflows.people import voters

RETRY_OR_ROLL_BACK = (Verdict.RETRY, Verdict.ROLL_BACK)
"""Where there is nothing that could be skipped: nobody goes round people."""

LATE = timedelta(seconds=30)
"""How long storing a task may take before its clock is moved: an expiry must not come before anybody saw the task."""


class Waiting(Desk):
    """Puts tasks before people and waits."""

    async def _wait_at(self, gates: Sequence[Gate], status: Status, *, first_no_ends_all: bool = True) -> None:
        """Until all gates have an outcome; a cancellation of a case that is still going forward closes them."""
        for gate in gates:
            self._gates[gate.task.task_id] = gate
            # People changed while it was being stored, and its Workflow was told before it knew of the task.
            gate.uncertain |= gate.task.task_id in self._recounts_early
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
        halts = self._halting()
        while True:
            for gate in gates:
                if not gate.open and gate not in closed:
                    closed.append(gate)
                    self._close_gate(gate)
            if not any(gate.open for gate in gates):
                break
            if halts():
                self._drop([gate for gate in gates if gate.open])
                closed = list(gates)
                break
            if any(not passed(gate) for gate in closed) and (self._first_no_ends_all or sent_back(closed)):
                self._drop([gate for gate in gates if gate.open])
                closed = list(gates)
                break
            if self._journal.unwritten:
                await self._write()
                continue
            waiting = [*gates, *([helped] if helped else [])]
            if unsure := next((gate for gate in waiting if gate.open and (gate.edited or gate.uncertain)), None):
                try:
                    await self._look_again(unsure)
                except CaseEnds:
                    self._drop([gate for gate in waiting if gate.open])
                    raise
                continue
            if helped is not None and not helped.open:
                self._helped(helped, [gate for gate in gates if gate.open], status)
                helped = None
                continue
            short = next(
                (gate for gate in gates if gate.open and gate.short and gate.task.kind != "intervention"), None
            )
            if short is not None and helped is None:
                helped = await self._ask_for_help(short)
                continue
            if short is None and helped is not None:  # people have come who can decide
                self._drop([helped])
                self._set_status(status)
                helped = None
                continue
            await self._until_message_or_alarm(waiting, halts)
            for gate in waiting:
                for rang in gate.ring(workflow.now()):
                    self._happened(gate, rang)
            self._show(next((gate for gate in gates if gate.open), gates[0]).task.summary)
        if helped is not None:
            self._drop([helped])
        if all(passed(gate) for gate in gates):
            self._set_status(self.behind_a_gate)
        stands = (Outcome.REJECTED, Outcome.REJECTED_BY_RULE, Outcome.EXPIRED, Outcome.ROLL_BACK)
        if not any(gate.outcome in stands for gate in gates):
            self._stop_if_cancelled()  # after a no, the no stands: whoever said it was told so

    def _close_gate(self, gate: Gate) -> None:
        """Write down how a gate ended, and who decided it: they decide no other of this case."""
        self._journal.changed(gate)
        assert gate.outcome is not None
        said = gate.closed_because or gate.outcome.value.replace("_", " ")
        self._journal.note(
            "gate_closed",
            f"{spoken(gate.task.gate).capitalize()}: {said}",
            {"task_id": gate.task.task_id, "gate": gate.task.gate, "outcome": gate.outcome.value},
        )
        if gate.task.kind == "gate":
            if gate.outcome in (Outcome.APPROVED, Outcome.REJECTED) and gate.task.decisions:
                self._answer = gate.task.decisions[-1]
            self._deciders.setdefault(gate.task.gate, []).extend(voters(gate.task))
        elif gate.task.kind == "changes":
            # Somebody in the requester's place asks as the requester does, and decides as little.
            self._submitters += voters(gate.task)

    async def _look_again(self, gate: Gate) -> None:
        """Find the rules for an edited input, or whether the task can still be decided."""
        if gate.edited:
            try:
                ruling = await self._journal.rule_again(gate.task, **self._seen)
            except FailureError as error:
                await self._mend(gate.task.gate, failure_of(error, StepOptions()), verdicts=RETRY_OR_ROLL_BACK)
            else:
                self._happened(gate, gate.adopt(ruling, workflow.now()))
            return
        gate.uncertain = False  # before people are read: what changes while they are read makes it uncertain again
        present = await self._journal.count(gate.task)
        for leaver, successor in present.left.items():
            self._happened(gate, gate.replace(leaver, successor, workflow.now()))
        if not present.left:
            for happened in gate.count(present, workflow.now()):
                self._happened(gate, happened)

    async def _ask_for_help(self, gate: Gate) -> Gate:
        """Ask operators about a gate that nobody can decide: they add people and have it looked at, or roll back."""
        self._set_status(Status.NEEDS_INTERVENTION)
        said = f"Nobody is left to decide: {gate.short}"
        facts = {"step": gate.task.gate, "cause": said}
        helped = await self._intervention(said, facts, RETRY_OR_ROLL_BACK, endless=True)
        self._gates[helped.task.task_id] = helped
        helped.uncertain |= helped.task.task_id in self._recounts_early
        return helped

    def _helped(self, helped: Gate, gates: Sequence[Gate], status: Status) -> None:
        """Operators have answered that a gate has too few people: count again, or roll back."""
        self._close_gate(helped)
        if helped.outcome is Outcome.ROLL_BACK:
            self._drop(gates)
            raise CaseEnds(Status.FAILED, helped.task.summary)
        self._set_status(status)
        for gate in gates:
            gate.uncertain, gate.short = True, ""

    async def _until_message_or_alarm(self, gates: Sequence[Gate], halts: Callable[[], bool]) -> None:
        waiting = [gate for gate in gates if gate.open]
        alarm = min((a for gate in waiting if (a := gate.next_alarm())), key=lambda alarm: alarm.at, default=None)
        wait = until(alarm.at, workflow.now()) if alarm else None
        if wait == timedelta(0):
            return
        try:
            await workflow.wait_condition(
                lambda: (
                    any(not gate.open or gate.edited or gate.uncertain for gate in waiting)
                    or self._journal.unwritten
                    or halts()
                ),
                timeout=wait,
                timeout_summary=alarm.words if alarm else None,
            )
        except TimeoutError:
            return

    def _end_by(self, gate: Gate) -> None:
        """End the case if this gate says so."""
        name = spoken(gate.task.gate)
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

    def _opened(self, task: TaskView, ruling: GateRuling) -> Gate:
        """The gate of a task. Where an outage kept the task from people, its clock starts when they can see it."""
        late = workflow.now() - task.opened_at
        if late < LATE:
            return Gate(task, ruling)
        ruling = ruling.later(late)
        moved = {"due_at": ruling.due_at, "expires_at": ruling.expires_at, "shifted": late}
        gate = Gate(task.model_copy(update=moved), ruling)
        self._journal.changed(gate)
        self._journal.note("clock_moved", f"The task was stored late; its clock is moved by {late}")
        return gate

    # ------------------------------------------------------------------------------------------------------- operators

    async def _mend(
        self, name: str, failure: Failure, *, verdicts: Sequence[Verdict], editable: bool = False, undoing: bool = False
    ) -> Gate:
        """Ask operators about a step, an undo or the opening of a gate that has failed for good; answer their task.

        Raises CaseEnds where they roll the case back, or nobody answers before the deadline that the policy sets.
        """
        said = f"{self._step}: failed. {failure.said}{failure.tried}"
        facts = failure.facts(name)
        self._journal.note("undo_failed" if undoing else "step_failed", said, facts)
        before = self._status
        gate = await self._intervention(said, facts, verdicts, editable=editable, endless=undoing)
        await self._wait_at([gate], Status.NEEDS_INTERVENTION)
        if gate.outcome is Outcome.ROLL_BACK:
            raise CaseEnds(Status.FAILED, said)
        if gate.outcome is Outcome.EXPIRED:
            raise CaseEnds(Status.FAILED, f"{said} Nobody answered in time.")
        self._set_status(before)
        await self._write()
        return gate

    async def _intervention(
        self,
        summary: str,
        facts: dict[str, Any],
        verdicts: Sequence[Verdict],
        *,
        editable: bool = False,
        endless: bool = False,
    ) -> Gate:
        """The task by which operators choose, stored. The policy may say who they are, how many, and until when.

        `endless`: without an end by the clock, for where nothing could follow from it.
        """
        case = self._started
        task = self._task(INTERVENTION, summary, facts=facts)
        fields = list(type(case.input).model_fields) if editable else []
        rule = "its attempts have ended"
        task = task.model_copy(
            update={
                "kind": "intervention",
                "candidate_groups": [OPERATORS],
                "verdicts": list(verdicts),
                "substitutes": "same-group",
                "editable": fields,
                "rule": rule,
            }
        )
        if INTERVENTION in case.own_gates:
            try:
                opening = await self._journal.open_gate(task, **self._seen)
            except FailureError as error:
                why = failure_of(error, StepOptions()).said
                self._journal.note(
                    "intervention_by_default", f"The policy has no answer here, so {OPERATORS} are asked. {why}"
                )
            else:
                self._end_stands(opening.ended)
                if opening.task is not None:
                    ruling = opening.ruling.model_copy(update={"expires_at": None}) if endless else opening.ruling
                    return Gate(opening.task.model_copy(update={"expires_at": ruling.expires_at}), ruling)
        answers = ", ".join(verdict.replace("_", " ") for verdict in task.verdicts)
        self._journal.note("intervention_opened", f"Waits for {OPERATORS}: {answers}", {"task_id": task.task_id})
        self._status = Status.NEEDS_INTERVENTION
        await self._write(opened=task)
        return Gate(task, GateRuling(needed=True, rule=rule, groups=[OPERATORS], separation_of_duties=False))

    def _end_stands(self, ended: CaseResult | None) -> None:
        if ended is not None:
            raise EndStands(ended)


def passed(gate: Gate) -> bool:
    """Whether the case goes on behind this gate."""
    return gate.outcome in (Outcome.APPROVED, Outcome.APPROVED_BY_RULE)


def sent_back(gates: Sequence[Gate]) -> bool:
    """Whether one of the gates wants changes."""
    return any(gate.outcome is Outcome.CHANGES_REQUESTED for gate in gates)
