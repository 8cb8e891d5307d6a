"""Models of a task as pages and API show it: decisions, quorum, questions, deadlines."""

import hashlib
from datetime import timedelta
from typing import Any, Literal

from domain.base import FieldChange, Message
from domain.confirmation import Confirm
from domain.moments import BoundedMoment
from domain.names import OPERATORS
from domain.status import Outcome, Substitutes, TaskKind, Verdict


class DecisionView(Message):
    """One decision as shown with its task. Withdrawn decisions are only in the audit log."""

    decision_id: str
    verdict: Verdict
    by: str
    at: BoundedMoment
    comment: str = ""
    on_behalf_of: str | None = None
    """The person in whose place the decision was made, because this person delegated the task or is away.

    The decision uses the only vote of both people.
    """
    edits: list[FieldChange] = []
    confirmed: Confirm = Confirm.NONE
    """How the person confirmed the decision."""
    name: str = ""
    """The name of the person when the decision was confirmed; empty without a confirmation."""


class Quorum(Message):
    needed: int
    given: int = 0


class Question(Message):
    """A question that a reviewer asks before a decision. A question does not close the gate."""

    id: str
    by: str
    to: str
    text: str
    at: BoundedMoment
    answer: str | None = None
    answered_at: BoundedMoment | None = None
    withdrawn_at: BoundedMoment | None = None
    """When the question was withdrawn, by the person who asked, an operator or an admin."""
    lapsed: bool = False
    """True if the person who was asked has left or is away, and has no substitute who can answer.

    While `lapsed` is True, the clock of the task does not wait for the answer.
    """

    @property
    def open(self) -> bool:
        """Return True if the question is neither answered nor withdrawn."""
        return self.answer is None and self.withdrawn_at is None

    @property
    def pending(self) -> bool:
        """Return True if this question still pauses the clock of its task."""
        return self.open and not self.lapsed


class ClockStep(Message):
    """A planned event of a task: a reminder, an escalation or the expiry.

    The event happens at `at`, unless the task is closed earlier, a pause delays the event, or the time is changed.
    """

    at: BoundedMoment
    does: Literal["remind", "escalate", "reject", "approve"]
    to: list[str] = []
    """For an escalation: the groups and people who are added, or who replace the present candidates."""
    replace: bool = False
    fixed: bool = False
    """True if an admin set the time during a pause of the clock, which then does not delay the event."""


class TaskView(Message):
    """One open or closed task of one case, as shown in an inbox."""

    task_id: str
    case_id: str
    workflow_id: str | None = None
    """The id of the Workflow that opened the task, such as a rollback; None if the case's own Workflow opened it."""
    batch_id: str | None = None
    """The upload from which the case was started; None for a case without one."""
    process: str
    gate: str
    kind: TaskKind = "gate"
    title: str
    summary: str
    key_fields: dict[str, str] = {}
    money: dict[str, str] = {}
    """`amount` and `currency`, if the case has them."""
    requester: str
    on_behalf_of: str | None = None
    """The person for whom a service account asks; None if the requester is a person, or no person was named."""
    asked_for: list[str] = []
    """The people who count as requester in every rule, beside `requester`: the person in `on_behalf_of`, and the owners
    of the service account. Empty if and only if the requester is a person.
    """
    candidate_groups: list[str] = []
    candidate_users: list[str] = []
    excluded_users: list[str] = []
    """People whom the rules exclude, such as people who decided another gate.

    The requester need not be in this list.
    """
    members: dict[str, list[str]] = {}
    """The members of groups when the task opened, if the policy says that only these members can decide.

    For all other groups, the members at the time of the decision can decide.
    """
    operators: list[str] = [OPERATORS]
    """The groups that operate the process by the policy of the case, so that their members may reassign the task."""
    assignee: str | None = None
    """The person who has claimed the task or to whom the task was given; None without one.

    While a task has an assignee, only the assignee, or a substitute of the assignee, can decide the task.
    """
    owner: str | None = None
    """The person who delegated the task to the assignee."""
    quorum: Quorum
    veto: bool = True
    """True if one rejection ends the gate."""
    status: Literal["open", "closed"] = "open"
    outcome: Outcome | None = None
    opened_at: BoundedMoment
    closed_at: BoundedMoment | None = None
    due_at: BoundedMoment | None = None
    expires_at: BoundedMoment | None = None
    priority: int = 3
    revision: int = 1
    verdicts: list[Verdict] = [Verdict.APPROVE, Verdict.REJECT]
    """The verdicts that a person can choose for this task."""
    comment_needed: list[Verdict] = []
    """The verdicts that need a comment."""
    revision_required: bool = True
    """True if a decision must name the revision that the person saw."""
    confirm: Confirm = Confirm.NONE
    """How a person must confirm each decision."""
    editable: list[str] = []
    """The fields of the input that may be changed with an approval, a new submission or a retry."""
    clock: list[ClockStep] = []
    """The planned events of the task if nobody decides, in order of time.

    While `paused_at` is set, only events with `fixed` happen.
    """
    rule: str = ""
    """Why the gate opened: the condition of the policy that was true, or the failure."""
    round: int = 1
    """The number of the submission: 2 after requested changes were made once, or a retry changed the input once."""
    changes: list[FieldChange] = []
    """The fields of the input that have changed since the previous round: by the requester, by operators who retried a
    step, or by an approval with edits.
    """
    set_by_hand: list[Literal["due_at", "expires_at"]] = []
    """The times that an admin set.

    If another policy is applied, these times stay, unless the admin asks to replace them.
    """
    given_by_hand: list[str] = []
    """People to whom an admin gave the task. If another policy is applied, these people stay candidates."""
    arranged_by: list[str] = []
    """People who changed who decides the task. These people are also in `excluded_users`."""
    substitutes: Substitutes = "anyone"
    """Who may decide as a substitute of a candidate who is away."""
    shifted: timedelta = timedelta(0)
    """By how much the times of the task were delayed, because the task was stored late or waited for answers."""
    questions: list[Question] = []
    paused_at: BoundedMoment | None = None
    """When a question paused the clock; None while the clock runs."""
    input: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    salt: str | None = None
    """The salt of the case, which `digest` covers; None for a case without a salt."""
    decisions: list[DecisionView] = []

    @property
    def without_facts(self) -> "TaskView":
        """Return the task without its facts, which can be large."""
        return self.model_copy(update={"facts": {}})

    @property
    def contact(self) -> str:
        """Return the person to ask about the request: the requester, or for a service account a person it asks for."""
        return self.on_behalf_of or next(iter(self.asked_for), self.requester)

    @property
    def names(self) -> list[str]:
        """Return the names on the open task.

        The names are candidates by name, the assignee, the person who delegated the task, people who are asked, and the
        groups and people of later escalations.
        """
        asked = [question.to for question in self.questions if question.pending]
        later = [name for step in self.clock for name in step.to]
        holders = [name for name in (self.assignee, self.owner) if name]
        return list(dict.fromkeys([*self.candidate_users, *holders, *asked, *later]))

    @property
    def digest(self) -> str:
        """Return a digest of the salt and of the data that a reviewer was shown, for the audit log."""
        shown = self.model_dump_json(include={"task_id", "revision", "title", "summary", "rule", "input", "facts"})
        return hashlib.sha256(((self.salt or "") + shown).encode()).hexdigest()
