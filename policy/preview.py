"""Preview the ruling on a gate of a future case, of which some values are not known yet.

Facts are found by steps, so before a case they are unknown. The answer never guesses: an outcome that needs an unknown
value "depends on" that value. A condition that is true for every unknown value does not depend on it, such as `amount >
500 || facts.score > 50` for a large amount. `rules` evaluates previews and real rulings alike.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel

from domain.ruling import GateRuling
from policy.comparisons import comparisons_of
from policy.expressions import (
    EXACT_DIGITS,
    Expression,
    ExpressionError,
    UnknownValue,
    evaluate,
    expression,
)
from policy.model import EVERYONE, GateRules, Policy
from policy.rules import ConditionResult, ConditionValues, Evaluation, Unknown

Holds = Literal["yes", "no", "unknown", "failed"]
Outcome = Literal["asked", "not needed", "approved", "rejected", "depends"]

_REMEMBERED = 20_000
"""Maximum number of sets of values whose result is cached, so that a file of any size takes limited memory."""


@dataclass(frozen=True)
class FutureCase:
    """A future case, as far as it is known."""

    input: BaseModel
    facts: Mapping[str, Any] | None = None
    """All facts; None if they are unknown."""
    requester: str | None = None
    known_case: Mapping[str, Any] | None = None
    """The name `case` in conditions, for a case that exists already."""

    @property
    def case(self) -> dict[str, Any]:
        """Return the name `case` in conditions, by default with the usual priority and an unknown reference."""
        if self.known_case is not None:
            return dict(self.known_case)
        requester = {} if self.requester is None else {"requester": self.requester}
        return {"priority": 3, "batch_id": None} | requester


def outcome_of(decision: ConditionResult) -> Outcome:
    """Return the outcome that a gate will have, computed from the result of its conditions."""
    if decision.depends_on:
        return "depends"
    if decision.decided:
        return "approved" if decision.decided == "approve" else "rejected"
    return "asked" if decision.needed else "not needed"


def short_answer(gate: GateRules, decision: ConditionResult) -> str:
    """Return the ruling in a few words: `no`, `approved by rule`, `2 of managers`, `depends on facts.score`, ..."""
    match outcome_of(decision):
        case "depends":
            return f"depends on {', '.join(decision.depends_on)}"
        case "approved":
            return "approved by rule"
        case "rejected":
            return "rejected by rule"
        case "not needed":
            return "no"
    if quorum := decision.unknown.get("quorum"):
        return f"depends on {', '.join(quorum)}"
    many = "everyone" if gate.quorum == EVERYONE else decision.quorum
    return f"{many} of {', '.join(decision.asked)}"


class Preview:
    """One gate of a future case, as if it opened `at`. Raises UnknownGate."""

    def __init__(self, policy: Policy, process: str, gate: str, supposed: FutureCase, at: datetime) -> None:
        self.gate = policy.gate(process, gate)
        self.calendar = policy.calendar_of(self.gate)
        self._names = ConditionValues.so_far(policy.processes[process], supposed.input, supposed.facts, supposed.case)
        self._at = at

    @cached_property
    def decision(self) -> ConditionResult:
        """Return whether people must decide and which people, as far as this is known."""
        return Evaluation(self.gate, self._names, self._at).decision()

    @property
    def outcome(self) -> Outcome:
        """Return the outcome of the gate."""
        return outcome_of(self.decision)

    @property
    def answer(self) -> str:
        """Return the shortest answer."""
        return short_answer(self.gate, self.decision)

    @property
    def asked(self) -> tuple[str, ...]:
        """Return the groups and people who would decide."""
        return self.decision.asked

    @property
    def ruling(self) -> GateRuling:
        """Return the ruling as far as it is known: expressions with unknown values are ignored."""
        return self._evaluated[0]

    @property
    def unknown(self) -> Unknown:
        """Return the unknown names that each evaluated expression depends on, by key of the gate."""
        return self._evaluated[1]

    @cached_property
    def _evaluated(self) -> tuple[GateRuling, Unknown]:
        evaluation = Evaluation(self.gate, self._names, self._at, self.calendar)
        return evaluation.ruling(), evaluation.unknown

    def holds(self, condition: str) -> Holds:
        """Return whether a condition of the gate is true. With `failed` it cannot be evaluated, or must not count."""
        compiled = expression(condition)
        if self._names.strict(compiled):
            return "failed"
        try:
            value = evaluate(compiled, self._names.values)
        except UnknownValue:
            return "unknown"
        except ExpressionError:
            return "failed"
        return ("yes" if value else "no") if isinstance(value, bool) else "failed"

    def values(self, condition: str) -> dict[str, Any]:
        """Return the known values that a condition reads."""
        return self._names.read_by(expression(condition))


class Previews:
    """One gate of many future cases, before they have facts: as Preview, without clocks, and fast.

    The result for a case depends only on the values that the gate's conditions read, so each set of such values is
    evaluated once. For a number that is only compared with limits and other numbers (`amount >= limits.manager`), only
    its position among them matters. So the amounts of 100,000 payments give a few sets. Raises UnknownGate.
    """

    def __init__(self, policy: Policy, process: str, gate: str) -> None:
        self.gate, self._section = policy.gate(process, gate), policy.processes[process]
        conditions = [expression(text) for _, text in self.gate.conditions()]
        read = {path for condition in conditions for path in condition.reads}
        fields = {path[0] for path in read} - {"facts", "case", "limits"}
        self._fields = sorted(fields | ({"currency"} if any(path[0] == "limits" for path in read) else set()))
        self._compared = {name: found for name in self._fields if (found := _compared(name, conditions))}
        self._marks: dict[tuple[str, str], list[Decimal]] = {}
        self._of_case = sorted({path[1] for path in read if path[0] == "case"})
        self._seen: dict[tuple[str, ...], ConditionResult] = {}

    def of(self, input: BaseModel, case: Mapping[str, Any]) -> ConditionResult:
        """Return the result for a case. Conditions that read an unknown name of `case` depend on it."""
        key = (*(self._place(name, input) for name in self._fields), *(repr(case.get(name)) for name in self._of_case))
        if (seen := self._seen.get(key)) is None:
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            names = ConditionValues.so_far(self._section, input, None, case)
            seen = self._seen[key] = Evaluation(self.gate, names, datetime.min).decision()
        return seen

    def _place(self, name: str, input: BaseModel) -> str:
        """Return the part of a field's value on which the conditions depend, such as its position among the limits."""
        value = getattr(input, name)
        if name not in self._compared or not isinstance(value, Decimal) or not value.is_finite():
            return repr(value)
        if len(value.as_tuple().digits) > EXACT_DIGITS:  # Conditions refuse this value.
            return repr(value)
        currency = str(getattr(input, "currency", ""))
        marks = self._marks.get((name, currency))
        if marks is None:
            limits = self._section.limits.get(currency, {})
            found = [limits.get(mark, Decimal(0)) if isinstance(mark, str) else mark for mark in self._compared[name]]
            marks = self._marks[name, currency] = sorted(found)
        return f"{bisect_left(marks, value)}-{bisect_right(marks, value)}"


def _compared(name: str, conditions: Collection[Expression]) -> list[str | Decimal]:
    """Return the limits and numbers that a field is compared with; empty if a condition uses it otherwise."""
    found: list[str | Decimal] = []
    for condition in conditions:
        made = comparisons_of(name, condition.source)
        if made is None:
            return []
        found += [each.limit or each.other for each in made]
    return found
