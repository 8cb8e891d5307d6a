"""Gates of a case: open them by the policy, wait until they are passed, and have the requester make changes."""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import FailureError

from domain.gate import Gate
from domain.gate.opening import OpenedGate
from domain.leavers import fields_after_replacing
from domain.names import MAX_FACTS_BYTES
from domain.permissions import is_requester
from domain.ruling import GateRuling
from domain.status import Outcome, Status, Verdict
from domain.step import StepOptions
from domain.task import DecisionView
from domain.wording import Words
from workflows.engine.branches import Branches
from workflows.engine.endings import CaseEnds, NextRound
from workflows.engine.failures import failure_of
from workflows.engine.human_tasks import RETRY_OR_ROLL_BACK, HumanTasks, passed, raise_end_of, spoken
from workflows.engine.state import CaseRun
from workflows.engine.steps import note_round

CHANGES = "changes"
"""The gate of the task by which a requester makes changes."""
GATE_VERDICTS = (Verdict.APPROVE, Verdict.REJECT, Verdict.REQUEST_CHANGES, Verdict.ABSTAIN)


class GateAt(NamedTuple):
    """The name of a gate, and the facts that are shown to the people who decide there."""

    name: str
    facts: BaseModel | None = None


class Gates:
    """Opens the gates of a case and waits until they are passed."""

    def __init__(self, run: CaseRun, branches: Branches, tasks: HumanTasks, words: Words) -> None:
        self._run = run
        self._branches = branches
        self._tasks = tasks
        self._words = words

    async def pass_all(
        self, wanted: Sequence[GateAt], *, editable: bool = False, first_no_ends_all: bool = True
    ) -> None:
        """Wait until all these gates are passed, as `CaseWorkflow.gates` describes.

        `editable`: reviewers may change the input. Raises CaseEnds if a gate ends the case, NextRound if the requester
        changed the input.
        """
        with self._branches.branch():
            await self._branches.raise_if_stopped()
            _check_size(wanted)
            run, left = self._run, list(wanted)
            while left:
                gates, stops = await self._open_all(left, editable)
                if not gates:
                    run.passed_unwritten = True
                    return
                await self._tasks.wait_at(gates, Status.AWAITING_APPROVAL, first_no_ends_all=first_no_ends_all)
                for gate in gates:
                    raise_end_of(gate)
                run.passed_unwritten = True
                left = [stop for stop, gate in zip(stops, gates, strict=True) if not passed(gate)]
                if sent_back := next((gate for gate in gates if gate.outcome is Outcome.CHANGES_REQUESTED), None):
                    await self._make_changes(sent_back)

    async def _open_all(self, wanted: Sequence[GateAt], editable: bool) -> tuple[list[Gate], list[GateAt]]:
        """Open these gates. Return the gates where people must decide, each with the GateAt for which it was opened."""
        gates: list[Gate] = []
        stops: list[GateAt] = []
        for stop in wanted:
            beside = sum(gate.task.gate == stop.name for gate in gates)
            opening = await self._open(stop, editable, beside)
            if opening.task is not None:
                gates.append(self._tasks.gate_of(opening.task, opening.ruling))
                stops.append(stop)
            elif opening.ruling.decided == "reject":
                self._tasks.drop(gates)
                raise CaseEnds(
                    Status.REJECTED,
                    f"Rejected by rule at {spoken(stop.name)}: {opening.ruling.rule}",
                    rule_at=stop.name,
                )
        return gates, stops

    async def _open(self, stop: GateAt, editable: bool, beside: int) -> OpenedGate:
        """Get the ruling of the policy on a gate. If the policy gives no ruling, operators decide: retry or roll back.

        `beside` is how many new tasks of the same gate are not in `CaseRun.gates` yet. Raises CaseEnds.
        """
        run, name = self._run, stop.name
        facts = stop.facts.model_dump(mode="json") if stop.facts is not None else {}
        while True:
            await self._branches.raise_if_stopped()
            case = run.case
            run.show(self._words.gate(name, case.input, facts))
            excluded = [person for gate, people in run.deciders.items() if gate != name for person in people]
            excluded += [person for person in run.submitters if not is_requester(case, person)]
            task = run.new_task(name, run.doing, facts=facts, excluded=excluded, beside=beside)
            task = task.model_copy(
                update={
                    "verdicts": list(GATE_VERDICTS),
                    "editable": list(type(case.input).model_fields) if editable else [],
                    "round": run.round,
                    "changes": run.changes,
                }
            )
            try:
                return await run.journal.open_gate(task, **run.policy_input)
            except FailureError as error:
                await self._tasks.intervene(name, failure_of(error, StepOptions()), verdicts=RETRY_OR_ROLL_BACK)

    async def _make_changes(self, gate: Gate) -> None:
        """Wait until the requester, a substitute or the successor has made the changes and resubmits the case.

        Raises NextRound if the input changed; CaseEnds if nobody resubmits before the deadline.
        """
        run = self._run
        asked = gate.task.decisions[-1]
        case, limit = run.case, gate.ruling.changes_for
        task = run.new_task(CHANGES, f"{asked.by} asks for changes: {asked.comment}", facts=gate.task.facts)
        task = task.model_copy(update={"kind": "changes", "candidate_users": case.asked_for or [case.requester]})
        for leaver, successor in (await run.journal.count(task)).left.items():
            task = task.model_copy(update=fields_after_replacing(task, leaver, successor))
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
        changes_task = Gate(task, ruling)
        changes_task.uncertain = True  # The requester may be away, or have left.
        run.journal.note(
            "changes_requested",
            f"{asked.by} asks {whom} for changes: {asked.comment}",
            {
                "task_id": task.task_id,
                "gate": gate.task.gate,
                "requested_by": asked.by,
                "whom": whom,
                "comment": asked.comment,
            },
        )
        run.status = Status.AWAITING_CHANGES
        await run.write(opened=task)
        await self._tasks.wait_at([changes_task], Status.AWAITING_CHANGES)
        if changes_task.outcome is Outcome.EXPIRED:
            raise CaseEnds(Status.EXPIRED, f"{whom} did not make the changes in time.")
        note_round(run, run.changes_between(case.input, run.case.input))
        if run.changes:
            raise NextRound

    async def will_ask(self, stop: GateAt) -> bool:
        """Return True if people will decide at a gate, as `CaseWorkflow.will_ask` describes."""
        run = self._run
        facts = stop.facts.model_dump(mode="json") if stop.facts is not None else {}
        task = run.new_task(stop.name, self._words.gate(stop.name, run.case.input, facts), facts=facts)
        try:
            return (await run.journal.rule_again(task, **run.policy_input)).needed
        except FailureError:
            return True

    def approvals(self, name: str) -> list[DecisionView]:
        """Return the approvals by which a gate was passed in this round, as `CaseWorkflow.approvals` describes."""
        run = self._run
        asked = [gate for gate in run.gates.values() if gate.task.gate == name and gate.task.round == run.round]
        passed_by = [gate.task for gate in asked if passed(gate)]
        return [view for task in passed_by[-1:] for view in task.decisions if view.verdict is Verdict.APPROVE]


def _check_size(wanted: Sequence[GateAt]) -> None:
    """Raise CaseEnds if the facts of one of these gates have more than `MAX_FACTS_BYTES` as JSON."""
    for name, facts in wanted:
        if facts is not None and (size := len(facts.model_dump_json().encode())) > MAX_FACTS_BYTES:
            raise CaseEnds(
                Status.FAILED,
                f"What was found for {spoken(name)} is {size:,} bytes; at most {MAX_FACTS_BYTES:,} can be shown. "
                "Make the request smaller and submit again.",
            )
