"""The desk of a case: its tasks, what people say to them, and what is shown of the case.

Messages come by three doors (update, signal, raw cancel) and are judged here by the same rules. Waiting for people is
`waiting.py`, undoing is `unwinding.py`; a process subclasses `CaseWorkflow` in `case.py`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel, ValidationError
from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, FailureError

from domain.base import FieldChange
from domain.case import CaseInput, CaseResult, CaseState, ChainHead
from domain.ids import task_id_for
from domain.messages import Act, Action, Actor, Cancellation, Decision, Receipt
from domain.names import MAX_IDLE_MESSAGES, MAX_MESSAGES, ROLLBACK
from domain.records import ActionRecord, DecisionRecord
from domain.rollback import RollbackInput
from domain.status import Outcome, Status, Verdict
from domain.task import DecisionView, Quorum, TaskView
from domain.undo import PlannedUndo
from workflows.display import attributes, details
from workflows.gate import Gate, Happened
from workflows.journal import ENGINE, Journal
from workflows.moments import asked
from workflows.people import refusal, voters
from workflows.reading import not_ours, reads_signal, reads_start, reads_update
from workflows.saga import Saga

TEMPORAL = "temporal"
"""The actor of what somebody did in Temporal itself."""
MAX_ENDED = 1000
"""Ends of other cases that are kept for a case which may wait for them."""
MAX_NAME = 100
MAX_REASON = 4000
"""Characters that the record keeps of the name of a message, and of a reason; our own API takes no longer ones."""


class CaseEnds(Exception):
    """Raised by steps and gates to end a case other than by completing it. Everything done is undone first."""

    def __init__(self, status: Status, reason: str, resubmit_after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.resubmit_after = resubmit_after


class EndStands(Exception):
    """Raised when the record holds an end of the case already, of which Temporal's history does not know.

    A worker died between the two, or somebody reset the Workflow. People have been told that end, so it stands.
    """

    def __init__(self, ended: CaseResult) -> None:
        super().__init__(ended.reason)
        self.ended = ended


class Desk:
    """What every Workflow of a case has, whether it carries the case out or rolls it back."""

    behind_a_gate: ClassVar[Status] = Status.RUNNING
    """What the case is when the gate that it waited at was passed."""

    def __init_subclass__(cls, **more: Any) -> None:
        """Whatever one of ours is started with, it fails in words instead of failing its first task for ever."""
        super().__init_subclass__(**more)
        if "run" in vars(cls):
            cls.run = reads_start(cls.run)  # type: ignore[attr-defined]  # each process has its own

    def __init__(self) -> None:
        # No argument and no @workflow.init: the SDK demands that it match the subclass's `run`.
        self._case: CaseInput[Any] | None = None
        self._status = Status.RUNNING
        self._step = ""
        self._saga = Saga()
        self._gates: dict[str, Gate] = {}
        self._deciders: dict[str, list[str]] = {}
        """Who decided which gate of this round."""
        self._submitters: list[str] = []
        """Who has resubmitted the case, or mended its input."""
        self._asked: Sequence[Gate] = ()
        """The gates that the case waits at."""
        self._first_no_ends_all = True
        self._forward = True
        """Until the case ends or rolls back; only then can it be cancelled."""
        self._cancellation: Cancellation | None = None
        self._idle_messages = 0
        """Messages that came to nothing."""
        self._messages = 0
        self._resets: set[str] = set()
        self._reset_early: str | None = None
        self._receipts: dict[str, Receipt] = {}
        self._early: list[Decision] = []
        self._recounts_early: set[str] = set()
        """Tasks that are to look again who can decide them, and that this Workflow does not know yet."""
        self._ended: dict[str, CaseResult] = {}
        """Cases that this one asked for and that have ended."""
        self._answer: DecisionView | None = None
        """What people said last at a gate that was passed or rejected."""
        self._workflow_id = workflow.info().workflow_id
        self._journal = Journal(self._workflow_id, self._saga)
        self._journal.about(self._workflow_id.partition(f"~{ROLLBACK}")[0])

    # ------------------------------------------------------------------------------------------------------- the story

    async def _conduct(self, case: CaseInput[Any], story: Callable[[], Coroutine[Any, Any, CaseResult]]) -> CaseResult:
        """Run a story to its end, and turn whatever cancels it into a message that it looks at."""
        if self._workflow_id != (case.workflow_id if isinstance(case, RollbackInput) else case.case_id):
            raise not_ours(f"It says that it is {case.case_id}.")
        self._case = case
        if self._cancellation is not None:  # it came before this method began
            early, self._cancellation = self._cancellation, None
            self._cancel(early)
        if self._reset_early is not None:
            self.resynchronise(self._reset_early)
        telling = asyncio.create_task(story())
        while not telling.done():
            try:
                await workflow.wait_condition(telling.done)
            except asyncio.CancelledError:
                # Temporal cancels the main task only; the story goes on and unwinds what it did.
                self._cancel(
                    Cancellation(
                        id=f"{case.case_id}/temporal",
                        by=Actor(id=TEMPORAL),
                        reason=workflow.cancellation_reason() or "cancelled in Temporal",
                        via=TEMPORAL,
                        at=workflow.now(),
                    )
                )
        return telling.result()

    async def _write(self, *, opened: TaskView | None = None) -> None:
        """Write down what has happened. Raises EndStands when the case has ended, as the record knows it."""
        written = await self._journal.write(self._status, opened=opened)
        if written.ended is not None:
            raise EndStands(written.ended)

    async def _close(self, result: CaseResult, *, again: bool = False) -> CaseResult:
        """Write the end, drain the handlers, and answer. What comes in while draining is refused and recorded too.

        `again`: the case had ended so before, and nobody is told anew.
        """
        self._forward = False
        self._set_status(result.status)
        if not again:
            undone = f"; {len(result.undone)} of its steps undone" if result.undone else ""
            data = {"status": result.status.value, "reason": result.reason}
            self._journal.note("case_closed", f"Ended {result.status.value.replace('_', ' ')}{undone}", data)
        self._show(result.reason)
        for decision in self._early:
            self.submit_decision(decision)
        if self._journal.nowhere is not None:
            raise self._journal.nowhere
        self._count_the_rest()
        head = await self._journal.write(self._status, result=result)
        await workflow.wait_condition(workflow.all_handlers_finished)
        while self._journal.unwritten:
            head = await self._journal.write(self._status)
            await workflow.wait_condition(workflow.all_handlers_finished)
        if self._started.parent:
            # If it cannot be told, as it has ended itself, nobody waits; and it asks now and then.
            with suppress(FailureError):
                parent = workflow.get_external_workflow_handle(self._started.parent)
                await parent.signal("case_ended", result)
        return result.model_copy(update={"audit": ChainHead(count=head.count, hash=head.hash)})

    # -------------------------------------------------------------------------------------------------------- messages

    @workflow.update(description="Decide a task with one of its verdicts")
    @reads_update
    async def decide(self, decision: Decision) -> Receipt:
        """The first door: refused or accepted while the caller waits. The same decision id gets the same receipt."""
        receipt = self._accept(decision)
        if not decision.edits:
            return receipt
        gate = self._gates[decision.task_id]
        await workflow.wait_condition(lambda: not (gate.open and gate.edited))
        return receipt.model_copy(update={"task": gate.task, "case_status": self._status})

    @decide.validator
    @reads_update
    def _may_decide(self, decision: Decision) -> None:
        self._check(decision)

    @workflow.update(description="Claim, release, reassign, delegate, withdraw, ask, answer, move the clock")
    @reads_update
    def act(self, action: Action) -> Receipt:
        """What people do with a task other than decide it. The same action id gets the same receipt."""
        return self._act(action)

    @act.validator
    @reads_update
    def _may_act(self, action: Action) -> None:
        self._check_act(action)

    @workflow.signal(description="The second door of actions, used when no worker answered: done or refused later")
    @reads_signal
    def submit_action(self, action: Action) -> None:
        """A refusal is recorded. A change of people says the same to all open tasks: there it is none."""
        if action.act is Act.RECOUNT:
            self._recount(action.task_id)
            return
        try:
            self._check_act(action)
        except ApplicationError as no:
            if not self._may_idle():
                return
            self._journal.answer(ActionRecord.of(action, no.message, no.type or ""))
            self._journal.note(
                "action_refused",
                f"A request in the name of {action.by.id} was refused: {no.message}",
                {
                    "task_id": action.task_id,
                    "action_id": action.id,
                    "act": action.act.value,
                    "code": no.type,
                    "via": action.via,
                    "claimed": action.by.id,
                },
                actor=TEMPORAL,
            )
            return
        self._act(action)
        self._journal.answer(ActionRecord.of(action))

    def _recount(self, task_id: str) -> None:
        """Have a task look again who can decide it. However often people change, none of it is left out."""
        gate = self._gates.get(task_id)
        if gate is not None:
            gate.uncertain |= gate.open
        elif len(self._recounts_early) < MAX_IDLE_MESSAGES:
            self._recounts_early.add(task_id)

    @workflow.signal(description="The second door, used when no worker answered: applied or refused later")
    @reads_signal
    def submit_decision(self, decision: Decision) -> None:
        """A refusal is recorded. Nothing proves who has sent a Signal: the record says whom it names, and no more."""
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
                f"A decision in the name of {decision.by.id} was refused: {no.message}",
                {
                    "task_id": decision.task_id,
                    "decision_id": decision.id,
                    "verdict": decision.verdict.value,
                    "code": no.type,
                    "via": decision.via,
                    "claimed": decision.by.id,
                },
                actor=TEMPORAL,
            )
        else:
            self._accept(decision)

    @workflow.signal(description="Stop the case, undo what it did and end cancelled")
    @reads_signal
    def cancel_case(self, cancellation: Cancellation) -> None:
        """Comes to nothing when the case is rolling back or has ended, which is recorded."""
        self._cancel(cancellation)

    @workflow.signal(description="The Workflow was reset in Temporal: bring the record to where the case is now")
    @reads_signal
    def resynchronise(self, run_id: str) -> None:
        """The record has tasks and decisions of a run that no longer counts."""
        if run_id != workflow.info().run_id:
            raise refusal("Nothing", "This is another run of the case.")
        if self._case is None:  # the signal came before the story began, which a reset to the first moment brings about
            self._reset_early = run_id
            return
        if run_id in self._resets:
            return
        self._resets.add(run_id)
        for gate in self._gates.values():
            self._journal.changed(gate, whole=True)
        said = "Reset in Temporal: the case goes on from an earlier point"
        self._journal.note("case_reset", said, {"run": run_id}, actor=TEMPORAL)

    @workflow.signal(description="A case that this one asked for has ended")
    @reads_signal
    def case_ended(self, result: CaseResult) -> None:
        """Of a case that nobody here waits for it is not looked at."""
        if len(self._ended) >= MAX_ENDED and result.case_id not in self._ended:
            raise refusal("TooMany", "The ends of more cases are not kept.")
        self._ended[result.case_id] = result

    @workflow.signal(dynamic=True)
    def unknown_signal(self, name: str, _sent: Sequence[RawValue]) -> None:
        """Signals of other names than the above: a misspelt one must not vanish."""
        self.message_refused(name, refusal("Unknown", "There is no such signal."), "")

    @workflow.update(dynamic=True)
    def unknown_update(self, _name: str, _sent: Sequence[RawValue]) -> None:
        """Updates of other names than the above: refused by the validator."""

    @unknown_update.validator
    def _no_such_update(self, _name: str, _sent: Sequence[RawValue]) -> None:
        raise refusal("Unknown", "There is no such update.")

    def message_refused(self, message: str, refusal: ApplicationError, claimed: str) -> None:
        """Record that a Signal came to nothing. Those behind the first hundred are only counted."""
        if self._may_idle():
            self._journal.note(
                "message_refused",
                f"A message to the case came to nothing: {refusal.message}",
                {"message": message[:MAX_NAME], "via": "signal", "code": refusal.type, "claimed": claimed},
                actor=TEMPORAL,
            )

    @workflow.query(description="Status, tasks, rollback plan and timeline")
    def status(self) -> CaseState:
        case = self._started
        return CaseState(
            case_id=case.case_id,
            status=self._status,
            title=self._shown(None)["title"],
            step=self._step or None,
            tasks=[gate.task for gate in self._gates.values()],
            rollback_plan=self._saga.plan(),
            timeline=self._journal.timeline,
        )

    @workflow.query(description="All that a rollback needs, oldest first; answered by ended Workflows, too")
    def plan(self) -> list[PlannedUndo]:
        return self._saga.planned

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
        if self._messages >= MAX_MESSAGES and action.act is not Act.REPLACE:
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
            whole = before.model_dump(mode="json") | decision.edits
            edited: BaseModel = type(before).model_validate(whole, context=asked(workflow.now(), decision.edits))
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
        return edited

    def _differences(self, before: BaseModel, after: BaseModel) -> list[FieldChange]:
        """Field by field, masked ones as they are shown."""
        old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
        shown_old, shown_new = self._masked(old), self._masked(new)
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
        edited = self._edited(decision)
        changes = self._differences(self._started.input, edited) if edited is not None else []
        # What operators mend counts when enough of them have said the same; edits of others count at once.
        at_once = edited is not None and decision.verdict is not Verdict.RETRY
        shown = self._adopt(edited, gate.task if gate.task.kind == "gate" else None) if at_once else {}
        void = gate.decide(decision, workflow.now(), changes, **shown)
        if edited is not None and gate.outcome is Outcome.RETRY:
            self._adopt(edited, None)
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
                self._status = self.behind_a_gate
            case Outcome.RESUBMITTED:
                self._status = Status.RUNNING
            case Outcome.CHANGES_REQUESTED:
                self._status = Status.AWAITING_CHANGES
            case Outcome.REJECTED if self._first_no_ends_all or not self._waiting:
                self._status = Status.ROLLING_BACK
            case Outcome.ROLL_BACK:
                self._status = Status.ROLLING_BACK
            case Outcome.RETRY | Outcome.SKIP | Outcome.DONE_BY_HAND:
                self._status = Status.RUNNING if self._forward else Status.ROLLING_BACK
            case _:
                pass
        receipt = Receipt(decision_id=decision.id, content=decision.content, task=gate.task, case_status=self._status)
        self._receipts[decision.id] = receipt
        return receipt

    def _adopt(self, edited: BaseModel | None, task: TaskView | None) -> dict[str, Any]:
        """The case has another input from now on. Answers what the task of a gate shows of it, with its question."""
        self._case = self._started.model_copy(update={"input": edited})
        shown = self._shown(task)
        self._journal.replaced(self._input_json, shown["title"])
        return shown

    @property
    def _waiting(self) -> bool:
        """Whether people are still asked at a gate."""
        return any(gate.open and gate.task.kind == "gate" for gate in self._gates.values())

    def _act(self, action: Action) -> Receipt:
        if receipt := self._receipts.get(action.id):
            return receipt
        self._messages += 1
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
        data = {"reason": cancellation.reason[:MAX_REASON], "via": cancellation.via}
        if not self._forward or self._cancellation is not None:
            if self._may_idle():
                data["claimed"] = cancellation.by.id
                self._journal.note("cancel_too_late", "A request to cancel came too late", data, actor=TEMPORAL)
            return
        self._cancellation = cancellation
        self._journal.note("cancel_requested", f"Cancelled: {data['reason']}", data, actor=cancellation.by.id)

    def _may_idle(self) -> bool:
        """Whether one more message that comes to nothing is recorded. Accepted decisions are few by the rules."""
        self._idle_messages += 1
        return self._idle_messages <= MAX_IDLE_MESSAGES

    def _count_the_rest(self) -> None:
        """Record how many messages came to nothing besides those that are listed."""
        rest = self._idle_messages - MAX_IDLE_MESSAGES
        if rest > 0:
            self._idle_messages = MAX_IDLE_MESSAGES
            self._journal.note(
                "messages_counted", f"{rest} more messages came to nothing", {"count": rest}, actor=TEMPORAL
            )

    def _halting(self) -> Callable[[], bool]:
        """What says whether that which is under way here has to stop."""
        return lambda: self._forward and self._cancellation is not None

    def _stop_if_cancelled(self) -> None:
        """End a case that was cancelled. Looked at after every step: a cancelled activity may still have succeeded."""
        if self._forward and self._cancellation is not None:
            by, why = self._cancellation.by.id, self._cancellation.reason[:MAX_REASON]
            raise CaseEnds(Status.CANCELLED, f"Cancelled by {by}: {why}")

    # ------------------------------------------------------------------------------------------------------ small parts

    @property
    def _started(self) -> CaseInput[Any]:
        if self._case is None:
            raise refusal("NotReady", "The case has not begun yet; try again in a moment.")
        return self._case

    def _task(
        self, gate: str, summary: str, *, facts: dict[str, Any], excluded: list[str] | None = None, beside: int = 0
    ) -> TaskView:
        """A task before the policy has said who decides it and when. `beside`: tasks of the same gate just opened."""
        case = self._started
        return TaskView(
            task_id=task_id_for(self._workflow_id, gate, len(self._gates) + 1 + beside),
            case_id=case.case_id,
            workflow_id=None if self._workflow_id == case.case_id else self._workflow_id,
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

    def _shown(self, task: TaskView | None) -> dict[str, Any]:
        """What a task shows of the input: `title`, `key_fields`, `input`; with the `summary` of the task of a gate."""
        raise NotImplementedError

    def _masked(self, stored: dict[str, Any]) -> dict[str, Any]:
        """An input as JSON as it may be shown."""
        raise NotImplementedError

    @property
    def _input_json(self) -> dict[str, Any]:
        """The whole input."""
        raise NotImplementedError

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
        return {"case": seen, "policy_hash": case.policy_hash, "input": self._input_json}

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

    def _separate(self) -> None:
        """Of gates that are open together each excludes who decided another, where its policy says so."""
        for gate in self._asked:
            if gate.open and gate.ruling.separation_of_duties and gate.task.kind == "gate":
                gate.exclude(
                    [name for other in self._asked if other.task.gate != gate.task.gate for name in voters(other.task)]
                )

    def _happened(self, gate: Gate, what: Happened, actor: str = ENGINE) -> None:
        self._journal.note(what.kind, what.summary, {"task_id": gate.task.task_id, **what.data}, actor=actor)
        self._journal.changed(gate)


def spoken(name: str) -> str:
    """The name of a gate as people say it."""
    return name.replace("-", " ")
