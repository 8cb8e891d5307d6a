"""What the clock of a gate will do, and how that is told. Pure, as the gate is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from domain.ruling import GateRuling
from domain.status import OnExpiry
from domain.task import ClockStep, TaskView
from workflows.bounds import after
from workflows.moments import moment_text


@dataclass(frozen=True)
class Alarm:
    """One thing the clock of a gate will do."""

    at: datetime
    kind: Literal["remind", "escalate", "expire"]
    groups: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    replace: bool = False
    priority: int | None = None
    fixed: bool = False
    """Set by an admin while the clock stood still: that neither delays it nor moves it."""

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


def alarms_of(ruling: GateRuling) -> list[Alarm]:
    levels = (
        Alarm(level.at, "escalate", tuple(level.groups), tuple(level.users), level.replace, level.priority)
        for level in ruling.escalations
    )
    end = [Alarm(ruling.expires_at, "expire")] if ruling.expires_at else []
    return sorted([*(Alarm(at, "remind") for at in ruling.reminders), *levels, *end], key=lambda alarm: alarm.at)


def clock_of(alarms: Sequence[Alarm], opened_at: datetime, on_expiry: OnExpiry) -> list[ClockStep]:
    """`on_expiry`: what the next expiry does. Escalated, it runs once more as long and is then rejected."""
    steps: list[ClockStep] = []
    for place, alarm in enumerate(alarms):
        names = [*alarm.groups, *alarm.users]
        if alarm.kind == "remind":
            steps.append(ClockStep(at=alarm.at, does="remind"))
        elif alarm.kind == "escalate":
            steps.append(ClockStep(at=alarm.at, does="escalate", to=names, replace=alarm.replace))
        elif on_expiry == "approve":
            steps.append(ClockStep(at=alarm.at, does="approve", fixed=alarm.fixed))
        elif on_expiry == "escalate" and (later := [each for each in alarms[place:] if each.kind == "escalate"]):
            to = [name for each in later for name in (*each.groups, *each.users)]
            steps.append(ClockStep(at=alarm.at, does="escalate", to=list(dict.fromkeys(to)), fixed=alarm.fixed))
            steps.append(ClockStep(at=after(alarm.at, alarm.at - opened_at), does="reject"))
        elif on_expiry == "escalate":
            steps.append(ClockStep(at=after(alarm.at, alarm.at - opened_at), does="reject"))
        else:
            steps.append(ClockStep(at=alarm.at, does="reject", fixed=alarm.fixed))
        if alarm.kind == "expire":
            break
    return steps


def has_had(task: TaskView, level: Alarm, now: datetime) -> bool:
    """Whether the people of a level of escalation have the task already, as it rang or came early for want of people.

    Then another policy gives it to them without a word.
    """
    named, asked = {*level.groups, *level.users}, {*task.candidate_groups, *task.candidate_users}
    if level.replace or level.priority is not None:
        return level.at <= now and (named == asked if level.replace else named <= asked)
    return named <= asked


def steps_said(clock: Sequence[ClockStep], does: str) -> str:
    """When the clock reminds, or to whom it escalates when."""
    steps = [step for step in clock if step.does == does]
    said = (f"{'only ' if step.replace else ''}{', '.join(step.to)} {moment_text(step.at)}".strip() for step in steps)
    return ", ".join(said) or "never"
