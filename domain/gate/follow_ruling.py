"""Change a gate to another ruling, after an edit of the input or with a new policy."""

from datetime import datetime
from typing import Any

from domain.gate.clock import escalate
from domain.gate.count_decision import close_if_approved
from domain.gate.state import GateEvent, GateState, joined
from domain.gate.timers import already_escalated, steps_text, timers_of
from domain.moments import moment_text
from domain.permissions import among
from domain.ruling import GateRuling
from domain.status import Outcome
from domain.task import Quorum, TaskView

COMPARED = ("candidate_groups", "candidate_users", "excluded_users", "due_at", "expires_at", "veto", "confirm", "rule")
"""The fields of a task that the event of `follow_ruling` compares, before and after."""


def follow_ruling(state: GateState, ruling: GateRuling, now: datetime, *, times: bool) -> GateEvent:
    """Make the gate follow another ruling of the policy. Return an audit event that lists the changes of the task.

    Decisions that were made before still count. If the new ruling needs no people and the input was not edited, the
    rule of the ruling closes the gate. Times that an admin set by hand stay if `times` is False; the times of the
    ruling replace them if `times` is True.
    """
    before, edited = state.task, state.edited
    state.edited = False
    state.excluded = joined(
        [person for person in state.excluded if person not in state.ruling.excluded],
        [*ruling.excluded, *state.task.arranged_by],
    )
    state.ruling = ruling = ruling if edited else _with_kept_times(state, ruling, times)
    if not edited and not ruling.needed:
        state.change(rule=ruling.reason)
        state.close(Outcome.REJECTED_BY_RULE if ruling.decided == "reject" else Outcome.APPROVED_BY_RULE, now)
        state.closed_because = ruling.said
    else:
        needed = max(ruling.quorum, 1) if ruling.needed else 1
        state.change(quorum=Quorum(needed=needed, given=state.task.quorum.given), rule=ruling.reason)
        if not edited:  # an edit changes only the rule and the quorum: people and timers stay
            _adopt_people_and_times(state, ruling, now)
        close_if_approved(state, now)
        state.uncertain = state.open
    changed = _changes(before, state, now)
    summary = state.closed_because or "; ".join(changed) or "nothing changed"
    ruled = ruling.model_dump(mode="json", include={"needed", "rule", "names", "problem", "decided"})
    return GateEvent("rules_changed", f"The gate follows other rules: {summary}", {"changed": changed, **ruled})


def _with_kept_times(state: GateState, ruling: GateRuling, times: bool) -> GateRuling:
    """Return the ruling with its times delayed by past pauses.

    If `times` is False, times that an admin set by hand replace the times of the ruling.
    """
    if times:
        state.change(set_by_hand=[])
    task = state.task
    ruling = ruling.later(task.shifted)
    kept: dict[str, Any] = {name: getattr(task, name) for name in task.set_by_hand}
    if state.expired_before and task.expires_at:
        kept["expires_at"] = task.expires_at  # it has expired once; the end of the policy would end it now
    end = kept.get("expires_at", ruling.expires_at)
    if "due_at" not in kept and end and ruling.due_at:
        kept["due_at"] = min(ruling.due_at, end)
    return ruling.model_copy(update=kept)


def _adopt_people_and_times(state: GateState, ruling: GateRuling, now: datetime) -> None:
    before = state.task
    state.change(
        candidate_groups=ruling.groups,
        candidate_users=ruling.users,
        members=ruling.members,
        excluded_users=state.excluded,
        veto=ruling.veto,
        comment_needed=ruling.comment_needed,
        revision_required=ruling.revision_required,
        confirm=ruling.confirm,
        substitutes=ruling.substitutes,
        due_at=ruling.due_at,
        expires_at=ruling.expires_at,
    )
    timers = timers_of(ruling)
    over = [timer for timer in timers if timer.kind == "escalate" and already_escalated(before, timer, now)]
    escalate(state, *over)
    users = joined(state.task.candidate_users, before.given_by_hand)
    claimed = before.assignee is not None and (
        bool(before.owner) or among(before.assignee, users) or state.task.candidate_groups == before.candidate_groups
    )
    state.change(
        candidate_users=users,
        assignee=before.assignee if claimed else None,
        owner=before.owner if claimed else None,
    )
    state.set_timers([timer for timer in timers if timer not in over and (timer.kind != "remind" or timer.at > now)])
    state.revise("candidates")


def _changes(before: TaskView, state: GateState, now: datetime) -> list[str]:
    """Return one phrase for each change of the task since `before`, such as `veto: yes became no`."""
    task = state.task
    changed = [
        f"{name.replace('_', ' ')}: {_text(old)} became {_text(new)}"
        for name in COMPARED
        if (old := getattr(before, name)) != (new := getattr(task, name))
    ]
    for does in ("remind", "escalate"):
        old, new = steps_text(before.clock, does), steps_text(task.clock, does)
        if state.open and old != new:
            changed.append(f"{does}: {old} became {new}")
    if before.quorum.needed != task.quorum.needed:
        changed.append(f"approvals needed: {before.quorum.needed} became {task.quorum.needed}")
    if state.open and task.expires_at and task.expires_at <= now:
        changed.append("that end is over already, so it comes at once")
    return changed


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return moment_text(value)
    return ", ".join(map(str, value)) or "nobody" if isinstance(value, list) else str(value)
