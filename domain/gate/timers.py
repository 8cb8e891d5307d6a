"""The timers of a gate, and how they are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from domain.moments import after, moment_text
from domain.ruling import GateRuling
from domain.status import OnExpiry
from domain.task import ClockStep, TaskView


@dataclass(frozen=True)
class Timer:
    """A planned event of a gate at a moment: a reminder, an escalation or the expiry."""

    at: datetime
    kind: Literal["remind", "escalate", "expire"]
    groups: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    replace: bool = False
    """For an escalation: True if its groups and users replace the candidates; False if they are added."""
    priority: int | None = None
    fixed: bool = False
    """True if an admin set this timer during a pause, which then neither stops nor delays the timer."""

    @property
    def label(self) -> str:
        """Return the text of the timer in the Temporal Web UI."""
        match self.kind:
            case "remind":
                return "remind the candidates"
            case "escalate":
                return f"escalate to {', '.join(self.groups + self.users)}"
            case "expire":
                return "the task expires"


def timers_of(ruling: GateRuling) -> list[Timer]:
    """Return the timers of a ruling, in order."""
    levels = (
        Timer(level.at, "escalate", tuple(level.groups), tuple(level.users), level.replace, level.priority)
        for level in ruling.escalations
    )
    end = [Timer(ruling.expires_at, "expire")] if ruling.expires_at else []
    return in_order([*(Timer(at, "remind") for at in ruling.reminders), *levels, *end])


def in_order(timers: Sequence[Timer]) -> list[Timer]:
    """Return the timers in the order of their moments, the earliest first."""
    return sorted(timers, key=lambda timer: timer.at)


def steps_of(timers: Sequence[Timer], opened_at: datetime, on_expiry: OnExpiry) -> list[ClockStep]:
    """Return the timers in the form in which a task shows them.

    `on_expiry` is the action at the next expiry, such as `reject`.

    If `on_expiry` is `escalate`, the gate gets after its first expiry as much time again as before. With `escalate`,
    the list also shows the second expiry, with the action `reject`.
    """
    steps: list[ClockStep] = []
    for place, timer in enumerate(timers):
        names = [*timer.groups, *timer.users]
        if timer.kind == "remind":
            steps.append(ClockStep(at=timer.at, does="remind"))
        elif timer.kind == "escalate":
            steps.append(ClockStep(at=timer.at, does="escalate", to=names, replace=timer.replace))
        elif on_expiry == "approve":
            steps.append(ClockStep(at=timer.at, does="approve", fixed=timer.fixed))
        elif on_expiry == "escalate" and (later := [each for each in timers[place:] if each.kind == "escalate"]):
            to = [name for each in later for name in (*each.groups, *each.users)]
            steps.append(ClockStep(at=timer.at, does="escalate", to=list(dict.fromkeys(to)), fixed=timer.fixed))
            steps.append(ClockStep(at=after(timer.at, timer.at - opened_at), does="reject"))
        elif on_expiry == "escalate":
            steps.append(ClockStep(at=after(timer.at, timer.at - opened_at), does="reject"))
        else:
            steps.append(ClockStep(at=timer.at, does="reject", fixed=timer.fixed))
        if timer.kind == "expire":
            break
    return steps


def already_escalated(task: TaskView, level: Timer, now: datetime) -> bool:
    """Return True if a gate that follows another ruling needs no timer and no audit event for an escalation level.

    A level needs none if its people are candidates of the task already. A level that replaces the candidates or sets a
    priority must also be due.
    """
    named, asked = {*level.groups, *level.users}, {*task.candidate_groups, *task.candidate_users}
    if level.replace or level.priority is not None:
        return level.at <= now and (named == asked if level.replace else named <= asked)
    return named <= asked


def steps_text(steps: Sequence[ClockStep], does: str) -> str:
    """Return the times of the timers of one kind as text: `directors 2027-07-01 04:00 UTC` for an escalation."""
    found = [step for step in steps if step.does == does]
    texts = (f"{'only ' if step.replace else ''}{', '.join(step.to)} {moment_text(step.at)}".strip() for step in found)
    return ", ".join(texts) or "never"
