"""The state of one running case: every field, in one place.

Temporal keeps the history of a Workflow and rebuilds this state by replaying it. The collaborators of the engine have
no fields of a case: each receives the one CaseRun. Three parts of the state are classes: the undo stack (`saga.py`),
the events to write to the audit log (`journal.py`) and the Signals that are being verified (`signed_signals.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from temporalio import workflow

from domain.base import FieldChange
from domain.case import CaseInput, CaseState
from domain.gate import Gate
from domain.ids import task_id_for
from domain.messages import Cancellation, Decision, Receipt, StartNow
from domain.names import ROLLBACK
from domain.refusals import Refusal, RefusalCode
from domain.status import Status
from domain.task import DecisionView, Quorum, TaskView
from workflows.engine.journal import Journal
from workflows.engine.presentation import Presentation
from workflows.engine.saga import Saga
from workflows.engine.signed_signals import SignedSignals
from workflows.engine.web_ui import attributes, details


@dataclass(slots=True, eq=False)
class CaseRun:
    """One running case, or one running rollback of a case that has ended."""

    # Fields that do not change
    workflow_id: str
    """Id of the Workflow: the case id, or for a rollback the case id with a suffix."""
    presentation: Presentation
    """Shows the input of the case to people."""
    status_after_gate: Status = Status.RUNNING
    """The status of the case after it has passed the gate at which it waits."""

    # The progress of the case
    received: CaseInput[Any] | None = None
    """The start input of the Workflow, with the changes of people.

    None until `run` has begun, because messages may come before. Read this field as `case`.
    """
    status: Status = Status.RUNNING
    """The status of the case, as the API and the database have it."""
    attributes_late: bool = False
    """True if the case has passed a gate and its search attributes do not show that yet. The next gate or the end often
    follows at once, and each change of search attributes is an event and a write to Temporal's list of Workflows."""
    doing: str = ""
    """A sentence about what the case is doing now."""
    forward: bool = True
    """False once the case ends or rolls back. The case can be cancelled only while this is True."""
    round: int = 1
    """The number of the current round, from 1.

    A round begins when requested changes were made, or when operators retry a step with changed input.
    """
    changes: list[FieldChange] = field(default_factory=list)
    """The changes of the requester or an operator for this round."""
    cancellation: Cancellation | None = None
    """The first request to cancel. Steps and gates check this field."""

    # Steps and their undos
    step_counts: dict[str, int] = field(default_factory=dict)
    """The number of calls by step. The number is part of the idempotency key, so counting continues over rounds."""
    saga: Saga = field(default_factory=Saga)
    """The undos to run if the case does not end well."""
    undone: list[str] = field(default_factory=list)
    """Sentences about the undos that ran, newest first."""

    # Branches: steps, gates and child cases that the procedure runs side by side
    active_branches: int = 0
    """The number of branches that have begun and not ended."""
    procedure: int = 0
    """The number of procedures that have ended, completely or early. Branches of an earlier procedure stop."""

    # People
    gates: dict[str, Gate] = field(default_factory=dict)
    """Every task of the case by task id, oldest first."""
    waiting_at: Sequence[Gate] = ()
    """The tasks at which the case waits."""
    first_no_ends_all: bool = True
    """True if the first rejection ends all gates at which the case waits."""
    deciders: dict[str, list[str]] = field(default_factory=dict)
    """By gate: people who decided the gate in this round.

    These people decide no other gate of the case, unless the policy of that gate sets `separation_of_duties` to false.
    """
    submitters: list[str] = field(default_factory=list)
    """People who resubmitted the case, or changed its input for a retry.

    If they are not the requester, these people decide no gate, unless the policy of the gate sets
    `separation_of_duties` to false.
    """
    last_decision: DecisionView | None = None
    """The last decision on a gate that was approved or rejected."""
    passed_unwritten: bool = False
    """True if a gate that was passed may not be written to the database yet."""

    # Messages
    signals: SignedSignals = field(default_factory=SignedSignals)
    """The Signals whose signatures are being verified."""
    receipts: dict[str, Receipt] = field(default_factory=dict)
    """The answers by decision or action id, so that a repeat gets the same answer."""
    accepted_actions: int = 0
    """The number of accepted claims, questions and similar actions."""
    refused_messages: int = 0
    """The number of messages that were refused or had no effect."""
    early_decisions: list[Decision] = field(default_factory=list)
    """Decisions by Signal on tasks that the case has not opened yet."""
    early_recounts: set[str] = field(default_factory=set)
    """Tasks not yet opened that need a recount of the people who can decide them."""
    resets: set[str] = field(default_factory=set)
    """Run ids of resets that were handled."""
    start_now: StartNow | None = None
    """The accepted request to start before the scheduled time."""
    ended_children: set[str] = field(default_factory=set)
    """The ids of child cases that have ended, as somebody says: the database must say so, too."""

    journal: Journal = field(init=False)
    """The events of the case, including those to be written."""

    def __post_init__(self) -> None:
        case_id = self.workflow_id.partition(f"~{ROLLBACK}")[0]
        self.journal = Journal(self.workflow_id, self.saga, case_id, self.without_masked)

    @property
    def case(self) -> CaseInput[Any]:
        """Return the start input of the Workflow with the changes of people. Raises Refusal before `run` has begun."""
        if self.received is None:
            raise Refusal(RefusalCode.NOT_READY, "The case has not begun yet; try again in a moment.")
        return self.received

    @property
    def input_json(self) -> dict[str, Any]:
        """Return the whole input as JSON, including masked fields."""
        return self.presentation.input_json(self.case)

    def without_masked(self, said: Any) -> Any:
        """Return what a step or a failure says, as text or JSON, without the values of masked fields of the input."""
        return self.presentation.without_masked(self.case, said)

    @property
    def policy_input(self) -> dict[str, Any]:
        """Return the case as the policy sees it: keyword arguments of `Journal.open_gate` and `Journal.rule_again`."""
        case = self.case
        seen = {
            "reference": case.reference,
            "requester": case.requester,
            "priority": case.priority,
            "batch_id": case.batch_id or "",
        }
        return {"case": seen, "policy_hash": case.policy_hash, "input": self.input_json}

    @property
    def state(self) -> CaseState:
        """Return the state of the case, the answer to the Workflow query `status`."""
        case = self.case
        return CaseState(
            case_id=case.case_id,
            status=self.status,
            title=self.presentation.task_fields(case, None)["title"],
            step=self.doing or None,
            tasks=[gate.task for gate in self.gates.values()],
            rollback_plan=self.saga.plan(),
            timeline=self.journal.timeline,
        )

    def new_task(
        self, gate: str, summary: str, *, facts: dict[str, Any], excluded: Sequence[str] = (), beside: int = 0
    ) -> TaskView:
        """Return a task of a gate before the policy has added people and times.

        `excluded` are people who must not decide the task. `beside` is the number of new tasks of the same gate that
        are not yet in `gates`.
        """
        case = self.case
        return TaskView(
            task_id=task_id_for(self.workflow_id, gate, len(self.gates) + 1 + beside),
            case_id=case.case_id,
            workflow_id=None if self.workflow_id == case.case_id else self.workflow_id,
            batch_id=case.batch_id,
            process=case.process,
            gate=gate,
            requester=case.requester,
            operators=case.operators,
            on_behalf_of=case.on_behalf_of,
            asked_for=case.asked_for,
            salt=case.salt,
            excluded_users=list(dict.fromkeys(excluded)),
            quorum=Quorum(needed=1),
            opened_at=workflow.now(),
            priority=case.priority,
            facts=self.without_masked(facts),
            **{**self.presentation.task_fields(case, None), "summary": summary},
        )

    def changes_between(self, before: BaseModel, after: BaseModel) -> list[FieldChange]:
        """Return the fields in which two inputs differ, with masked fields masked."""
        old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
        shown_old, shown_new = self.presentation.masked(old), self.presentation.masked(new)
        return [
            FieldChange(field=name, before=shown_old[name], after=shown_new[name])
            for name in new
            if old[name] != new[name]
        ]

    def set_status(self, status: Status, waits_at: Gate | None = None) -> None:
        """Set the status, and the search attributes: status, current gate, and due time of the gate."""
        self.status = status
        self.attributes_late = False
        workflow.upsert_search_attributes(attributes(status, waits_at.task if waits_at else None))

    def show(self, doing: str) -> None:
        """Show in the Temporal Web UI a sentence about what the case is doing now."""
        self.doing = doing
        tasks = [gate.task for gate in self.gates.values()]
        workflow.set_current_details(details(self.status, doing, tasks, self.saga.plan()))

    async def write(self, *, opened: TaskView | None = None) -> None:
        """Write all that is not written yet to the database, and a new task, as `Journal.write` does."""
        await self.journal.write(self.status, opened=opened)
