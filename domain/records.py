"""Models of the data that a Workflow writes to SQL through activities, and of the answers of these activities."""

from typing import Any, Literal

from domain.base import FieldChange, Message
from domain.case import CaseEvent, CaseResult, ChainHead
from domain.messages import Absent, Act, Action, Actor, Decision
from domain.moments import BoundedMoment
from domain.names import OPERATORS
from domain.proof.envelope import SignedText
from domain.ruling import GateRuling
from domain.status import Outcome, Status
from domain.step import StepOptions
from domain.task import TaskView
from domain.undo import PlannedUndo


class TaskPatch(Message):
    """The fields of a task that have changed, for the activity that writes them to the stored task."""

    task_id: str
    status: Literal["open", "closed"]
    outcome: Outcome | None
    given: int
    candidate_groups: list[str]
    candidate_users: list[str]
    members: dict[str, list[str]] = {}
    """The members that groups had when the task opened, by group, if the policy says that these members decide."""
    due_at: BoundedMoment | None
    expires_at: BoundedMoment | None
    revision: int
    closed_at: BoundedMoment | None
    priority: int
    state: dict[str, Any] = {}
    """The changed fields of TaskView that have no field of their own in this class, as JSON."""
    counting: list[str] | None = None
    """The ids of the decisions on the task that count; None in a patch that has only changed fields."""


class DecisionRecord(Message):
    """One decision that the Workflow accepted or refused. `refusal` is empty for an accepted decision."""

    decision: Decision
    on_behalf_of: str | None = None
    changes: list[FieldChange] = []
    """The fields of the input that the decision changed."""
    refusal: str = ""
    code: str = ""
    """The code of the refusal: `NotAllowed`, `AlreadyClosed`, `Stale`, ..."""


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


class CaseStart(Message):
    """The start input of a Workflow, as its first write shows it to the activity that checks it."""

    digest: str
    """`start_digest` of the start input."""
    policy_hash: str
    process: str
    steps: dict[str, StepOptions] = {}
    own_gates: list[str] = []
    operators: list[str] = [OPERATORS]


class CaseRecord(Message):
    """The data that one activity writes in one transaction: events, and the rows of the case and its tasks."""

    case_id: str
    status: Status
    start: CaseStart | None = None
    """The start input, until something of the case is written; None afterwards."""
    events: list[CaseEvent] = []
    opened: list[TaskView] = []
    patched: list[TaskPatch] = []
    decisions: list[DecisionRecord] = []
    withdrawn: list[str] = []
    """The ids of decisions that were accepted earlier and no longer count."""
    actions: list[ActionRecord] = []
    proofs: list[SignedText] = []
    """The signatures of the messages that changed the case, with the texts that were signed."""
    input: dict[str, Any] | None = None
    """If people have changed the input: the new input, and `title` is set, too; otherwise None."""
    title: str | None = None
    plan: list[PlannedUndo] | None = None
    """The undos in the rollback plan of the case, the oldest first; None if the plan did not change."""
    gone: list[str] = []
    """The keys of all undos that the Workflow has run or dropped. The stored plan keeps other undos that the Workflow
    does not know."""
    workflow_id: str | None = None
    """The id of the rollback Workflow that writes this record; None if the case's own Workflow writes it."""
    result: CaseResult | None = None


class Written(ChainHead):
    """The result of a write: the new head of the case's chain.

    If an end of the case was stored before, `ended` is this end, which is final.
    """

    ended: CaseResult | None = None
    taken_over: bool = False
    """True if another Workflow, a rollback, runs the case now."""


class GateRequest(Message):
    """The input of the local activity that opens a gate.

    `record` holds events that are not yet written to SQL. `task` is the task to open if people must decide: the
    activity adds the people and the clock. `event_id` is the id of the event that the activity writes for the gate.
    """

    record: CaseRecord
    task: TaskView
    case: dict[str, Any]
    """`reference`, `requester`, `priority` and `batch_id`: the name `case` in conditions."""
    policy_hash: str
    input: dict[str, Any]
    """The whole input. `task.input` has masked fields, such as bank accounts."""
    event_id: str
    look_ahead: bool = False
    """True if the answer must also name the other gates at which nobody must decide: see `GateOpening.unneeded`."""


class Present(Message):
    """The people on a task who can act now.

    From these people the gate computes whether its quorum can still be reached.
    """

    there: list[Actor] = []
    """Active people who are not away, each with the people whom they substitute.

    People of large groups who are not needed to compute the quorum are left out.
    """
    giver: Absent | None = None
    """The person who delegated the task, if this person is active; otherwise None."""
    silent: list[str] = []
    """People who were asked a question, cannot answer now, and have no substitute who can answer now."""
    owners: list[str] = []
    """The present owners of the service account that made the request. They must not decide, also if they became
    owners after the request.
    """
    left: dict[str, str | None] = {}
    """People on the task who have left, each with their successor.

    If `left` is set, the other fields are not filled.
    """


class GateOpening(Message):
    """The answer of the activity that opens a gate.

    `domain/gate/opening.py` makes the task and the event of the opening from this answer. If people must decide, the
    activity has already written the task and all events up to the opening.
    """

    ruling: GateRuling
    excluded: list[str] = []
    """People who must not decide the gate."""
    said: str = ""
    """A sentence for the event of the opening if too few people could decide, so that the gate was escalated at once;
    otherwise empty.
    """
    ended: CaseResult | None = None
    """The end of the case, if the database already holds one; otherwise None.

    That end is final: the gate does not open.
    """
    unneeded: dict[str, GateRuling] = {}
    """The rulings on other gates of the process at which nobody must decide, by gate, for the same input and facts.

    They are final, because they depend on nothing else: the policy is pinned. Only given if the request looks ahead.
    """
