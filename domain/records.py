"""What a Workflow writes to SQL, and what it gets back."""

from typing import Any, Literal

from domain.base import FieldChange, Message
from domain.case import CaseEvent, CaseResult, ChainHead
from domain.messages import Absent, Act, Action, Actor, Decision
from domain.moments import BoundedMoment
from domain.ruling import GateRuling
from domain.status import Outcome, Status
from domain.task import TaskView
from domain.undo import PlannedUndo


class TaskPatch(Message):
    """What changed on a stored task."""

    task_id: str
    status: Literal["open", "closed"]
    outcome: Outcome | None
    given: int
    candidate_groups: list[str]
    candidate_users: list[str]
    members: dict[str, list[str]] = {}
    """Groups whose members at the opening count, with those."""
    due_at: BoundedMoment | None
    expires_at: BoundedMoment | None
    revision: int
    closed_at: BoundedMoment | None
    priority: int
    state: dict[str, Any] = {}
    """Whatever else may change on a task: fields of TaskView as JSON."""
    counting: list[str] | None = None
    """Ids of the decisions that count; None: those of which it is known already."""


class DecisionRecord(Message):
    """One decision as the Workflow judged it. `refusal` is empty when it was accepted."""

    decision: Decision
    on_behalf_of: str | None = None
    changes: list[FieldChange] = []
    """What it changed in the input."""
    refusal: str = ""
    code: str = ""
    """The kind of refusal: `NotAllowed`, `AlreadyClosed`, `Stale`, ..."""


class ActionRecord(Message):
    """One action that came by signal, as the Workflow judged it. `refusal` is empty when it was done."""

    action_id: str
    task_id: str
    act: Act
    person: str
    content: str
    at: BoundedMoment
    refusal: str = ""
    code: str = ""

    @classmethod
    def of(cls, action: Action, refusal: str = "", code: str = "") -> "ActionRecord":
        """What became of an action."""
        return cls(
            action_id=action.id,
            task_id=action.task_id,
            act=action.act,
            person=action.by.id,
            content=action.content,
            at=action.at,
            refusal=refusal,
            code=code,
        )


class CaseRecord(Message):
    """What one record activity writes, in one transaction: events, and the projection they lead to."""

    case_id: str
    status: Status
    events: list[CaseEvent] = []
    opened: list[TaskView] = []
    patched: list[TaskPatch] = []
    decisions: list[DecisionRecord] = []
    withdrawn: list[str] = []
    """Ids of accepted decisions that no longer count."""
    actions: list[ActionRecord] = []
    input: dict[str, Any] | None = None
    """The input as it is from now on, where people changed it; with `title`."""
    title: str | None = None
    plan: list[PlannedUndo] | None = None
    """What a rollback would undo, oldest first; None where that has not changed."""
    workflow_id: str | None = None
    """The Workflow that writes this, where it is not the case's own."""
    result: CaseResult | None = None


class Written(ChainHead):
    """The head of the chain; and if the end of the case was recorded before, that end: it stands."""

    ended: CaseResult | None = None


class GateRequest(Message):
    """What the local activity that opens a gate receives.

    `record` holds the events that wait to be written; `task` is the task as it will be if the gate is needed, its
    people and clock still empty; `event_id` is for the event which the activity writes for the gate itself.
    """

    record: CaseRecord
    task: TaskView
    case: dict[str, Any]
    """`reference`, `requester`, `priority`, `batch_id`: what conditions see as `case`."""
    policy_hash: str
    input: dict[str, Any]
    """The whole input; `task.input` is the one that is shown, with bank accounts masked."""
    event_id: str


class Present(Message):
    """The people whom a task concerns and who can act now: what "can this still be decided?" goes by."""

    there: list[Actor] = []
    """Active and not away, each with those who are away and named them as substitute. No more of them than matter."""
    giver: Absent | None = None
    """Who delegated the task, as long as they are active."""
    silent: list[str] = []
    """Of those who were asked a question: who can answer none now, and has no substitute who can."""
    left: dict[str, str | None] = {}
    """Those it names who have left, each with who came after. Then nobody has looked who is there."""


class GateOpening(Message):
    """What opening a gate came to: the ruling, the task if people must decide, and the event that was written."""

    ruling: GateRuling
    task: TaskView | None
    event: CaseEvent
    ended: CaseResult | None = None
    """If the record holds an end of the case already: that stands, and nobody is asked."""
