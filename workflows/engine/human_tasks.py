"""Human tasks: wait until the tasks of a case have an outcome, and open tasks by which operators deal with failures."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

from domain.gate import Gate
from domain.moments import until
from domain.names import INTERVENTION
from domain.permissions import voters
from domain.ruling import GateRuling
from domain.status import Outcome, Status, Verdict
from domain.step import StepOptions
from domain.task import TaskView
from workflows.engine.branches import Branches
from workflows.engine.endings import CaseEnds
from workflows.engine.failures import Failure, failure_of
from workflows.engine.messages import Messages
from workflows.engine.state import CaseRun

RETRY_OR_ROLL_BACK = (Verdict.RETRY, Verdict.ROLL_BACK)
"""The verdicts of operators on a gate that cannot be opened or decided.

Operators must not skip the people who decide at the gate.
"""

LATE = timedelta(seconds=30)
"""If storing a task takes at least this time, all times of the task are moved.

Without this move, the task could expire before people have seen it.
"""


class HumanTasks:
    """Opens tasks for people, and waits for their outcomes."""

    def __init__(self, run: CaseRun, branches: Branches, messages: Messages) -> None:
        self._run = run
        self._branches = branches
        self._messages = messages

    # --------------------------------------------------------------------------------------------------------- waiting

    async def wait_at(self, gates: Sequence[Gate], status: Status, *, first_no_ends_all: bool = True) -> None:
        """Wait until all these tasks have an outcome. Meanwhile, the case has this status.

        A cancellation closes the tasks, unless the case is rolling back. Raises CaseEnds if the case is cancelled or
        operators roll it back, BranchStops if another branch has ended the procedure.
        """
        run = self._run
        for gate in gates:
            self._add(gate)
        outer = run.waiting_at, run.first_no_ends_all  # Operators may be asked while the case waits at a gate.
        run.waiting_at, run.first_no_ends_all = gates, first_no_ends_all
        try:
            await self._wait(gates, status)
        finally:
            run.waiting_at, run.first_no_ends_all = outer

    def _add(self, gate: Gate) -> None:
        run, task_id = self._run, gate.task.task_id
        run.gates[task_id] = gate
        # People changed while the task was being stored, before this Workflow knew the task.
        gate.uncertain |= task_id in run.early_recounts

    async def _wait(self, gates: Sequence[Gate], status: Status) -> None:
        run = self._run
        run.set_status(status, gates[0])
        run.show(gates[0].task.summary)
        self._submit_early_decisions(gates)
        closed: list[Gate] = []
        help_task: Gate | None = None
        must_stop = self._branches.stop_condition()
        while not self._all_closed(gates, closed, must_stop):
            waiting = [*gates, *([help_task] if help_task else [])]
            if run.journal.unwritten:
                await run.write()
            elif unsure := next((gate for gate in waiting if gate.open and (gate.edited or gate.uncertain)), None):
                try:
                    await self._update(unsure)
                except CaseEnds:
                    self.drop(waiting)
                    raise
            elif help_task is not None and not help_task.open:
                self._helped(help_task, [gate for gate in gates if gate.open], status)
                help_task = None
            elif (short := _short_of_people(gates)) is not None and help_task is None:
                help_task = await self._ask_for_help(short)
            elif short is None and help_task is not None:  # There are again people who can decide.
                self.drop([help_task])
                run.set_status(status)
                help_task = None
            else:
                await self._until_message_or_timer(waiting, must_stop)
                for gate in waiting:
                    for fired in gate.fire_timers(workflow.now()):
                        run.journal.note_task(gate, fired)
                run.show(next((gate for gate in gates if gate.open), gates[0]).task.summary)
        if help_task is not None:
            self.drop([help_task])
        if all(passed(gate) for gate in gates):
            run.status, run.attributes_late = run.status_after_gate, True
        final = (Outcome.REJECTED, Outcome.REJECTED_BY_RULE, Outcome.EXPIRED, Outcome.ROLL_BACK)
        if not any(gate.outcome in final for gate in gates):
            # Not after a rejection: its sender has a receipt that says so, and a later cancellation does not change it.
            await self._branches.raise_if_stopped()

    def _submit_early_decisions(self, gates: Sequence[Gate]) -> None:
        """Apply or refuse the decisions on these tasks that came before the tasks were open."""
        run, task_ids = self._run, {gate.task.task_id for gate in gates}
        early = [decision for decision in run.early_decisions if decision.task_id in task_ids]
        run.early_decisions = [decision for decision in run.early_decisions if decision.task_id not in task_ids]
        self._messages.submit_early_decisions(early)

    def _all_closed(self, gates: Sequence[Gate], closed: list[Gate], must_stop: Callable[[], bool]) -> bool:
        """Close tasks that have an outcome, or that need no decision any more. Return True if all are closed.

        `closed` are the tasks that were closed before; tasks closed since are added.
        """
        for gate in gates:
            if not gate.open and gate not in closed:
                closed.append(gate)
                self._close(gate)
        no = any(not passed(gate) for gate in closed) and (self._run.first_no_ends_all or _sent_back(closed))
        if no or must_stop():
            self.drop(gates)
        return not any(gate.open for gate in gates)

    async def _until_message_or_timer(self, gates: Sequence[Gate], must_stop: Callable[[], bool]) -> None:
        waiting = [gate for gate in gates if gate.open]
        timer = min((t for gate in waiting if (t := gate.next_timer())), key=lambda timer: timer.at, default=None)
        wait = until(timer.at, workflow.now()) if timer else None
        journal, signals = self._run.journal, self._run.signals
        if wait == timedelta(0):
            await signals.caught_up()
            return
        try:
            await workflow.wait_condition(
                lambda: (
                    any(not gate.open or gate.edited or gate.uncertain for gate in waiting)
                    or journal.unwritten
                    or must_stop()
                ),
                timeout=wait,
                timeout_summary=timer.label if timer else None,
            )
        except TimeoutError:
            await signals.caught_up()  # A decision that arrived before the timer counts before the timer.

    def _close(self, gate: Gate) -> None:
        """Record the outcome of a task, and its deciders, because deciders of one gate usually decide no other gate."""
        run, task = self._run, gate.task
        run.journal.store_task(gate)
        assert gate.outcome is not None
        said = gate.closed_because or gate.outcome.value.replace("_", " ")
        run.journal.note(
            "gate_closed",
            f"{spoken(task.gate).capitalize()}: {said}",
            {"task_id": task.task_id, "gate": task.gate, "outcome": gate.outcome.value},
        )
        if task.kind == "gate":
            if gate.outcome in (Outcome.APPROVED, Outcome.REJECTED) and task.decisions:
                run.last_decision = task.decisions[-1]
            run.deciders.setdefault(task.gate, []).extend(voters(task))
        elif task.kind == "changes":
            # A person who resubmits instead of the requester must not decide either.
            run.submitters += voters(task)

    def drop(self, gates: Sequence[Gate]) -> None:
        """Close those of the tasks that are open, because nobody needs to decide them any more."""
        for gate in gates:
            if gate.open:
                self._run.gates[gate.task.task_id] = gate
                gate.close(Outcome.CANCELLED, workflow.now())
                self._close(gate)

    def gate_of(self, task: TaskView, ruling: GateRuling) -> Gate:
        """Return the gate of a stored task. If storing the task took `LATE` or longer, move its times by that time."""
        late = workflow.now() - task.opened_at
        if late < LATE:
            return Gate(task, ruling)
        ruling = ruling.later(late)
        moved = {"due_at": ruling.due_at, "expires_at": ruling.expires_at, "shifted": late}
        gate = Gate(task.model_copy(update=moved), ruling)
        self._run.journal.store_task(gate)
        data = {"task_id": task.task_id, "gate": task.gate, "seconds": int(late.total_seconds())}
        self._run.journal.note("clock_moved", f"The task was stored late; its clock is moved by {late}", data)
        return gate

    # ----------------------------------------------------------------------- edited input, and people who have changed

    async def _update(self, gate: Gate) -> None:
        """Update a gate after a change. Get a ruling on an edited input, or count again who can decide the gate.

        Raises CaseEnds if the policy gives no ruling and operators roll the case back or do not decide in time, or if
        the case is cancelled.
        """
        run = self._run
        if gate.edited:
            try:
                ruling = await run.journal.rule_again(gate.task, **run.policy_input)
            except FailureError as error:
                await self.intervene(gate.task.gate, failure_of(error, StepOptions()), verdicts=RETRY_OR_ROLL_BACK)
            else:
                run.journal.note_task(gate, gate.adopt(ruling, workflow.now()))
            return
        gate.uncertain = False  # Reset before people are read: a change during the read makes it uncertain again.
        present = await run.journal.count(gate.task)
        for leaver, successor in present.left.items():
            run.journal.note_task(gate, gate.replace(leaver, successor, workflow.now()))
        if not present.left:
            for happened in gate.count(present, workflow.now()):
                run.journal.note_task(gate, happened)

    async def _ask_for_help(self, gate: Gate) -> Gate:
        """Ask operators about a task that too few people can decide: operators add people and retry, or roll back."""
        self._run.set_status(Status.NEEDS_INTERVENTION)
        said = f"Too few people are left to decide: {gate.short}. Add people and retry, or roll back."
        facts = {"step": gate.task.gate, "failure": "NobodyCanDecide", "cause": said}
        help_task = await self.open_intervention(said, facts, RETRY_OR_ROLL_BACK, endless=True)
        self._add(help_task)
        return help_task

    def _helped(self, help_task: Gate, gates: Sequence[Gate], status: Status) -> None:
        """Follow the decision of operators on a help task.

        Count the people of these tasks again, or raise CaseEnds to roll back the case.
        """
        self._close(help_task)
        if help_task.outcome is Outcome.ROLL_BACK:
            self.drop(gates)
            raise CaseEnds(Status.FAILED, help_task.task.summary)
        self._run.set_status(status)
        for gate in gates:
            gate.uncertain, gate.short = True, ""

    # --------------------------------------------------------------------------------------------------- interventions

    async def intervene(
        self, name: str, failure: Failure, *, verdicts: Sequence[Verdict], editable: bool = False, undoing: bool = False
    ) -> Gate:
        """Ask operators about a step, an undo or the opening of a gate that has failed for good. Return the task of the
        operators.

        `editable`: operators may change the input. `undoing`: an undo failed, and only the answer of operators ends the
        task. Raises CaseEnds when operators roll the case back, when the case is cancelled, or when operators do not
        answer before the deadline, if the policy sets one.
        """
        run = self._run
        said = run.without_masked(f"{run.doing}: failed. {failure.said}{failure.tried}")
        facts = failure.facts(name)
        run.journal.note("undo_failed" if undoing else "step_failed", said, {"what": run.doing, **facts})
        before = run.status
        gate = await self.open_intervention(said, facts, verdicts, editable=editable, endless=undoing)
        await self.wait_at([gate], Status.NEEDS_INTERVENTION)
        if gate.outcome is Outcome.ROLL_BACK:
            raise CaseEnds(Status.FAILED, said)
        if gate.outcome is Outcome.EXPIRED:
            raise CaseEnds(Status.FAILED, f"{said} Nobody answered in time.")
        run.set_status(before)
        await run.write()
        return gate

    async def open_intervention(
        self,
        summary: str,
        facts: dict[str, Any],
        verdicts: Sequence[Verdict],
        *,
        editable: bool = False,
        endless: bool = False,
    ) -> Gate:
        """Store a task by which operators choose a verdict. The policy may say who decides, how many people, and until
        when.

        `endless`: the task does not expire, whatever the policy says. A failed undo needs `endless`, because only an
        answer can end its task.
        """
        run, case = self._run, self._run.case
        rule, operators = "its attempts have ended", case.operators
        whom = ", ".join(operators)
        task = run.new_task(INTERVENTION, summary, facts=facts)
        task = task.model_copy(
            update={
                "kind": "intervention",
                "candidate_groups": operators,
                "verdicts": list(verdicts),
                "substitutes": "same-group",
                "editable": list(type(case.input).model_fields) if editable else [],
                "rule": rule,
            }
        )
        if INTERVENTION in case.own_gates:
            try:
                opening = await run.journal.open_gate(task, **run.policy_input)
            except FailureError as error:
                why = failure_of(error, StepOptions()).said
                run.journal.note(
                    "intervention_by_default",
                    f"The policy gives no ruling on this incident, so {whom} must decide. {why}",
                    {"reason": why},
                )
            else:
                if opening.task is not None:
                    ruling = opening.ruling.model_copy(update={"expires_at": None}) if endless else opening.ruling
                    return Gate(opening.task.model_copy(update={"expires_at": ruling.expires_at}), ruling)
        answers = ", ".join(verdict.replace("_", " ") for verdict in task.verdicts)
        data = {"task_id": task.task_id, "verdicts": [verdict.value for verdict in task.verdicts]}
        run.journal.note("intervention_opened", f"Waits for {whom}: {answers}", data)
        run.status = Status.NEEDS_INTERVENTION
        await run.write(opened=task)
        return Gate(task, GateRuling(needed=True, rule=rule, groups=operators, separation_of_duties=False))


def raise_end_of(gate: Gate) -> None:
    """Raise CaseEnds if the outcome of this gate ends the case."""
    name = spoken(gate.task.gate)
    match gate.outcome:
        case Outcome.EXPIRED:
            raise CaseEnds(Status.EXPIRED, f"Nobody decided {name} in time.")
        case Outcome.REJECTED_BY_RULE:
            raise CaseEnds(Status.REJECTED, f"Rejected by rule at {name}: {gate.task.rule}", rule_at=gate.task.gate)
        case Outcome.REJECTED:
            last = next(view for view in reversed(gate.task.decisions) if view.verdict is Verdict.REJECT)
            why = f": {last.comment}" if last.comment else "."
            raise CaseEnds(Status.REJECTED, f"Rejected by {last.by} at {name}{why}")


def passed(gate: Gate) -> bool:
    """Return True if the case continues after this gate."""
    return gate.outcome in (Outcome.APPROVED, Outcome.APPROVED_BY_RULE)


def spoken(name: str) -> str:
    """Return the name of a gate as people read it, with spaces."""
    return name.replace("-", " ")


def _short_of_people(gates: Sequence[Gate]) -> Gate | None:
    """Return the first open gate that too few people can decide.

    Interventions are not considered, because operators decide them already.
    """
    return next((gate for gate in gates if gate.open and gate.short and gate.task.kind != "intervention"), None)


def _sent_back(gates: Sequence[Gate]) -> bool:
    return any(gate.outcome is Outcome.CHANGES_REQUESTED for gate in gates)
