"""Timers of a gate: reminders, escalation, expiry, and pauses while a question waits for an answer."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from domain.gate.state import GateEvent, GateState, joined
from domain.gate.timers import Timer, in_order
from domain.messages import Action
from domain.moments import after, moment_text
from domain.status import Outcome


def next_timer(state: GateState) -> Timer | None:
    """Return the next timer that will fire; None if no timer will fire.

    While a question pauses the clock, only timers that an admin has set in this pause fire.
    """
    timers = state.timers if state.task.paused_at is None else [timer for timer in state.timers if timer.fixed]
    return timers[0] if state.open and timers else None


def fire_timers(state: GateState, now: datetime) -> list[GateEvent]:
    """Fire all timers that are due at `now`, in their order. Return the events for the audit log."""
    events = []
    while (timer := next_timer(state)) and timer.at <= now:
        state.set_timers([each for each in state.timers if each is not timer])
        match timer.kind:
            case "remind":
                events.append(_remind(state))
            case "escalate":
                events.append(escalate(state, timer))
            case "expire":
                events.append(_expire(state, timer.at, now))
    return events


def _remind(state: GateState) -> GateEvent:
    task = state.task
    names = [task.assignee] if task.assignee else [*task.candidate_groups, *task.candidate_users]
    return GateEvent("gate_reminded", f"{', '.join(names)} reminded of the open task", {"to": names})


def escalate(state: GateState, *levels: Timer) -> GateEvent:
    """Escalate to these levels: add the people of each level to the candidates, or replace the candidates with them.

    The escalation ends a claim on the task. Afterwards a recount is needed: `state.uncertain` is set.
    """
    before = state.task
    state.uncertain = True
    state.change(assignee=None, owner=None)
    for level in levels:
        groups, users = list(level.groups), list(level.users)
        if level.replace:
            state.change(candidate_groups=groups, candidate_users=users)
        else:
            state.change(
                candidate_groups=joined(state.task.candidate_groups, groups),
                candidate_users=joined(state.task.candidate_users, users),
            )
        if level.priority is not None:
            state.change(priority=min(level.priority, state.task.priority))
    now, old = ([*task.candidate_groups, *task.candidate_users] for task in (state.task, before))
    added = [name for name in now if name not in old]
    removed = [name for name in old if name not in now]
    if added or removed:
        # Reviewers see who may decide, so a decision must name the new revision.
        state.revise("candidates")
    data: dict[str, Any] = {"added": added} | ({"removed": removed} if removed else {})
    if before.assignee is not None:
        data["from"] = before.assignee
    return GateEvent("gate_escalated", f"Escalated to {', '.join(added) or 'nobody new'}", data)


def _expire(state: GateState, at: datetime, now: datetime) -> GateEvent:
    """Expire the gate at `at`: reject, approve or escalate it, as the policy says.

    A gate that escalates on expiry gets as much time again as it had until this expiry, and then ends as expired.
    """
    on_expiry = state.ruling.on_expiry
    if on_expiry == "escalate" and not state.expired_before:
        state.expired_before = True
        levels = [timer for timer in state.timers if timer.kind == "escalate"]
        end = Timer(after(at, at - state.task.opened_at), "expire")
        state.set_timers([end])
        state.change(expires_at=end.at)
        event = escalate(state, *levels)
        return GateEvent(
            "gate_expired", f"Nobody decided in time. {event.summary}", {**event.data, "on_expiry": on_expiry}
        )
    if on_expiry == "approve":
        state.close(Outcome.APPROVED_BY_RULE, now)
        return GateEvent(
            "gate_expired", "Nobody decided in time; approved, as the policy says", {"on_expiry": on_expiry}
        )
    state.close(Outcome.EXPIRED, now)
    return GateEvent("gate_expired", "Nobody decided in time", {"on_expiry": on_expiry})


# ---------------------------------------------------------------------------------------------- pauses, and new times


def resume(state: GateState, now: datetime) -> None:
    """Resume the clock at `now` if it is paused, unless another question still needs an answer."""
    since = state.task.paused_at
    if since is not None and not any(question.pending for question in state.task.questions):
        _delay(state, now - since)
        state.change(paused_at=None)


def _delay(state: GateState, by: timedelta) -> None:
    """Delay all timers by the length of a pause, except the times that an admin set during the pause."""
    task, end_fixed = state.task, any(timer.fixed for timer in state.timers)
    delayed = [
        replace(timer, fixed=False) if timer.fixed else replace(timer, at=after(timer.at, by)) for timer in state.timers
    ]
    state.set_timers(in_order(delayed))
    state.change(
        due_at=task.due_at if state.due_fixed else task.due_at and after(task.due_at, by),
        expires_at=task.expires_at if end_fixed else task.expires_at and after(task.expires_at, by),
        shifted=task.shifted + by,
    )
    state.due_fixed = False


def set_clock(state: GateState, action: Action) -> GateEvent:
    """Set the due time, the expiry or both, as an admin asked."""
    times, paused = [], state.task.paused_at is not None
    named = [name for name in ("due_at", "expires_at") if getattr(action, name)]
    state.change(set_by_hand=joined(state.task.set_by_hand, named))
    if action.due_at:
        state.due_fixed = paused
        times.append(f"due {moment_text(action.due_at)}")
        state.change(due_at=action.due_at)
    if end := action.expires_at:
        times.append(f"expires {moment_text(end)}")
        state.change(expires_at=end)
        kept = [timer for timer in state.timers if timer.kind != "expire"]
        state.set_timers(in_order([*kept, Timer(end, "expire", fixed=paused)]))
    return GateEvent("clock_set", f"{action.by.id} moved the clock: {', '.join(times)}. {action.text}")
