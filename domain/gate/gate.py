"""The class Gate: everything that can happen to one task. Each method calls the module for that concern."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from domain.base import FieldChange
from domain.gate.clock import fire_timers, next_timer
from domain.gate.count_decision import count_decision
from domain.gate.follow_ruling import follow_ruling
from domain.gate.perform_action import perform_action
from domain.gate.recount import recount
from domain.gate.replace_person import replace_person
from domain.gate.state import GateEvent, GateState
from domain.gate.timers import Timer
from domain.gate.validate_action import check_action
from domain.gate.validate_decision import check_decision
from domain.messages import Action, Decision
from domain.records import Present, TaskPatch
from domain.ruling import GateRuling
from domain.status import Outcome
from domain.task import DecisionView, TaskView


class Gate:
    """One task and everything that can happen to it until it has an outcome."""

    def __init__(self, task: TaskView, ruling: GateRuling) -> None:
        self._state = GateState.opened(task, ruling)

    # ----------------------------------------------------------------------------------------------------- decisions

    def check(self, decision: Decision) -> str:
        """Return the name of the rule that allows a decision. Raises Refusal if the decision is not valid.

        The check changes nothing.
        """
        return check_decision(self._state, decision)

    def decide(
        self, decision: Decision, now: datetime, edits: Sequence[FieldChange] = (), **edited: Any
    ) -> list[DecisionView]:
        """Count a decision that `check` has allowed. Return the earlier decisions that this decision makes void.

        `edits` are the fields of the input that the decision changes. `edited` are the fields of the task that show the
        new input.
        """
        return count_decision(self._state, decision, now, edits, **edited)

    # ------------------------------------------------------------------------------------------------- other actions

    def check_action(self, action: Action) -> None:
        """Raise Refusal when the action is not allowed. The check changes nothing."""
        check_action(self._state, action)

    def act(self, action: Action, now: datetime) -> tuple[GateEvent | None, list[DecisionView]]:
        """Perform an allowed action. Return its audit event, or None, and the decisions that the action takes back."""
        return perform_action(self._state, action, now)

    # ----------------------------------------------------------------------------------------------------- the clock

    def next_timer(self) -> Timer | None:
        """Return the next timer that will fire; None if no timer is left, or if only paused timers are left."""
        return next_timer(self._state)

    def fire_timers(self, now: datetime) -> list[GateEvent]:
        """Fire all timers that are due at `now`, in their order. Return the events for the audit log."""
        return fire_timers(self._state, now)

    # ---------------------------------------------------------------------------------- changes of people and policy

    def count(self, present: Present, now: datetime) -> list[GateEvent]:
        """Check whether the people in `present`, who can act now, can reach the quorum.

        If the quorum cannot be reached, escalate or close the gate, or set `short`. Return the events for the audit
        log.
        """
        return recount(self._state, present, now)

    def exclude(self, people: Sequence[str]) -> None:
        """Forbid these people to decide this gate, for example because they decided another gate of the case."""
        self._state.exclude(people)

    def replace(self, leaver: str, successor: str | None, now: datetime) -> GateEvent:
        """Replace a person who has left by the successor in every role on the task where the rules allow it.

        Where the rules do not allow it, remove the person from the role.
        """
        return replace_person(self._state, leaver, successor, now)

    def adopt(self, ruling: GateRuling, now: datetime, *, times: bool = False) -> GateEvent:
        """Make the gate follow another ruling. Return an audit event that lists the changes of the task.

        If `times` is True, the times of the ruling also replace times that an admin set by hand.
        """
        return follow_ruling(self._state, ruling, now, times=times)

    def close(self, outcome: Outcome, at: datetime) -> None:
        """Close the gate with this outcome. If the gate is closed already, do nothing."""
        self._state.close(outcome, at)

    # ----------------------------------------------------------------------------------------------------- the state

    @property
    def task(self) -> TaskView:
        """Return the current task."""
        return self._state.task

    @property
    def ruling(self) -> GateRuling:
        """Return the current ruling."""
        return self._state.ruling

    @property
    def outcome(self) -> Outcome | None:
        """Return the outcome with which the gate ended; None while the gate is open."""
        return self._state.task.outcome

    @property
    def open(self) -> bool:
        """Return True if the gate has no outcome yet."""
        return self._state.open

    @property
    def closed_because(self) -> str:
        """Return a sentence about the rule that ended the open gate; empty if no rule ended it."""
        return self._state.closed_because

    @property
    def edited(self) -> bool:
        """Return True if an approval has edited the input and the gate has no ruling for the new input yet.

        Nobody can decide until the gate has the ruling for the new input.
        """
        return self._state.edited

    @property
    def uncertain(self) -> bool:
        """Return True if a recount is needed, because perhaps too few people can decide."""
        return self._state.uncertain

    @uncertain.setter
    def uncertain(self, needed: bool) -> None:
        self._state.uncertain = needed

    @property
    def short(self) -> str:
        """Return why too few people can decide although all levels of escalation are used; empty while enough people
        can.
        """
        return self._state.short

    @short.setter
    def short(self, why: str) -> None:
        self._state.short = why

    def patch(self, *, whole: bool = False) -> TaskPatch:
        """Return the changes to write to the stored task.

        If `whole` is True, return all fields that can change, not only the changed ones.
        """
        return self._state.patch(whole=whole)
