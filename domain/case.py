"""What a case starts with, what happened to it, and how it ended."""

from typing import Any, Generic

from domain.base import InputT, Message
from domain.moments import BoundedMoment, Length
from domain.status import Status
from domain.step import StepOptions
from domain.task import DecisionView, TaskView
from domain.undo import UndoView

ABOUT = "about"
"""Key in the details of a failure: what it is about, such as the locked account. It tells causes of incidents apart."""


def _about(about: str) -> list[dict[str, str]]:
    return [{ABOUT: about}] if about else []


class CaseInput(Message, Generic[InputT]):
    """What a case starts with. The policy is pinned by its hash: running cases never shift."""

    case_id: str
    process: str
    reference: str
    round: int = 1
    resubmits: str | None = None
    parent: str | None = None
    """The case that asked for this one, and waits for its end."""
    requester: str
    priority: int = 3
    batch_id: str | None = None
    policy_hash: str
    submitted_at: BoundedMoment
    start_at: BoundedMoment | None = None
    steps: dict[str, StepOptions] = {}
    """By step or undo, where the policy has options for it."""
    own_gates: list[str] = []
    """Those of ENGINE_GATES for which the policy has rules."""
    input: InputT


class ChainHead(Message):
    """The head of a case's chain of audit events: how many there are, and the hash of the last."""

    count: int = 0
    hash: str = ""


class CaseResult(Message):
    """How a case ended. Only defects fail a Workflow, so a rejected case is a completed Workflow with this."""

    case_id: str
    status: Status
    reason: str
    output: dict[str, Any] | None = None
    undone: list[str] = []
    """The undo steps that were carried out, newest first, in words."""
    decision: DecisionView | None = None
    """What people said last at a gate that they passed or rejected, of a case that ended by it."""
    rule_at: str = ""
    """The gate at which a rule of the policy rejected the case; empty for every other end."""
    resubmit_after: Length | None = None
    """Of a failed case whose next round starts by itself: how long after its end."""
    audit: ChainHead = ChainHead()


class CaseEvent(Message):
    """One thing that happened to a case. `event_id` is the idempotency key of the record: `<case_id>/<digest>`.

    The digest is of what happened, not a number: a worker that dies between a record and its history is followed by one
    that may hear messages in another order, and must not take the number of something else.
    """

    event_id: str
    case_id: str
    at: BoundedMoment
    kind: str
    actor: str
    """A person's id, `holdgate` for the engine, `temporal` for a raw cancel."""
    summary: str
    data: dict[str, Any] = {}


class CaseState(Message):
    """The status query: one running case as its Workflow knows it."""

    case_id: str
    status: Status
    title: str
    step: str | None = None
    """The step under way, in words."""
    tasks: list[TaskView] = []
    """All tasks the case has opened, oldest first."""
    rollback_plan: list[UndoView] = []
    timeline: list[CaseEvent] = []
    """Every event the Workflow has made, also those SQL has not stored yet."""
