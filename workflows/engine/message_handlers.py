"""Message handlers of a case: its Updates, Signals and queries. Each of them delegates to `messages.py`.

Temporal finds handlers on the Workflow class, so this is a base class; it has no other logic.
"""

from collections.abc import Mapping
from typing import Any

from temporalio import workflow

from domain.case import CaseInput, CaseResult, CaseState
from domain.messages import Action, Cancellation, Decision, Receipt, Resynchronise
from domain.records import CaseStart
from domain.refusals import Refusal
from domain.start_digest import start_digest
from domain.status import Status
from domain.undo import PlannedUndo
from workflows.engine.messages import Messages
from workflows.engine.presentation import Presentation
from workflows.engine.read_messages import (
    GuardedWorkflow,
    reads_signal,
    reads_signed_signal,
    reads_signed_update,
    reads_update,
)
from workflows.engine.state import CaseRun

_TERMS = ("policy_hash", "process", "steps", "own_gates", "operators")
"""What the policy says in the start input, and what the database can compare with the policy."""


class MessageHandlers(GuardedWorkflow):
    """The message handlers of a case and of its rollback."""

    def __init__(self, presentation: Presentation, status_after_gate: Status = Status.RUNNING) -> None:
        # No @workflow.init, because the SDK would require the same arguments as each process's `run`.
        self.state = CaseRun(workflow.info().workflow_id, presentation, status_after_gate)
        """The state of the case, for the engine only: a procedure must not change it."""
        self.signals = self.state.signals
        self.messages = Messages(self.state)

    def start_received(self, start: Mapping[str, Any], read: CaseInput[Any]) -> None:
        """Keep what the first write shows to the database, which then confirms that Holdgate started this Workflow."""
        known = {name: getattr(read, name) for name in _TERMS}
        self.state.journal.salt = read.salt
        self.state.journal.start = CaseStart(digest=start_digest({**start, "start_at": read.start_at}), **known)

    # --------------------------------------------------------------------------------------------------------- updates

    @workflow.update(description="Decide a task with one of its verdicts")
    @reads_update
    async def decide(self, decision: Decision) -> Receipt:
        """Decide a task. A repeat with the same id gets the same receipt, but is refused if its content differs."""
        return await self.messages.decide(decision)

    @decide.validator
    @reads_signed_update
    def _check_decide(self, decision: Decision) -> None:
        self.messages.check_decision(decision)

    @workflow.update(description="Claim, release, reassign, delegate, withdraw, ask, answer, move the clock")
    @reads_update
    def act(self, action: Action) -> Receipt:
        """Perform an action on a task other than a decision.

        A repeat with the same id gets the same receipt, but is refused if its content differs.
        """
        return self.messages.act(action)

    @act.validator
    @reads_signed_update
    def _check_act(self, action: Action) -> None:
        self.messages.check_action(action)

    # --------------------------------------------------------------------------------------------------------- signals

    @workflow.signal(description="A decision that no worker answered as an Update: applied or refused later")
    @reads_signed_signal
    def submit_decision(self, decision: Decision) -> None:
        """Decide a task without waiting for the answer. A refusal is recorded."""
        self.messages.submit_decision(decision)

    @workflow.signal(description="An action that no worker answered as an Update: carried out or refused later")
    @reads_signed_signal
    def submit_action(self, action: Action) -> None:
        """Perform an action on a task without waiting for the answer. A refusal is recorded."""
        self.messages.submit_action(action)

    @workflow.signal(description="Stop the case, undo what it did and end cancelled")
    @reads_signed_signal
    def cancel_case(self, cancellation: Cancellation) -> None:
        """Cancel the case, unless it is rolling back, has ended or was cancelled before."""
        self.messages.cancel(cancellation)

    @workflow.signal(description="The Workflow was reset in Temporal: write its tasks to the database again")
    @reads_signed_signal
    def resynchronise(self, reset: Resynchronise) -> None:
        """Write the state of the case to the database again, after somebody has reset the Workflow in Temporal."""
        self.messages.resynchronise(reset.run_id)

    @workflow.signal(description="A case that this one asked for has ended")
    @reads_signal
    def case_ended(self, result: CaseResult) -> None:
        """Receive the news that another case has ended. The database says whether this is true."""
        self.messages.child_ended(result.case_id)

    def message_refused(self, message: str, refusal: Refusal, claimed: str) -> None:
        """Record a Signal that was refused, could not be read, or has no handler."""
        self.messages.message_refused(message, refusal, claimed)

    # --------------------------------------------------------------------------------------------------------- queries

    @workflow.query(description="Status, tasks, rollback plan and timeline")
    def status(self) -> CaseState:
        """Return the case as its Workflow knows it."""
        return self.state.state

    @workflow.query(description="All that a rollback needs, oldest first; answered by ended Workflows, too")
    def plan(self) -> list[PlannedUndo]:
        """Return the undos of a rollback, oldest first."""
        return self.state.saga.planned
