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
    *("excluded_users", "clock", "set_by_hand", "given_by_hand", "shifted", "revision_required", "confirm"),
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
    """The task as people see it now. Only the method `change` may replace this object."""
    ruling: GateRuling
    """The ruling of the policy that the gate follows now."""
    timers: list[Timer]
    """The timers that have not fired, in order."""
    excluded: list[str]
    """People who must not decide this gate.

    The ruling excludes these people, or they decided another gate of the case, changed the input, took over the
    request, or changed who can decide this gate.
    """
    edited: bool = False
    """True if an approval has edited the input and the gate has no ruling for the new input yet.

    Nobody can decide until the gate has the ruling for the new input.
    """
    uncertain: bool = False
    """True if a recount is needed, because perhaps too few people can decide."""
    short: str = ""
    """Why too few people can decide after the last escalation; empty while enough people can decide."""
    closed_because: str = ""
    """A sentence about the rule of the policy that ended the gate after it had opened; empty if no rule ended it."""
    expired_before: bool = False
    """True if the gate has expired once and was escalated instead of closed."""
    due_fixed: bool = False
    """True if an admin set the due time during a pause of the clock."""
    revised: list[tuple[int, str]] = field(default_factory=list)
    """The revisions of the task: each number with the name of the change that made it, such as `input`."""
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
        """Return the timers that have not fired, in the form in which the task shows them."""
        over = self.ruling.on_expiry == "escalate" and self.expired_before
        return steps_of(self.timers, self.task.opened_at, "reject" if over else self.ruling.on_expiry)

    def change(self, **fields: Any) -> None:
        """Set these fields of the task, and note their names in `changed`."""
        self.changed |= fields.keys()
        self.task = self.task.model_copy(update=fields)

    def set_timers(self, timers: list[Timer]) -> None:
        """Replace the timers of the gate, and show the new timers on the task."""
        self.timers = timers
        self.change(clock=self.steps)

    def revise(self, what: str) -> None:
        """Add 1 to the revision of the task, because data changed that reviewers need for their decision.

        `what` is the name of the change, such as `input` or `candidates`.
        """
        self.change(revision=self.task.revision + 1)
        self.revised.append((self.task.revision, what))

    def exclude(self, people: Sequence[str]) -> None:
        """Forbid these people to decide this gate, for example because they decided another gate of the case."""
        excluded = joined(self.excluded, people)
        if excluded != self.task.excluded_users:
            self.change(excluded_users=excluded)
            self.uncertain = True

    def exclude_for_good(self, people: Sequence[str]) -> None:
        """Forbid these people to decide this gate, also if the other exclusions are computed again."""
        self.excluded = joined(self.excluded, people)
        self.change(excluded_users=joined(self.task.excluded_users, people))
        self.uncertain = True

    def close(self, outcome: Outcome, at: datetime) -> None:
        """Close the gate with this outcome. If the gate is closed already, do nothing."""
        if self.open:
            self.change(outcome=outcome, status="closed", closed_at=at, paused_at=None)

    def patch(self, *, whole: bool) -> TaskPatch:
        """Return the changes to write to the stored task.

        If `whole` is True, return all fields that can change, and the ids of the decisions that count. Otherwise return
        only the changed fields.
        """
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
    """Return `names`, followed by the entries of `more` that are not in `names`."""
    return [*names, *(name for name in dict.fromkeys(more) if name not in names)]
