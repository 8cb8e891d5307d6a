"""Show the progress of a case: the stops of its process (steps and gates) in order, each with its state.

The order comes from the source of the process (`plugins/source.py`), the states from the audit log. The template draws
the stops as one line, and lists them as text beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from api.http.schemas import CaseDetail, TimelineItem
from api.pages.parts.formatting import capital, readable, state_words
from api.pages.parts.reasons import reason
from api.pages.parts.translation import _, ngettext
from api.services.if_approved import CasePreview, typed
from domain.status import Outcome, Status
from domain.task import TaskView
from plugins.source import Stop, outline_of
from workflows.registry import PROCESSES

State = Literal["done", "undone", "skipped", "here", "to_come", "failed", "not_reached"]

WIDTH = 120
"""The width of one stop in the drawing (SVG), in the units of the drawing."""
HEIGHT = 78
_ENDS_WELL = (Outcome.APPROVED, Outcome.APPROVED_BY_RULE)
_CHARACTERS = 16
"""The most characters in one line of a stop's short name."""


@dataclass(frozen=True)
class StopState:
    """One stop of a case with its state."""

    stop: Stop
    label: str
    """What the stop does or asks, in a sentence."""
    short: tuple[str, ...]
    """The short name of the stop, in one or two lines."""
    state: State
    words: str
    """The state of the stop in words, with the reason."""
    x: int = 0


@dataclass(frozen=True)
class Pipeline:
    """The stops of one case."""

    stop_states: Sequence[StopState]
    width: int
    height: int = HEIGHT

    @property
    def words(self) -> str:
        """Return all stops with their states in one text, for screen readers."""
        return "; ".join(f"{each.label}: {each.words}" for each in self.stop_states)


def pipeline(case: CaseDetail, stored: Mapping[str, Any], preview: CasePreview | None = None) -> Pipeline | None:
    """Return the progress of a case, or None if this code does not know the order of its process.

    `stored` is the complete stored input of the case. `preview` says what will happen at stops that the case has not
    reached.
    """
    process = PROCESSES.get(case.process)
    stops = outline_of(process.workflow) if process else ()
    if process is None or not stops:
        return None
    seen = _StopStates(case)
    for event in case.timeline:
        seen.event(event, event.data or {})
    here = seen.here(stops)
    known = preview or CasePreview(process, typed(process, stored), stops, {})
    stop_states = [_stop_state(stop, known, case, seen, stop == here, place) for place, stop in enumerate(stops)]
    return Pipeline(stop_states, WIDTH * len(stop_states))


class _StopStates:
    """Finds the state of each stop of a case from the events of its audit log. Newer events replace older ones."""

    def __init__(self, case: CaseDetail) -> None:
        self._case = case
        self.marks: dict[tuple[str, str], tuple[State, str]] = {}
        self._blocked_step: tuple[str, str] | None = None
        self._new_round = False

    def event(self, event: TimelineItem, data: Mapping[str, Any]) -> None:
        step, gate = ("step", str(data.get("step", ""))), ("gate", str(data.get("gate", "")))
        match event.kind:
            case "round_started" if data.get("changes"):
                # A new round undoes the steps of the round before and takes all steps again.
                self.marks.clear()
                self._new_round = True
            case "step_done" if step[1] == "ask_for_case":
                self._mark(("case", ""), "here", _("in progress"))
            case "step_done":
                self._new_round = False
                self._mark(step, "done", _("completed"))
            case "step_failed":
                self._blocked_step = step
                self._mark(step, "failed", _("blocked"))
            case "step_refused":
                self._mark(step, "failed", _("refused"))
            case "child_ended":
                good = data.get("status") == Status.COMPLETED
                self._mark(("case", ""), "done" if good else "failed", state_words(str(data.get("status", ""))).lower())
            case "gate_opened":
                self._mark(gate, "here", _("waiting for approval"))
            case "gate_skipped" | "gate_decided_by_rule":
                self._by_rule(event, data, gate)
            case "gate_closed" if gate[1] == "intervention":
                self._intervened(str(data.get("outcome", "")))
            case "gate_closed":
                self._closed(gate, str(data.get("outcome", "")))
            case "undo_done" | "undo_settled" if not self._new_round:
                # The key is `<case>/<step>#n/undo`.
                name = str(data.get("key", "")).removesuffix("/undo").rpartition("/")[2].partition("#")[0]
                self._mark(("case", "") if name == "ask_for_case" else ("step", name), "undone", _("rolled back"))

    def _by_rule(self, event: TimelineItem, data: Mapping[str, Any], gate: tuple[str, str]) -> None:
        process = PROCESSES.get(self._case.process)
        words = process.words if process else None
        holds = event.kind == "gate_decided_by_rule"
        why = reason(str(data.get("rule", "")), data.get("names") or {}, holds, words, self._case.input)
        if data.get("decided") == "reject":
            self._mark(gate, "failed", _("rejected by rule (%(why)s)", why=why) if why else _("rejected by rule"))
        else:
            self._mark(gate, "skipped", _("no approval needed (%(why)s)", why=why) if why else _("no approval needed"))

    def _intervened(self, outcome: str) -> None:
        """Set the state of the blocked step to the choice of the operators: `outcome`."""
        if self._blocked_step is None:
            return
        match outcome:
            case Outcome.SKIP:
                self._mark(self._blocked_step, "skipped", _("skipped by an operator"))
            case Outcome.DONE_BY_HAND:
                self._mark(self._blocked_step, "done", _("done by hand"))
            case Outcome.RETRY:
                self.marks.pop(self._blocked_step, None)
        self._blocked_step = None

    def _closed(self, gate: tuple[str, str], outcome: str) -> None:
        if outcome == Outcome.CANCELLED:
            self._mark(gate, "not_reached", _("not decided"))
        elif outcome == Outcome.CHANGES_REQUESTED:
            self._mark(gate, "here", _("changes requested"))
        else:
            self._mark(gate, "done" if outcome in _ENDS_WELL else "failed", state_words(outcome).lower())

    def _mark(self, stop: tuple[str, str], state: State, words: str) -> None:
        self.marks[stop] = state, words

    def of(self, stop: Stop) -> tuple[State, str] | None:
        return self.marks.get((stop.kind, "" if stop.kind == "case" else stop.name))

    def here(self, stops: Sequence[Stop]) -> Stop | None:
        """Return the stop that the case has reached, if that stop has no event yet; else None.

        This is the first stop after the last one with an event; stops that not every case reaches do not count.
        """
        if self._case.status not in (Status.RUNNING, Status.STARTING):
            return None
        last = max((place for place, stop in enumerate(stops) if self.of(stop)), default=-1)
        mark = self.of(stops[last]) if last >= 0 else None
        if mark and mark[0] == "here":
            return None
        return next((stop for stop in stops[last + 1 :] if not stop.maybe), None)


def _stop_state(
    stop: Stop, known: CasePreview, case: CaseDetail, seen: _StopStates, here: bool, place: int
) -> StopState:
    state, words = seen.of(stop) or (("here", _("in progress")) if here else _nothing_yet(stop, case.status, known))
    if state == "here" and (open_ := [task for task in case.tasks if task.gate == stop.name and task.status == "open"]):
        words = _waits(open_)
    state_of_stop = StopState(stop, known.label(stop), _short(stop), state, words)
    return replace(state_of_stop, x=WIDTH * place + WIDTH // 2)


def _nothing_yet(stop: Stop, status: Status, known: CasePreview) -> tuple[State, str]:
    """Return the state of a stop without events, and its words."""
    if status in (Status.COMPLETED, Status.ROLLED_BACK):
        return "not_reached", _("not needed")
    if status.closed or status is Status.ROLLING_BACK:
        return "not_reached", _("not reached")
    if words := known.coming(stop):
        return "skipped" if known.passes(stop) else "to_come", words
    return "to_come", _("upcoming, if needed") if stop.maybe else _("upcoming")


def _waits(tasks: Sequence[TaskView]) -> str:
    task = tasks[0]
    given = ngettext(
        "%(given)s of %(num)s approval", "%(given)s of %(num)s approvals", task.quorum.needed, given=task.quorum.given
    )
    who = ", ".join([*task.candidate_groups, *task.candidate_users])
    return _("current step: waiting for %(who)s, %(given)s", who=who, given=given)


def _short(stop: Stop) -> tuple[str, ...]:
    """Return the short name of a stop in at most two lines."""
    lines = [""]
    for word in capital(readable(stop.name)).split():
        if lines[-1] and len(lines[-1]) + len(word) >= _CHARACTERS:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return tuple(lines[:2]) if len(lines) <= 2 else (lines[0], f"{lines[1]}…")
