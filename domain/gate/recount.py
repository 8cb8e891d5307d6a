"""Check whether enough people are left to decide a gate, and react if not."""

from datetime import datetime

from domain.gate.clock import escalate
from domain.gate.count_decision import given
from domain.gate.questions import lapse_questions
from domain.gate.state import GateEvent, GateState
from domain.gate.timers import Timer
from domain.permissions import among, requesters
from domain.quorum import answering, decisions_left
from domain.records import Present
from domain.status import Outcome, Verdict


def recount(state: GateState, present: Present, now: datetime) -> list[GateEvent]:
    """Check whether the people in `present`, who can act now, can reach the quorum.

    The present owners of the service account that made the request must not decide from now on.

    If the quorum cannot be reached, react and return the events:

    - A claim ends when nobody can decide under it.
    - A paused clock is resumed when nobody can answer the question for which it waits.
    - Rejections without veto end the gate when they make the quorum impossible.
    - If abstentions or missing people make the quorum impossible, the next escalation comes at once.
    - If no escalation is left, `state.short` is set to the reason. Operators are then asked to add people or to roll
      back the case.
    """
    if not state.open:
        return []
    others = [person for person in present.owners if not among(person, [*requesters(state.task), *state.excluded])]
    if others and state.task.kind != "changes":
        state.exclude_for_good(others)
    events = [*lapse_questions(state, present.silent, now), *_end_vain_claim(state, present)]
    task = state.task
    so_far, left = given(task), decisions_left(task, present)
    missing = task.quorum.needed - so_far - left
    if missing <= 0:
        state.short = ""
        return events
    abstained = sum(view.verdict is Verdict.ABSTAIN for view in task.decisions)
    rejected = sum(view.verdict is Verdict.REJECT for view in task.decisions)
    if rejected and missing > abstained:
        state.close(Outcome.REJECTED, now)
        return events
    what = "approvals" if task.kind == "gate" else "answers"
    cause = f"{task.quorum.needed} {what} are needed; {so_far} given, {left} of the candidates can still decide"
    counts = {"needed": task.quorum.needed, "given": so_far, "left": left}
    if level := _next_escalation(state, now):
        event = escalate(state, level)
        return [*events, GateEvent("gate_escalated", f"{cause}. {event.summary} at once", event.data | counts)]
    if not state.short:
        events.append(GateEvent("gate_short", f"Too few people are left to decide: {cause}", counts))
    state.short = cause
    return events


def _end_vain_claim(state: GateState, present: Present) -> list[GateEvent]:
    holder = state.task.assignee
    if holder is None or any(answering(state.task, present)):
        return []
    state.change(assignee=None, owner=None)
    summary = f"{holder} cannot decide the task any more, so it is free again"
    return [GateEvent("task_released", summary, {"from": holder, "to": None})]


def _next_escalation(state: GateState, now: datetime) -> Timer | None:
    """Remove the next escalation from the timers and return this escalation; None if no escalation is left.

    On an intervention task without an escalation, return one that adds all operators of the process.
    """
    level = next((timer for timer in state.timers if timer.kind == "escalate"), None)
    if level is not None:
        state.set_timers([timer for timer in state.timers if timer is not level])
    elif state.task.kind == "intervention":
        added = [group for group in state.task.operators if group not in state.task.candidate_groups]
        level = Timer(now, "escalate", tuple(added)) if added else None
    return level
