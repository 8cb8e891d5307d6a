"""The journal of one case: its events in order, and which of them are not yet written to the database.

Events are collected here and written together with the next gate, outcome or end: one local activity, one transaction.
The status query shows the collected events at once.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, FailureError

from activities.engine.records import NoCase, Records
from domain.case import CaseEvent, CaseResult
from domain.event_kinds import EventKind, identity_of
from domain.gate import Gate, GateEvent
from domain.gate.opening import OpenedGate, opened_gate
from domain.messages import Signed
from domain.proof.envelope import SignedText
from domain.records import (
    ActionRecord,
    CaseRecord,
    CaseStart,
    DecisionRecord,
    GateOpening,
    GateRequest,
    Present,
    Written,
)
from domain.ruling import GateRuling
from domain.status import Status
from domain.task import DecisionView, TaskView
from domain.undo import PlannedUndo
from workflows.engine.endings import AlreadyEnded
from workflows.engine.saga import Saga
from workflows.engine.unneeded_gates import UnneededGates

ArgumentT = TypeVar("ArgumentT")
ResultT = TypeVar("ResultT")

ENGINE = "holdgate"
"""The actor of events that no person caused."""

RECORD_TIMEOUT = timedelta(seconds=10)
RECORD_PAUSE = timedelta(milliseconds=600)
RECORD_RETRIES = RetryPolicy(initial_interval=RECORD_PAUSE, maximum_interval=timedelta(seconds=5))
RECORD_THRESHOLD = timedelta(milliseconds=500)
"""Shorter than the first pause between attempts, so that the SDK waits for the second on a timer. Otherwise an SQL
outage would hold the workflow task, and with it every query and update."""


SAID_BY_STEPS = frozenset(
    {
        *(EventKind.STEP_DONE, EventKind.STEP_FAILED, EventKind.STEP_REFUSED, EventKind.ROLLBACK_STARTED),
        *(EventKind.UNDO_ATTEMPT_FAILED, EventKind.UNDO_FAILED, EventKind.CASE_CLOSED),
    }
)
"""The kinds of events with texts and results of steps, which can repeat values of masked fields."""


class Journal:
    """Collects the events of one case and writes them to the database.

    The first event, `<case_id>/0`, is the submission; it is written before the case starts.
    """

    def __init__(
        self,
        workflow_id: str,
        saga: Saga,
        case_id: str | None = None,
        without_masked: Callable[[Any], Any] = lambda said: said,
    ) -> None:
        """Start an empty journal. `case_id` is given where it is not the id of the Workflow, as in a rollback.

        `without_masked` removes the values of masked fields from what steps say.
        """
        self._without_masked = without_masked
        self.timeline: list[CaseEvent] = []
        """All events of this Workflow, also those that are not written yet; without the submission."""
        self._workflow_id = workflow_id
        self._case_id = case_id or workflow_id
        self._saga = saga
        self._plan: list[PlannedUndo] = []
        """The rollback plan as it was last written."""
        self._ids: dict[str, int] = {}
        self._events: list[CaseEvent] = []
        self._decisions: list[DecisionRecord] = []
        self._withdrawn: list[str] = []
        self._actions: list[ActionRecord] = []
        self._proofs: list[SignedText] = []
        self._input: tuple[dict[str, Any], str] | None = None
        self._gates: dict[str, Gate] = {}
        self._unneeded = UnneededGates()
        self._whole: set[str] = set()
        self.salt: str | None = None
        """The salt of the case, from the start input. The ids of events contain a digest of their data."""
        self.start: CaseStart | None = None
        """The start input of this Workflow. The first write is refused if the case was not stored with it."""
        self.known = False
        """Whether anything of this case was written."""
        self.unknown_case: ApplicationError | None = None
        """Set when Holdgate did not start this Workflow: the database has no such case, or one with another input.

        Then no step runs, and nothing is written.
        """

    def note(self, kind: str, summary: str, data: dict[str, Any] | None = None, *, actor: str = ENGINE) -> None:
        """Add an event. `summary` is a plain sentence for engineers: no code depends on its text."""
        if kind in SAID_BY_STEPS:
            summary, data = self._without_masked(summary), self._without_masked(data)
        event = CaseEvent(
            event_id=self._id(kind, actor, identity_of(data or {})),
            case_id=self._case_id,
            at=workflow.now(),
            kind=kind,
            actor=actor,
            summary=summary,
            data=data or {},
        )
        self.timeline.append(event)
        self._events.append(event)

    def note_task(self, gate: Gate, what: GateEvent, actor: str = ENGINE) -> None:
        """Add the event of a task, and store the task as it is now."""
        data = {"task_id": gate.task.task_id, "gate": gate.task.gate, **what.data}
        self.note(what.kind, what.summary, data, actor=actor)
        self.store_task(gate)

    def store_decision(self, decision: DecisionRecord) -> None:
        """Store a decision that was accepted or refused."""
        self._decisions.append(decision)

    def store_action(self, action: ActionRecord) -> None:
        """Store an action that came by Signal and was carried out or refused."""
        self._actions.append(action)

    def store_proof(self, message: Signed) -> None:
        """Store the signature of a message that changes the case. Temporal's own cancellation has no signature."""
        if message.proof:
            self._proofs.append(SignedText.of(message, workflow.info().namespace, self._workflow_id))

    def withdraw(self, decisions: Iterable[DecisionView]) -> None:
        """Store that these decisions, which were accepted before, do not count any more."""
        self._withdrawn += [view.decision_id for view in decisions]

    def store_input(self, input: dict[str, Any], title: str) -> None:
        """Store the changed input of the case and its new title."""
        self._input = input, title

    def store_task(self, gate: Gate, *, whole: bool = False) -> None:
        """Store the task of a gate as it is now. `whole`: with all fields and decisions, after a reset."""
        self._gates[gate.task.task_id] = gate
        if whole:
            self._whole.add(gate.task.task_id)

    @property
    def unwritten(self) -> bool:
        """Return True if an event, a decision, an action or a changed input is not written yet.

        A changed task alone does not count: it is written with the next event.
        """
        return bool(self._events or self._decisions or self._withdrawn or self._actions or self._input)

    async def write(self, status: Status, *, opened: TaskView | None = None) -> None:
        """Write everything that is not written yet, and a new task if `opened` is given.

        The write is repeated until it succeeds.

        Raises AlreadyEnded when the database holds an end of the case, ApplicationError when the database never had
        this case or another Workflow has taken over the case.
        """
        written = await self.write_end(status, opened=opened)
        if written.ended is not None:
            raise AlreadyEnded(written.ended)

    async def write_end(
        self, status: Status, *, opened: TaskView | None = None, result: CaseResult | None = None
    ) -> Written:
        """Write as `write` does, and the end of the case if `result` is given.

        An end that the database holds already is in the answer, and is no error here. If this Workflow has written
        before and the database does not have the case now (somebody has restored an older backup), raises LookupError:
        the Workflow task fails until the case is there again. `cases/reconcile/blocked_workflows.py` finds the failing
        Workflow.
        """
        if self.unknown_case is not None:
            raise self.unknown_case
        try:
            written = await self._record(self.take(status, opened=opened, result=result).record)
        except ApplicationError as error:
            if error.type != NoCase.__name__:
                raise
            if self.known:
                raise LookupError(error.message) from error
            self.unknown_case = error
            raise
        self.known = True
        return written

    def take(self, status: Status, *, opened: TaskView | None = None, result: CaseResult | None = None) -> "Taken":
        """Take everything that is not written yet; the caller writes it, or puts it back."""
        plan = self._saga.planned
        record = CaseRecord(
            case_id=self._case_id,
            status=status,
            start=None if self.known else self.start,
            events=self._events,
            opened=[opened] if opened else [],
            patched=[gate.patch(whole=task_id in self._whole) for task_id, gate in self._gates.items()],
            decisions=self._decisions,
            withdrawn=self._withdrawn,
            actions=self._actions,
            proofs=self._proofs,
            input=self._input[0] if self._input else None,
            title=self._input[1] if self._input else None,
            plan=plan if plan != self._plan else None,
            gone=self._saga.gone if plan != self._plan else [],
            workflow_id=None if self._workflow_id == self._case_id else self._workflow_id,
            result=result,
        )
        taken = Taken(record, self._gates, self._whole, self._plan)
        self._events, self._decisions, self._withdrawn, self._input, self._gates = [], [], [], None, {}
        self._actions, self._proofs = [], []
        self._whole, self._plan = set(), plan
        return taken

    def put_back(self, taken: "Taken") -> None:
        """Undo `take`: what was taken is written next time. This does no harm if it was written before."""
        record = taken.record
        self._events[:0] = record.events
        self._decisions[:0] = record.decisions
        self._withdrawn[:0] = record.withdrawn
        self._actions[:0] = record.actions
        self._proofs[:0] = record.proofs
        if record.input is not None and record.title is not None and self._input is None:
            self._input = record.input, record.title
        self._gates = taken.gates | self._gates
        self._whole |= taken.whole
        self._plan = taken.plan

    async def _record(self, record: CaseRecord) -> Written:
        return await _local(
            Records.record,
            record,
            activity_id="record",
            summary="record",
        )

    async def open_gate(
        self, task: TaskView, *, case: dict[str, Any], policy_hash: str, input: dict[str, Any]
    ) -> OpenedGate:
        """Get the policy's ruling on the gate. If people must decide, write all events and the task of the gate.

        A gate that the policy skips is only an event, which is written next time with the other events. If an earlier
        gate had the same input and facts, this needs no activity.

        Raises FailureError when the policy gives no ruling; the events are then written next time. Raises AlreadyEnded
        when the database holds an end of the case.
        """
        request = GateRequest(
            record=CaseRecord(case_id=self._case_id, status=Status.RUNNING),
            task=task,
            case=case,
            policy_hash=policy_hash,
            input=input,
            event_id=self._id("gate", task.task_id),
        )
        if (known := self._unneeded.ruling(request)) is not None:
            opened = opened_gate(request, GateOpening(ruling=known))
            self.timeline.append(opened.event)
            self._events.append(opened.event)
            return opened
        taken = self.take(Status.RUNNING)
        request = request.model_copy(update={"record": taken.record, "look_ahead": not self._unneeded.knows(request)})
        try:
            answer = await _local(
                Records.open_gate,
                request,
                activity_id=f"gate {task.gate}",  # The SDK compares ids in a replay, and so finds a gate that changed.
                summary=f"open {task.gate}",
            )
        except FailureError:  # The SDK raises the failure of a local activity without an ActivityError around it.
            self.put_back(taken)
            raise
        self._unneeded.learn(request, answer)
        opened = opened_gate(request, answer)
        self.timeline.append(opened.event)
        if opened.task is None:
            self.put_back(taken)
            self._events.append(opened.event)
            return opened
        self.known = True
        if answer.ended is not None:
            raise AlreadyEnded(answer.ended)
        return opened

    async def rule_again(
        self, task: TaskView, *, case: dict[str, Any], policy_hash: str, input: dict[str, Any]
    ) -> GateRuling:
        """Return the ruling of the policy on an open or later gate.

        Raises FailureError when the policy gives no ruling.
        """
        record = CaseRecord(case_id=self._case_id, status=Status.AWAITING_APPROVAL)
        return await _local(
            Records.rule_again,
            GateRequest(record=record, task=task, case=case, policy_hash=policy_hash, input=input, event_id=""),
            activity_id=f"rules of {task.gate}",
            summary=f"rules of {task.gate}",
        )

    async def count(self, task: TaskView) -> Present:
        """Return the people who can act on a task now."""
        return await _local(
            Records.count,
            task.model_copy(update={"input": {}, "facts": {}}),
            activity_id=f"people at {task.gate}",
            summary=f"who can decide {task.gate}",
        )

    async def stored_plan(self) -> list[PlannedUndo]:
        """Return the rollback plan as the database has it, oldest first."""
        return await _local(
            Records.stored_plan,
            self._case_id,
            activity_id="plan",
            summary="rollback plan",
        )

    def _id(self, *parts: Any) -> str:
        """Return the id of the next event.

        The id is a digest of the salt of the case, kind, actor and data, with `-2`, `-3` and so on if earlier events
        have the same digest. Without the salt, nobody can guess the data of an erased event by its id.
        """
        salted = (self.salt or "") + json.dumps(parts, sort_keys=True, default=str)
        digest = hashlib.sha256(salted.encode()).hexdigest()[:16]
        times = self._ids[digest] = self._ids.get(digest, 0) + 1
        return f"{self._workflow_id}/{digest}" + (f"-{times}" if times > 1 else "")


class Taken(NamedTuple):
    """What was taken from a journal to be written: a record, and the state of the journal that `put_back` needs."""

    record: CaseRecord
    gates: dict[str, Gate]
    whole: set[str]
    plan: list[PlannedUndo]

    @property
    def json(self) -> str:
        """Return the case record as JSON, without values that are defaults."""
        return self.record.model_dump_json(exclude_defaults=True)


async def _local(
    activity: Callable[[Records, ArgumentT], Awaitable[ResultT]], argument: ArgumentT, *, activity_id: str, summary: str
) -> ResultT:
    """Run an activity of the engine as a local activity, again and again while the database does not answer."""
    return await workflow.execute_local_activity_method(
        activity,
        argument,
        activity_id=activity_id,
        start_to_close_timeout=RECORD_TIMEOUT,
        local_retry_threshold=RECORD_THRESHOLD,
        retry_policy=RECORD_RETRIES,
        summary=summary,
    )
