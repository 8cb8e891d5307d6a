"""The gate: who may answer, how many are needed, what the clock does next.

Pure: no Workflow, no server, no wall clock. Every instant comes in as an argument, so all of it is plain Python.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from temporalio.exceptions import ApplicationError

from workflows.models import (
    Decision,
    DecisionView,
    GateRuling,
    Outcome,
    Quorum,
    TaskPatch,
    TaskView,
    Verdict,
)


def refusal(code: str, message: str, **details: Any) -> ApplicationError:
    """A refused message: `code` for programs, one sentence for people, details for the problem document."""
    return ApplicationError(message, details, type=code, non_retryable=True)


@dataclass(frozen=True)
class Alarm:
    """One thing the clock of a gate will do."""

    at: datetime
    kind: Literal["remind", "escalate", "expire"]
    groups: tuple[str, ...] = ()
    users: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """For the timer's summary in the Temporal Web UI."""
        match self.kind:
            case "remind":
                return "remind the candidates"
            case "escalate":
                return f"escalate to {', '.join(self.groups + self.users)}"
            case "expire":
                return "the task expires"


@dataclass(frozen=True)
class Rang:
    """What an alarm did, for the record."""

    kind: str
    summary: str
    data: dict[str, Any]


class Gate:
    """One task and everything that may happen to it until it has an outcome.

    The outcome is set once and never changes.
    """

    def __init__(self, task: TaskView, ruling: GateRuling) -> None:
        self.ruling = ruling
        self._task = task
        self._given = 0
        self._expired_before = False
        self._alarms = sorted(
            [
                *(Alarm(at, "remind") for at in ruling.reminders),
                *(Alarm(level.at, "escalate", tuple(level.groups), tuple(level.users)) for level in ruling.escalations),
                *([Alarm(ruling.expires_at, "expire")] if ruling.expires_at else []),
            ],
            key=lambda alarm: alarm.at,
        )

    @property
    def task(self) -> TaskView:
        """The task as it is now."""
        return self._task

    @property
    def outcome(self) -> Outcome | None:
        """How the gate ended; None while it is open."""
        return self._task.outcome

    @property
    def open(self) -> bool:
        return self._task.outcome is None

    # -------------------------------------------------------------------------------------------------- people's rules

    def check(self, decision: Decision) -> str:
        """The rule that allows this decision; raises the refusal when none does. Changes nothing.

        People rules come before the state of the task: who must not decide learns that, whenever they ask. Refusal
        codes: NotAllowed, AlreadyClosed, Stale, WrongVerdict, CommentNeeded.
        """
        person, task = decision.by.id, self._task
        if person == task.requester:
            raise refusal(
                "NotAllowed",
                "You asked for this case, so somebody else must decide it.",
                rule="separation of duties: the requester never decides",
            )
        rule = self._candidacy(decision)
        if person in task.excluded_users:
            raise refusal(
                "NotAllowed",
                "You decided an earlier gate of this case, so somebody else must decide this one.",
                rule="separation of duties: one person, one gate of a case",
            )
        if task.outcome is not None:
            raise refusal(
                "AlreadyClosed",
                f"This task is closed already: {task.outcome.value.replace('_', ' ')}.",
                outcome=task.outcome.value,
            )
        if decision.revision is not None and decision.revision != task.revision:
            raise refusal(
                "Stale",
                f"The task has changed since you looked at it (revision {task.revision}, you saw {decision.revision}).",
                revision=task.revision,
                changed=["candidates"] if decision.revision < task.revision else [],
            )
        if any(given.by == person for given in task.decisions):
            raise refusal(
                "NotAllowed",
                "You have decided this task already; the others still needed must be other people.",
                rule="quorum: each person counts once",
            )
        if decision.verdict not in task.verdicts:
            allowed = ", ".join(task.verdicts)
            raise refusal(
                "WrongVerdict",
                f"This task does not take '{decision.verdict}'; it takes {allowed}.",
                allowed=list(task.verdicts),
            )
        if decision.verdict is Verdict.SKIP and not decision.comment.strip():
            raise refusal("CommentNeeded", "Say in the comment why the step may be skipped.")
        return rule

    def _candidacy(self, decision: Decision) -> str:
        """The rule by which the person is a candidate; raises NotAllowed for anybody else."""
        task = self._task
        if decision.by.id in task.candidate_users:
            return f"candidate user {decision.by.id}"
        shared = [group for group in decision.by.groups if group in task.candidate_groups]
        if shared:
            return f"member of {shared[0]}"
        names = ", ".join(task.candidate_groups + task.candidate_users) or "nobody"
        raise refusal(
            "NotAllowed", f"You are not among those who may decide this task: {names}.", rule="candidates: " + names
        )

    def decide(self, decision: Decision, now: datetime) -> None:
        """Count a decision that `check` has allowed. One rejection ends the gate; so does the last approval needed."""
        assert self.open, "check() lets no decision through to a closed gate"
        view = DecisionView(
            decision_id=decision.id,
            verdict=decision.verdict,
            by=decision.by.id,
            at=decision.at,
            comment=decision.comment,
        )
        self._change(decisions=[*self._task.decisions, view])
        match decision.verdict:
            case Verdict.APPROVE:
                self._given += 1
                self._change(quorum=Quorum(needed=self._task.quorum.needed, given=self._given))
                if self._given >= self._task.quorum.needed:
                    self.close(Outcome.APPROVED, now)
            case Verdict.REJECT:
                self.close(Outcome.REJECTED, now)
            case Verdict.RETRY | Verdict.SKIP | Verdict.ROLL_BACK:
                self.close(Outcome(decision.verdict.value), now)

    # ------------------------------------------------------------------------------------------------------- the clock

    def next_alarm(self) -> Alarm | None:
        """What the clock does next; None when it does nothing more."""
        return self._alarms[0] if self.open and self._alarms else None

    def ring(self, now: datetime) -> list[Rang]:
        """Do everything that is due at `now`, in order, and say what was done."""
        rang = []
        while (alarm := self.next_alarm()) and alarm.at <= now:
            self._alarms.pop(0)
            match alarm.kind:
                case "remind":
                    rang.append(self._remind())
                case "escalate":
                    rang.append(self._escalate(alarm))
                case "expire":
                    rang.append(self._expire(alarm.at, now))
        return rang

    def _remind(self) -> Rang:
        names = self._task.candidate_groups + self._task.candidate_users
        return Rang("gate_reminded", f"{', '.join(names)} reminded of the open task", {"to": names})

    def _escalate(self, *levels: Alarm) -> Rang:
        groups = _joined(self._task.candidate_groups, [group for level in levels for group in level.groups])
        users = _joined(self._task.candidate_users, [user for level in levels for user in level.users])
        added = [
            name for name in groups + users if name not in self._task.candidate_groups + self._task.candidate_users
        ]
        # Who may decide is part of what a reviewer saw, so the revision moves with it.
        revision = self._task.revision + bool(added)
        self._change(candidate_groups=groups, candidate_users=users, revision=revision)
        return Rang("gate_escalated", f"Escalated to {', '.join(added) or 'nobody new'}", {"added": added})

    def _expire(self, at: datetime, now: datetime) -> Rang:
        """Reject, approve or escalate as the policy says. Escalated, it runs once more as long and is then rejected."""
        on_expiry = self.ruling.on_expiry
        if on_expiry == "escalate" and not self._expired_before:
            self._expired_before = True
            pending = [alarm for alarm in self._alarms if alarm.kind == "escalate"]
            self._alarms = [Alarm(at + (at - self._task.opened_at), "expire")]
            self._change(expires_at=self._alarms[0].at)
            rang = self._escalate(*pending)
            return Rang(
                "gate_expired", f"Nobody decided in time. {rang.summary}", {**rang.data, "on_expiry": on_expiry}
            )
        if on_expiry == "approve":
            self.close(Outcome.APPROVED_BY_RULE, now)
            return Rang(
                "gate_expired", "Nobody decided in time; approved, as the policy says", {"on_expiry": on_expiry}
            )
        self.close(Outcome.EXPIRED, now)
        return Rang("gate_expired", "Nobody decided in time", {"on_expiry": on_expiry})

    def close(self, outcome: Outcome, at: datetime) -> None:
        """End the gate; the first outcome stands."""
        if self.open:
            self._change(outcome=outcome, status="closed", closed_at=at)

    # ------------------------------------------------------------------------------------------------------ for others

    def patch(self) -> TaskPatch:
        """What has changed, for the stored task."""
        task = self._task
        return TaskPatch(
            task_id=task.task_id,
            status=task.status,
            outcome=task.outcome,
            given=self._given,
            candidate_groups=task.candidate_groups,
            candidate_users=task.candidate_users,
            due_at=task.due_at,
            expires_at=task.expires_at,
            revision=task.revision,
            closed_at=task.closed_at,
        )

    def _change(self, **fields: Any) -> None:
        self._task = self._task.model_copy(update=fields)


def _joined(names: list[str], more: list[str]) -> list[str]:
    return names + [name for name in dict.fromkeys(more) if name not in names]
