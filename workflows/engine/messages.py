"""Messages to a case: decisions and actions of people, cancellations, and news of other Workflows.

A decision or an action comes as an Update, whose sender waits for the answer, or as a Signal where no worker answered.
This module validates Updates and Signals by the same rules.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import BaseModel
from temporalio import workflow

from domain.base import FieldChange
from domain.gate import Gate
from domain.messages import Act, Action, Cancellation, Decision, Receipt
from domain.names import MAX_IDLE_MESSAGES, MAX_MESSAGES
from domain.permissions import check_own_case, voters
from domain.records import ActionRecord, DecisionRecord
from domain.refusals import DECISION_ID_REUSED, Refusal, RefusalCode, action_id_reused
from domain.status import Outcome, Status, Verdict
from domain.task import DecisionView, TaskView
from workflows.engine.edited_input import edited_input
from workflows.engine.read_messages import refusing
from workflows.engine.state import CaseRun

TEMPORAL = "temporal"
"""The actor of changes made in Temporal itself, and of refused Signals: nothing proves who sent them."""
MAX_ENDED = 1000
"""Maximum number of ended cases that a case remembers, because it may wait for them."""
MAX_NAME = 100
MAX_REASON = 4000
"""Maximum length of the stored name of a message, and of the reason of a cancellation. The API has the same limits."""


class Messages:
    """Validates messages, changes the state of the case by them, and answers them."""

    def __init__(self, run: CaseRun) -> None:
        self._run = run

    # ------------------------------------------------------------------------------------------------------- decisions

    async def decide(self, decision: Decision) -> Receipt:
        """Apply a decision and return its receipt. With edits, first wait until the policy has ruled on the edits."""
        receipt = self._apply(decision)
        if not decision.edits:
            return receipt
        gate = self._run.gates[decision.task_id]
        await workflow.wait_condition(lambda: not (gate.open and gate.edited))
        return receipt.model_copy(update={"task": gate.task.without_facts, "case_status": self._run.status})

    def check_decision(self, decision: Decision) -> None:
        """Raise the Refusal of a decision that cannot be applied. Change nothing."""
        if receipt := self._run.receipts.get(decision.id):
            if receipt.content != decision.content:
                raise Refusal(RefusalCode.REUSED, DECISION_ID_REUSED)
            return
        self._gate_of(decision.task_id).check(decision)
        edited_input(self._run, decision)

    def submit_decision(self, decision: Decision) -> None:
        """Apply a decision that came as a Signal, keep it if its task is not open yet, or record its refusal."""
        run = self._run
        if decision.id in run.receipts and run.receipts[decision.id].content == decision.content:
            return
        if decision.task_id not in run.gates and not run.status.closed:
            if self._may_record():
                run.early_decisions.append(decision)
            return
        try:
            self.check_decision(decision)
        except Refusal as no:
            if not self._may_record():
                return
            run.journal.store_decision(DecisionRecord(decision=decision, refusal=no.message, code=no.code.value))
            run.journal.note(
                "decision_refused",
                f"A decision in the name of {decision.by.id} was refused: {no.message}",
                {
                    "task_id": decision.task_id,
                    "decision_id": decision.id,
                    "verdict": decision.verdict.value,
                    "code": no.code.value,
                    "reason": no.message,
                    "via": decision.via,
                    "claimed": decision.by.id,
                },
                actor=TEMPORAL,
            )
        else:
            self._apply(decision)

    def submit_early_decisions(self, decisions: Iterable[Decision]) -> None:
        """Apply or refuse decisions that came before their task was open."""
        for decision in decisions:
            refusing(self, "submit_decision", partial(self.submit_decision, decision))

    def _apply(self, decision: Decision) -> Receipt:
        run = self._run
        if receipt := run.receipts.get(decision.id):
            return receipt
        gate = run.gates[decision.task_id]
        rule, seen = gate.check(decision), gate.task
        edited = edited_input(self._run, decision)
        changes = run.changes_between(run.case.input, edited) if edited is not None else []
        # Edits of operators count once enough of them made the same decision; edits of other people count at once.
        at_once = edited is not None and decision.verdict is not Verdict.RETRY
        shown = self._adopt(edited, gate.task if gate.task.kind == "gate" else None) if at_once else {}
        void = gate.decide(decision, workflow.now(), changes, **shown)
        if edited is not None and gate.outcome is Outcome.RETRY:
            self._adopt(edited, None)
        run.journal.withdraw(void)
        behalf = next((view.on_behalf_of for view in gate.task.decisions if view.decision_id == decision.id), None)
        run.journal.store_decision(DecisionRecord(decision=decision, on_behalf_of=behalf, changes=changes))
        run.journal.store_proof(decision)
        _note_decision(run, decision, seen, rule, behalf, changes, void)
        run.journal.store_task(gate)
        self._separate_duties()
        run.status = self._status_after(gate.outcome)
        return _receipt(run, decision, gate)

    def _status_after(self, outcome: Outcome | None) -> Status:
        """Return the status that the case has after a decision.

        `outcome` is the outcome of the task, None if the task is still open.
        """
        run = self._run
        waits = any(gate.open and gate.task.kind == "gate" for gate in run.gates.values())
        match outcome:
            case Outcome.APPROVED if not waits:
                return run.status_after_gate
            case Outcome.RESUBMITTED:
                return Status.RUNNING
            case Outcome.CHANGES_REQUESTED:
                return Status.AWAITING_CHANGES
            case Outcome.REJECTED if run.first_no_ends_all or not waits:
                return Status.ROLLING_BACK
            case Outcome.ROLL_BACK:
                return Status.ROLLING_BACK
            case Outcome.RETRY | Outcome.SKIP | Outcome.DONE_BY_HAND:
                return Status.RUNNING if run.forward else Status.ROLLING_BACK
            case _:
                return run.status

    def _adopt(self, edited: BaseModel | None, task: TaskView | None) -> dict[str, Any]:
        """Replace the input of the case. Return the fields of the task that show the input, if a task is given."""
        run = self._run
        run.received = run.case.model_copy(update={"input": edited})
        shown = run.presentation.task_fields(run.case, task)
        run.journal.store_input(run.input_json, shown["title"])
        return shown

    # --------------------------------------------------------------------------------------------------------- actions

    def act(self, action: Action) -> Receipt:
        """Perform an action on a task other than a decision, and return its receipt."""
        run = self._run
        if receipt := run.receipts.get(action.id):
            return receipt
        run.accepted_actions += 1
        gate = run.gates[action.task_id]
        happened, void = gate.act(action, workflow.now())
        run.journal.store_proof(action)
        run.journal.withdraw(void)
        if happened:
            happened = replace(happened, data=action.recorded | happened.data)
            run.journal.note_task(gate, happened, action.by.id)
        self._separate_duties()
        return _receipt(run, action, gate)

    def check_action(self, action: Action) -> None:
        """Raise the Refusal of an action that cannot be performed. Change nothing."""
        run = self._run
        if receipt := run.receipts.get(action.id):
            if receipt.content != action.content:
                raise action_id_reused()
            return
        gate = self._gate_of(action.task_id)
        gate.check_action(action)
        if run.accepted_actions >= MAX_MESSAGES and action.act is not Act.REPLACE:
            raise Refusal(
                RefusalCode.TOO_MANY,
                f"This case has accepted {MAX_MESSAGES} claims, questions and similar actions, which is the "
                "maximum. Decide its tasks, or cancel the case.",
            )

    def submit_action(self, action: Action) -> None:
        """Perform an action that came as a Signal, or record its refusal."""
        if action.act is Act.RECOUNT:
            self._recount(action.task_id)
            return
        journal = self._run.journal
        try:
            self.check_action(action)
        except Refusal as no:
            if not self._may_record():
                return
            journal.store_action(ActionRecord.of(action, no.message, no.code.value))
            journal.note(
                "action_refused",
                f"A request in the name of {action.by.id} was refused: {no.message}",
                {
                    "task_id": action.task_id,
                    "action_id": action.id,
                    "act": action.act.value,
                    "code": no.code.value,
                    "reason": no.message,
                    "via": action.via,
                    "claimed": action.by.id,
                },
                actor=TEMPORAL,
            )
            return
        self.act(action)
        journal.store_action(ActionRecord.of(action))

    def _recount(self, task_id: str) -> None:
        """Compute again who can decide a task, because people or groups changed.

        The number of recounts of open tasks has no limit, because every such change must take effect.
        """
        run = self._run
        gate = run.gates.get(task_id)
        if gate is not None:
            gate.uncertain |= gate.open
        elif len(run.early_recounts) < MAX_IDLE_MESSAGES:
            run.early_recounts.add(task_id)

    def _gate_of(self, task_id: str) -> Gate:
        run = self._run
        gate = run.gates.get(task_id)
        if gate is None and run.status.closed:
            raise Refusal(
                RefusalCode.ALREADY_CLOSED, f"The case has ended: {run.status.value}.", outcome=run.status.value
            )
        if gate is None:
            raise Refusal(RefusalCode.NOT_READY, "The case has not reached this task yet; try again in a moment.")
        return gate

    def _separate_duties(self) -> None:
        """Exclude a person who decided one gate from the other open gates that keep separation of duties."""
        for gate in self._run.waiting_at:
            if gate.open and gate.ruling.separation_of_duties and gate.task.kind == "gate":
                others = [other.task for other in self._run.waiting_at if other.task.gate != gate.task.gate]
                gate.exclude([name for task in others for name in voters(task)])

    # ------------------------------------------------------------------------------------------- the case and Temporal

    def cancel(self, cancellation: Cancellation) -> None:
        """Cancel the case.

        If the case is rolling back or was cancelled before, only record that the request came too late. Raises Refusal
        if a service account asks that has not started this case.
        """
        run = self._run
        if cancellation.by.kind == "service":
            check_own_case(cancellation.by, run.case.requester)
        if run.cancellation is not None and run.cancellation.id == cancellation.id:
            return
        reason = cancellation.reason[:MAX_REASON]
        data = {"reason": reason, "via": cancellation.via, "message_id": cancellation.id}
        if not run.forward or run.cancellation is not None:
            if self._may_record():
                data["claimed"] = cancellation.by.id
                run.journal.note("cancel_too_late", "A request to cancel came too late", data, actor=TEMPORAL)
            return
        run.cancellation = cancellation.model_copy(update={"reason": reason})
        run.journal.store_proof(cancellation)
        run.journal.note("cancel_requested", f"Cancelled: {reason}", data, actor=cancellation.by.id)

    def resynchronise(self, run_id: str) -> None:
        """Write all tasks again after a reset of the Workflow. Raises Refusal if `run_id` is not that of this run."""
        run = self._run
        if run_id != workflow.info().run_id:
            raise Refusal(RefusalCode.NOTHING_TO_DO, "The message names another run of this case, so nothing is done.")
        if run_id in run.resets:
            return
        run.resets.add(run_id)
        for gate in run.gates.values():
            run.journal.store_task(gate, whole=True)
        said = "Reset in Temporal: the case goes on from an earlier point"
        run.journal.note("case_reset", said, {"run": run_id}, actor=TEMPORAL)

    def child_ended(self, case_id: str) -> None:
        """Note that another case has ended, as the sender says. This case may have started the other case.

        A Workflow holds no key, so the message has no signature. `ChildCaseRequests` reads from the database whether
        and how the other case has ended. Raises Refusal if this case knows `MAX_ENDED` such cases already.
        """
        ended = self._run.ended_children
        if len(ended) >= MAX_ENDED and case_id not in ended:
            raise Refusal(RefusalCode.TOO_MANY, f"This case remembers the ends of at most {MAX_ENDED:,} other cases.")
        ended.add(case_id)

    # ------------------------------------------------------------------------------------------------ refused messages

    def message_refused(self, message: str, refusal: Refusal, claimed: str) -> None:
        """Record that a Signal was refused. `claimed` is the sender that the Signal names; empty if it names none.

        The first `MAX_IDLE_MESSAGES` messages without effect become events; later ones are only counted.
        """
        if self._may_record():
            self._run.journal.note(
                "message_refused",
                f"A message to the case was refused: {refusal.message}",
                {
                    "message": message[:MAX_NAME],
                    "via": TEMPORAL if refusal.code is RefusalCode.UNSIGNED else "signal",
                    "code": refusal.code.value,
                    "reason": refusal.message,
                    "claimed": claimed,
                },
                actor=TEMPORAL,
            )

    def note_uncounted(self) -> None:
        """Record in one event how many messages were refused without a separate event."""
        rest = self._run.refused_messages - MAX_IDLE_MESSAGES
        if rest > 0:
            self._run.refused_messages = MAX_IDLE_MESSAGES
            self._run.journal.note(
                "messages_counted", f"{rest} more messages had no effect", {"count": rest}, actor=TEMPORAL
            )

    def _may_record(self) -> bool:
        """Count a message without effect, and return True if it gets an event.

        Without `MAX_IDLE_MESSAGES`, a sender could fill the audit log.
        """
        self._run.refused_messages += 1
        return self._run.refused_messages <= MAX_IDLE_MESSAGES


def _note_decision(
    run: CaseRun,
    decision: Decision,
    seen: TaskView,
    rule: str,
    behalf: str | None,
    changes: list[FieldChange],
    void: list[DecisionView],
) -> None:
    """Record an accepted decision. `seen` is the task as the person saw it."""
    run.journal.note(
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
            **decision.recorded_confirmation,
            **({"on_behalf_of": behalf} if behalf else {}),
            **({"changes": [change.model_dump(mode="json") for change in changes]} if changes else {}),
            **({"no_longer_count": [view.decision_id for view in void]} if void else {}),
        },
        actor=decision.by.id,
    )


def _receipt(run: CaseRun, message: Decision | Action, gate: Gate) -> Receipt:
    """Return the answer to an accepted message, and keep it for a repeat of the message."""
    receipt = run.receipts[message.id] = Receipt(
        decision_id=message.id, content=message.content, task=gate.task.without_facts, case_status=run.status
    )
    return receipt
