"""What happened to one case, in order, and what of it is still to be written down.

Events gather here and are written together with the next gate, outcome or end: one local activity, one transaction. The
status query shows them at once.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, FailureError

from activities.engine.records import NoCase, Records
from domain.case import CaseEvent, CaseResult
from domain.records import ActionRecord, CaseRecord, DecisionRecord, GateOpening, GateRequest, Present, Written
from domain.ruling import GateRuling
from domain.status import Status
from domain.task import DecisionView, TaskView
from domain.undo import PlannedUndo
from workflows.gate import Gate
from workflows.saga import Saga

ENGINE = "holdgate"
"""The actor of what nobody in particular did."""

RECORD_TIMEOUT = timedelta(seconds=10)
RECORD_RETRIES = RetryPolicy(initial_interval=timedelta(milliseconds=600), maximum_interval=timedelta(seconds=5))
RECORD_THRESHOLD = timedelta(milliseconds=500)
"""Shorter than the first pause between attempts, so that the SDK waits for the second on a timer. Otherwise an SQL
outage would hold the workflow task, and with it every query and update."""


class Journal:
    """The events of one case. `<case_id>/0` is the submission, written by whoever started it."""

    def __init__(self, workflow_id: str, saga: Saga) -> None:
        self.timeline: list[CaseEvent] = []
        """Everything that happened, also what is not written yet."""
        self._workflow_id = self._case_id = workflow_id
        self._saga = saga
        self._plan: list[PlannedUndo] = []
        """What is to be undone, as it was last written."""
        self._ids: dict[str, int] = {}
        self._events: list[CaseEvent] = []
        self._decisions: list[DecisionRecord] = []
        self._withdrawn: list[str] = []
        self._actions: list[ActionRecord] = []
        self._input: tuple[dict[str, Any], str] | None = None
        self._gates: dict[str, Gate] = {}
        self._whole: set[str] = set()
        self._known = False
        """Something of this case was written."""
        self.nowhere: ApplicationError | None = None
        """Set when the database has no such case: then nothing is written, what was done is undone, and that is it."""

    def about(self, case_id: str) -> None:
        """Whose journal this is, where another Workflow than the case's own keeps it."""
        self._case_id = case_id

    def note(self, kind: str, summary: str, data: dict[str, Any] | None = None, *, actor: str = ENGINE) -> None:
        """Something happened."""
        event = CaseEvent(
            event_id=self._id(kind, actor, summary, data),
            case_id=self._case_id,
            at=workflow.now(),
            kind=kind,
            actor=actor,
            summary=summary,
            data=data or {},
        )
        self.timeline.append(event)
        self._events.append(event)

    def judge(self, judged: DecisionRecord) -> None:
        """A decision was accepted or refused."""
        self._decisions.append(judged)

    def answer(self, done: ActionRecord) -> None:
        """An action that came by signal was done or refused."""
        self._actions.append(done)

    def withdraw(self, decisions: Iterable[DecisionView]) -> None:
        """Decisions that were accepted count no longer."""
        self._withdrawn += [view.decision_id for view in decisions]

    def replaced(self, input: dict[str, Any], title: str) -> None:
        """The case has another input from now on."""
        self._input = input, title

    def changed(self, gate: Gate, *, whole: bool = False) -> None:
        """The stored task of a gate is no longer true. `whole`: nor are the decisions on it."""
        self._gates[gate.task.task_id] = gate
        if whole:
            self._whole.add(gate.task.task_id)

    @property
    def unwritten(self) -> bool:
        """Whether something happened that is not written yet."""
        return bool(self._events or self._decisions or self._withdrawn or self._actions or self._input)

    async def write(
        self, status: Status, *, opened: TaskView | None = None, result: CaseResult | None = None
    ) -> Written:
        """Write what waits to be written. Tried until it succeeds: nothing a case did goes unrecorded.

        Raises ApplicationError when there never was such a case. Of one that has vanished, because an older database
        was put back, the Workflow task fails until the case is there again; operators are told by `cases/reconcile/blocked_workflows.py`.
        """
        if self.nowhere is not None:
            self._take(status, opened, result)
            return Written()
        try:
            written = await self._written(self._take(status, opened, result))
        except ApplicationError as error:
            if error.type != NoCase.__name__:
                raise
            if self._known:
                raise LookupError(error.message) from error
            self.nowhere = error
            raise
        self._known = True
        return written

    async def _written(self, record: CaseRecord) -> Written:
        return await workflow.execute_local_activity_method(
            Records.record,
            record,
            activity_id="record",
            start_to_close_timeout=RECORD_TIMEOUT,
            local_retry_threshold=RECORD_THRESHOLD,
            retry_policy=RECORD_RETRIES,
            summary="record",
        )

    async def open_gate(
        self, task: TaskView, *, case: dict[str, Any], policy_hash: str, input: dict[str, Any]
    ) -> GateOpening:
        """Write what waits, let the policy rule on the gate, and put its task into the inbox if people must decide.

        Raises FailureError when there is no ruling to be had; what waits then still waits.
        """
        record = self._take(Status.RUNNING)
        request = GateRequest(
            record=record,
            task=task,
            case=case,
            policy_hash=policy_hash,
            input=input,
            event_id=self._id("gate", task.task_id),
        )
        try:
            opening = await workflow.execute_local_activity_method(
                Records.open_gate,
                request,
                activity_id=f"gate {task.gate}",  # the SDK compares ids in a replay, and so it finds another gate
                start_to_close_timeout=RECORD_TIMEOUT,
                local_retry_threshold=RECORD_THRESHOLD,
                retry_policy=RECORD_RETRIES,
                summary=f"open {task.gate}",
            )
        except FailureError:  # the SDK raises a local activity's own failure, without an ActivityError around it
            self._events[:0] = record.events
            self._decisions[:0] = record.decisions
            self._withdrawn[:0] = record.withdrawn
            self._actions[:0] = record.actions
            if record.input is not None and record.title is not None and self._input is None:
                self._input = record.input, record.title
            if record.plan is not None:
                self._plan = []
            raise
        self._known = True
        self.timeline.append(opening.event)
        return opening

    async def rule_again(
        self, task: TaskView, *, case: dict[str, Any], policy_hash: str, input: dict[str, Any]
    ) -> GateRuling:
        """What the policy says now of a gate that is open or to come. Raises FailureError when there is no ruling."""
        record = CaseRecord(case_id=self._case_id, status=Status.AWAITING_APPROVAL)
        return await workflow.execute_local_activity_method(
            Records.rule_again,
            GateRequest(record=record, task=task, case=case, policy_hash=policy_hash, input=input, event_id=""),
            activity_id=f"rules of {task.gate}",
            start_to_close_timeout=RECORD_TIMEOUT,
            local_retry_threshold=RECORD_THRESHOLD,
            retry_policy=RECORD_RETRIES,
            summary=f"rules of {task.gate}",
        )

    async def count(self, task: TaskView) -> Present:
        """The people who can act on a task now."""
        return await workflow.execute_local_activity_method(
            Records.count,
            task.model_copy(update={"input": {}, "facts": {}}),
            activity_id=f"people at {task.gate}",
            start_to_close_timeout=RECORD_TIMEOUT,
            local_retry_threshold=RECORD_THRESHOLD,
            retry_policy=RECORD_RETRIES,
            summary=f"who can decide {task.gate}",
        )

    def _id(self, *what: Any) -> str:
        """The id of an event by what happened, and by how often it has."""
        digest = hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:16]
        times = self._ids[digest] = self._ids.get(digest, 0) + 1
        return f"{self._workflow_id}/{digest}" + (f"-{times}" if times > 1 else "")

    def _take(self, status: Status, opened: TaskView | None = None, result: CaseResult | None = None) -> CaseRecord:
        """Everything that waits; whoever takes it writes it."""
        plan = self._saga.planned
        record = CaseRecord(
            case_id=self._case_id,
            status=status,
            events=self._events,
            opened=[opened] if opened else [],
            patched=[gate.patch(whole=task_id in self._whole) for task_id, gate in self._gates.items()],
            decisions=self._decisions,
            withdrawn=self._withdrawn,
            actions=self._actions,
            input=self._input[0] if self._input else None,
            title=self._input[1] if self._input else None,
            plan=plan if plan != self._plan else None,
            workflow_id=None if self._workflow_id == self._case_id else self._workflow_id,
            result=result,
        )
        self._events, self._decisions, self._withdrawn, self._input, self._gates = [], [], [], None, {}
        self._actions = []
        self._whole, self._plan = set(), plan
        return record
