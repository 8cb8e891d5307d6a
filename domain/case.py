"""The start input of a case, its audit events and its result."""

from typing import Any, Generic

from domain.base import InputT, Message
from domain.moments import BoundedMoment, Length
from domain.names import OPERATORS
from domain.status import Status
from domain.step import StepOptions
from domain.task import DecisionView, TaskView
from domain.undo import UndoView

ABOUT = "about"
"""Key in the details of a failure. The value of this key is the subject of the failure, such as the locked account.

Incidents with the same subject are shown as one group.
"""


class CaseInput(Message, Generic[InputT]):
    """The start input of a case.

    The case keeps the policy with the hash `policy_hash` until its end, unless an admin applies a later policy to the
    open gates of the case.
    """

    case_id: str
    process: str
    reference: str
    round: int = 1
    resubmits: str | None = None
    parent: str | None = None
    """The case that requested this case and waits until this case ends."""
    requester: str
    on_behalf_of: str | None = None
    """The person for whom a service account asks; None if the requester is a person, or no person was named."""
    asked_for: list[str] = []
    """The people who count as requester in every rule, beside `requester`: the person in `on_behalf_of`, and the owners
    of the service account. Empty if and only if the requester is a person.
    """
    priority: int = 3
    batch_id: str | None = None
    policy_hash: str
    submitted_at: BoundedMoment
    start_at: BoundedMoment | None = None
    steps: dict[str, StepOptions] = {}
    """The retry options that the policy sets, by the name of the step or undo."""
    salt: str | None = None
    """A random text in every digest of the content of the case. The erasure of the case erases the salt, too, so that
    nobody can guess the content. None for a case that an earlier version started.
    """
    own_gates: list[str] = []
    """The gates of ENGINE_GATES for which the policy has rules."""
    operators: list[str] = [OPERATORS]
    """The groups that operate the process by the policy: they decide about failures, and may reassign tasks."""
    input: InputT


class ChainHead(Message):
    """The head of a case's hash chain: the number of audit events and the hash of the last one."""

    count: int = 0
    hash: str = ""


class CaseResult(Message):
    """The result with which the Workflow of a case completes: how the case ended.

    The Workflow of a rejected case completes, too.

    A Workflow fails only after a defect, if the database has no such case, or if a rollback has taken over the case.
    """

    case_id: str
    status: Status
    reason: str
    output: dict[str, Any] | None = None
    undone: list[str] = []
    """One sentence for each undo that ran, the last one first."""
    decision: DecisionView | None = None
    """For a completed or rejected case: the last decision on a gate that people approved or rejected; otherwise None.
    """
    rule_at: str = ""
    """The name of the gate at which a rule of the policy rejected the case; empty if the case ended in another way."""
    resubmit_after: Length | None = None
    """For a failed case whose next round starts automatically: the time between its end and that start."""
    audit: ChainHead = ChainHead()


class CaseEvent(Message):
    """One audit event of a case. `event_id` is its idempotency key in the audit log: `<case_id>/<digest>`.

    The id is a digest of the content and not a number. A worker can die after it has written an event to SQL and before
    Temporal's history shows the write. The next worker may receive messages in another order, and must not reuse a
    number for another event.
    """

    event_id: str
    case_id: str
    at: BoundedMoment
    kind: str
    actor: str
    """The id of a person, `holdgate` for the engine, or `temporal` for a change in Temporal itself and for a refused
    message whose sender nobody has verified.
    """
    summary: str
    data: dict[str, Any] = {}


class CaseState(Message):
    """The answer to the Workflow query `status`: the state of a running case as its Workflow knows it."""

    case_id: str
    status: Status
    title: str
    step: str | None = None
    """A sentence about the step that is running."""
    tasks: list[TaskView] = []
    """All tasks that the case has opened, oldest first."""
    rollback_plan: list[UndoView] = []
    timeline: list[CaseEvent] = []
    """All events of the Workflow, including those not yet in SQL."""
