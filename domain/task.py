"""One task at a gate, as people see it."""

import hashlib
from datetime import timedelta
from typing import Any, Literal

from domain.base import FieldChange, Message
from domain.moments import BoundedMoment
from domain.status import Outcome, Substitutes, TaskKind, Verdict


class DecisionView(Message):
    """One decision as it is shown with its task. Withdrawn ones are not shown; the record has them."""

    decision_id: str
    verdict: Verdict
    by: str
    at: BoundedMoment
    comment: str = ""
    on_behalf_of: str | None = None
    """Whose place was taken: of whoever delegated the task, or is away. Both count as one person."""
    edits: list[FieldChange] = []


class Quorum(Message):
    needed: int
    given: int = 0


class Question(Message):
    """Something a reviewer wants to know before deciding. The gate stays open."""

    id: str
    by: str
    to: str
    text: str
    at: BoundedMoment
    answer: str | None = None
    answered_at: BoundedMoment | None = None
    withdrawn_at: BoundedMoment | None = None
    """When the question was taken back, by whoever asked it or by operators."""
    lapsed: bool = False
    """Whoever was asked could not answer: has left, or is away and nobody stands in. The clock does not wait for it."""

    @property
    def open(self) -> bool:
        """Whether the question has neither an answer nor was taken back."""
        return self.answer is None and self.withdrawn_at is None

    @property
    def pending(self) -> bool:
        """Whether the clock waits for the answer."""
        return self.open and not self.lapsed


class ClockStep(Message):
    """One thing that the clock of a task will do if nobody decides."""

    at: BoundedMoment
    does: Literal["remind", "escalate", "reject", "approve"]
    to: list[str] = []
    """Of an escalation: the groups and people whom it adds, or who take the place of those before."""
    replace: bool = False
    fixed: bool = False
    """Set by an admin while the clock stands still: it comes then all the same."""


class TaskView(Message):
    """One open or closed gate of one case, as it lies in an inbox."""

    task_id: str
    case_id: str
    workflow_id: str | None = None
    """The Workflow that asks, where it is not the case's own."""
    process: str
    gate: str
    kind: TaskKind = "gate"
    title: str
    summary: str
    key_fields: dict[str, str] = {}
    money: dict[str, str] = {}
    """`amount` and `currency`, where it is about money."""
    requester: str
    candidate_groups: list[str] = []
    candidate_users: list[str] = []
    excluded_users: list[str] = []
    """People whom the rules refuse though they are candidates: the requester, who decided an earlier gate."""
    members: dict[str, list[str]] = {}
    """Groups with the people they had when the task opened, where the policy says that these count. Of a group that is
    not here, whoever is a member when deciding."""
    assignee: str | None = None
    """Who has claimed it or was given it; nobody else decides it then."""
    owner: str | None = None
    """Who delegated it to the assignee."""
    quorum: Quorum
    veto: bool = True
    """Whether one rejection ends the gate."""
    status: Literal["open", "closed"] = "open"
    outcome: Outcome | None = None
    opened_at: BoundedMoment
    closed_at: BoundedMoment | None = None
    due_at: BoundedMoment | None = None
    expires_at: BoundedMoment | None = None
    priority: int = 3
    revision: int = 1
    verdicts: list[Verdict] = [Verdict.APPROVE, Verdict.REJECT]
    """The verdicts this task takes."""
    comment_needed: list[Verdict] = []
    """The verdicts that need a comment."""
    revision_required: bool = True
    """Whether a decision must name the revision that its person looked at."""
    editable: list[str] = []
    """The fields of the input that may be changed with an approval; all of a changes task with a resubmission."""
    clock: list[ClockStep] = []
    """What happens if nobody decides, in order. While `paused_at` is set it stands still: not what is `fixed`."""
    rule: str = ""
    """Why the gate opened: the condition of the policy that held, or what failed."""
    round: int = 1
    """How often the requester has submitted: 2 after changes were requested once."""
    changes: list[FieldChange] = []
    """What is other than in the round before."""
    set_by_hand: list[Literal["due_at", "expires_at"]] = []
    """The times that an admin has set: another policy leaves them alone unless told otherwise."""
    given_by_hand: list[str] = []
    """People whom an admin has given the task: another policy leaves it to them."""
    arranged_by: list[str] = []
    """Who changed who decides it. They are among `excluded_users`."""
    substitutes: Substitutes = "anyone"
    """Who may decide in the place of somebody who is away and named them."""
    shifted: timedelta = timedelta(0)
    """By how much the clock is behind the policy's: the task was stored late, or waited for answers."""
    questions: list[Question] = []
    paused_at: BoundedMoment | None = None
    """Since when the clock stands still, waiting for an answer."""
    input: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    decisions: list[DecisionView] = []

    @property
    def names(self) -> list[str]:
        """All who have something to do with the open task by name, now or at a later level of escalation."""
        asked = [question.to for question in self.questions if question.pending]
        later = [name for step in self.clock for name in step.to]
        holders = [name for name in (self.assignee, self.owner) if name]
        return list(dict.fromkeys([*self.candidate_users, *holders, *asked, *later]))

    @property
    def digest(self) -> str:
        """Of what a reviewer was shown, for the record of a decision."""
        shown = self.model_dump_json(include={"task_id", "revision", "title", "summary", "rule", "input", "facts"})
        return hashlib.sha256(shown.encode()).hexdigest()
