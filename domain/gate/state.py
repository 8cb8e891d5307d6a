"""The state of one gate, and the few ways to change it. Everything else in this package is a function of the state."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain.gate.timers import Timer, steps_of, timers_of
from domain.records import TaskPatch
from domain.ruling import GateRuling
from domain.status import Outcome
from domain.task import ClockStep, TaskView

STORED = {
    *("members", "assignee", "owner", "quorum", "veto", "verdicts", "comment_needed", "editable", "rule", "round"),
    *("changes", "questions", "paused_at", "input", "title", "key_fields", "money", "summary"),
    *("excluded_users", "clock", "set_by_hand", "given_by_hand", "shifted", "revision_required"),
    *("arranged_by", "substitutes"),
}
"""Fields of a task that may change and have no field of their own in TaskPatch."""


@dataclass(frozen=True)
class GateEvent:
    """An event of a gate, for the audit log."""

    kind: str
    summary: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass
class GateState:
    """All data of one gate. The outcome is set once and never changes."""

    task: TaskView
    """The task as people see it now. Only `change` replaces it."""
    ruling: GateRuling
    """The rules of the policy that the gate follows."""
    timers: list[Timer]
    """The timers that have not fired, in order."""
    excluded: list[str]
    """People who must not decide: by the ruling, by other gates, and after changing who decides."""
    edited: bool = False
    """True if an edited input still needs a ruling. Nobody can decide until then."""
    uncertain: bool = False
    """True if a recount is needed, because perhaps nobody can decide any more."""
    short: str = ""
    """Why nobody can decide after the last escalation; empty while somebody can decide."""
    closed_because: str = ""
    """A sentence about the rule that ended the open gate."""
    expired_before: bool = False
    """True if the gate has expired once and was escalated instead of closed."""
    due_fixed: bool = False
    """True if an admin set the due time during a pause of the clock."""
    revised: list[tuple[int, str]] = field(default_factory=list)
    """The revisions of the task, each with its change."""
    changed: set[str] = field(default_factory=set)
    """Fields of the task that changed since the gate opened."""

    @classmethod
    def opened(cls, task: TaskView, ruling: GateRuling) -> "GateState":
        """Return the state of a gate that opens."""
        state = cls(task, ruling, timers_of(ruling), task.excluded_users)
        # A stored task already shows its clock, and `follow_ruling` compares with that.
        if not task.clock and (steps := state.steps):
            state.change(clock=steps)
        return state

    @property
    def open(self) -> bool:
        """Return True if the gate has no outcome yet."""
        return self.task.outcome is None

    @property
    def steps(self) -> list[ClockStep]:
        """Return the timers as the task shows them."""
        over = self.ruling.on_expiry == "escalate" and self.expired_before
        return steps_of(self.timers, self.task.opened_at, "reject" if over else self.ruling.on_expiry)

    def change(self, **fields: Any) -> None:
        """Set fields of the task."""
        self.changed |= fields.keys()
        self.task = self.task.model_copy(update=fields)

    def set_timers(self, timers: list[Timer]) -> None:
        """Replace the timers."""
        self.timers = timers
        self.change(clock=self.steps)

    def revise(self, what: str) -> None:
        """Add 1 to the revision of the task, after a change of data about which reviewers decide.

        `what` describes the change.
        """
        self.change(revision=self.task.revision + 1)
        self.revised.append((self.task.revision, what))

    def exclude(self, people: Sequence[str]) -> None:
        """Exclude people who decided another gate of the case."""
        excluded = joined(self.excluded, people)
        if excluded != self.task.excluded_users:
            self.change(excluded_users=excluded)
            self.uncertain = True

    def close(self, outcome: Outcome, at: datetime) -> None:
        """Close the gate. The first outcome is final."""
        if self.open:
            self.change(outcome=outcome, status="closed", closed_at=at, paused_at=None)

    def patch(self, *, whole: bool) -> TaskPatch:
        """Return the changes for the stored task. `whole`: all fields that may change, and the decisions that count."""
        task = self.task
        return TaskPatch(
            task_id=task.task_id,
            status=task.status,
            outcome=task.outcome,
            given=task.quorum.given,
            candidate_groups=task.candidate_groups,
            candidate_users=task.candidate_users,
            members=task.members,
            due_at=task.due_at,
            expires_at=task.expires_at,
            revision=task.revision,
            closed_at=task.closed_at,
            priority=task.priority,
            state=task.model_dump(mode="json", include=STORED if whole else self.changed & STORED),
            counting=[view.decision_id for view in task.decisions] if whole else None,
        )


def joined(names: Sequence[str], more: Sequence[str]) -> list[str]:
    """Return `names`, followed by those of `more` that are not in `names`."""
    return [*names, *(name for name in dict.fromkeys(more) if name not in names)]
