"""Data that a Workflow writes to SQL, and the answers it gets."""

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
    """The changes of a stored task."""

    task_id: str
    status: Literal["open", "closed"]
    outcome: Outcome | None
    given: int
    candidate_groups: list[str]
    candidate_users: list[str]
    members: dict[str, list[str]] = {}
    """Groups whose members at the opening count, with these members."""
    due_at: BoundedMoment | None
    expires_at: BoundedMoment | None
    revision: int
    closed_at: BoundedMoment | None
    priority: int
    state: dict[str, Any] = {}
    """Other changed fields of TaskView, as JSON."""
    counting: list[str] | None = None
    """Ids of the decisions that count; None if they did not change."""


class DecisionRecord(Message):
    """One decision that the Workflow accepted or refused. `refusal` is empty for an accepted decision."""

    decision: Decision
    on_behalf_of: str | None = None
    changes: list[FieldChange] = []
    """The fields of the input that the decision changed."""
    refusal: str = ""
    code: str = ""
    """The kind of refusal: `NotAllowed`, `AlreadyClosed`, `Stale`, ..."""


class ActionRecord(Message):
    """One action that arrived as a Temporal Signal, with its result: the Workflow accepted or refused it.

    `refusal` is empty for an accepted action.
    """

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
        """Return the stored form of an action. `refusal` is empty if the action was accepted."""
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
    """The data that one activity writes in one transaction: events, and the rows of the case and its tasks."""

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
    """The current input, set when people changed it, together with `title`."""
    title: str | None = None
    plan: list[PlannedUndo] | None = None
    """The undos of a rollback, oldest first; None if they did not change."""
    workflow_id: str | None = None
    """The Workflow that writes this record, if it is not the case's own Workflow."""
    result: CaseResult | None = None


class Written(ChainHead):
    """The result of a write: the new head of the case's chain.

    If an end of the case was stored before, `ended` is this end, and it is final.
    """

    ended: CaseResult | None = None


class GateRequest(Message):
    """The input of the local activity that opens a gate.

    `record` holds events that are not yet written. `task` is the task to open if people must decide, without its people
    and clock. `event_id` is the id of the event that the activity writes for the gate.
    """

    record: CaseRecord
    task: TaskView
    case: dict[str, Any]
    """`reference`, `requester`, `priority` and `batch_id`: the name `case` in conditions."""
    policy_hash: str
    input: dict[str, Any]
    """The whole input. `task.input` has masked bank accounts."""
    event_id: str


class Present(Message):
    """The people on a task who can act now. The gate computes from them whether the task can still be decided."""

    there: list[Actor] = []
    """People who are active and not away, each with the people they substitute. Limited to those who matter."""
    giver: Absent | None = None
    """The person who delegated the task, while they are active."""
    silent: list[str] = []
    """People who were asked a question and cannot answer now, and have no substitute who can."""
    left: dict[str, str | None] = {}
    """People on the task who have left, each with their successor. If set, the other fields are not filled."""


class GateOpening(Message):
    """The answer of the activity that opens a gate, from which `domain/gate/opening.py` makes the task and the event.

    The task and the events before it are written if people must decide.
    """

    ruling: GateRuling
    excluded: list[str] = []
    """People who must not decide the gate."""
    said: str = ""
    """What else the event of the opening says: too few people, so the gate was escalated at once."""
    ended: CaseResult | None = None
    """Set if the database already holds an end of the case. That end is final, and nobody is asked."""
