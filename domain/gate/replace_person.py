"""Replace a person who has left on a gate."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from domain.gate.clock import resume
from domain.gate.state import GateEvent, GateState
from domain.leavers import eligible_successor, fields_after_replacing, takes_over_request, with_successor
from domain.permissions import same


def replace_person(state: GateState, leaver: str, successor: str | None, now: datetime) -> GateEvent:
    """Replace a person who has left by the successor in every role on the task where the rules allow it.

    Where the rules do not allow it, remove the person from the role.
    """
    asks = takes_over_request(state.task, leaver, successor)
    if asks and successor:
        state.exclude_for_good([successor])
    before, heir = state.task, eligible_successor(state.task, successor)
    state.change(**fields_after_replacing(before, leaver, successor))
    state.set_timers(
        [replace(timer, users=tuple(with_successor(list(timer.users), leaver, successor))) for timer in state.timers]
    )
    resume(state, now)
    state.revise("candidates")
    state.uncertain = True
    summary = f"{leaver} was replaced by {heir or 'nobody'}"
    if asks:
        summary = f"{leaver} was replaced by {successor}, whose request it is now, so they do not decide it"
    data: dict[str, Any] = {"from": leaver} | ({"to": heir} if heir else {})
    asked = [each.id for each in before.questions if each.pending and same(each.to, leaver)]
    if moved := [each for each in state.task.questions if each.id in asked and each.pending]:
        summary += f"; {successor} is asked: {'; '.join(each.text for each in moved)}"
        data["asked"] = successor
    if lapsed := [each for each in state.task.questions if each.id in asked and each.lapsed]:
        summary += f"; nobody can answer: {'; '.join(each.text for each in lapsed)}"
        data["askers"] = sorted({each.by for each in lapsed})
    return GateEvent("candidate_replaced", summary, data)
