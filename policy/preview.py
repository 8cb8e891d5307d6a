"""Preview the ruling on a gate of a future case, of which some values are not known yet.

Facts are found by steps, so before a case they are unknown. A preview never guesses: if an outcome needs an unknown
value, the answer is "depends on" with the name of this value. A condition that is true for every unknown value does not
depend on it, such as `amount > 500 || facts.score > 50` for a large amount. The module `rules` evaluates previews and
real rulings in the same way.
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
"""Maximum number of sets of values whose result `Previews` caches, so that a large file takes limited memory."""


@dataclass(frozen=True)
class FutureCase:
    """The data of a future case, as far as they are known."""

    input: BaseModel
    facts: Mapping[str, Any] | None = None
    """All facts of the case; None if they are unknown."""
    requester: str | None = None
    known_case: Mapping[str, Any] | None = None
    """The values of `case` in conditions, if the case exists already; otherwise None."""

    @property
    def case(self) -> dict[str, Any]:
        """Return the values of `case` in conditions.

        For a future case, they have the default priority and no reference.
        """
        if self.known_case is not None:
            return dict(self.known_case)
        requester = {} if self.requester is None else {"requester": self.requester}
        return {"priority": 3, "batch_id": None} | requester


def outcome_of(decision: ConditionResult) -> Outcome:
    """Return the outcome that a gate will have, as far as the result of its conditions says it."""
    if decision.depends_on:
        return "depends"
    if decision.decided:
        return "approved" if decision.decided == "approve" else "rejected"
    return "asked" if decision.needed else "not needed"


def short_answer(gate: GateRules, decision: ConditionResult) -> str:
    """Return the result for a gate in a few words: `no`, `approved by rule`, `2 of managers`, `depends on facts.score`,
    ...
    """
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
    """The preview of one gate of a future case, as if the gate opened at the moment `at`.

    Raises UnknownGate if the policy has no rules for this gate.
    """

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
        """Return the result for the gate in a few words, as `short_answer` does."""
        return short_answer(self.gate, self.decision)

    @property
    def asked(self) -> tuple[str, ...]:
        """Return the names of the groups and the ids of the people who would decide the gate."""
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
        """Return whether a condition of the gate is true: `yes`, `no`, `unknown` or `failed`.

        `failed` means that the condition cannot be evaluated, or must not count because its limits are missing.
        """
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
    """The preview of one gate for many future cases. It is fast, knows no facts, and does not compute clocks.

    The result for a case depends only on the values that the gate's conditions read, so each set of such values is
    evaluated once. For a number that is only compared with limits and other numbers (`amount >= limits.manager`), only
    its position among them matters. So the amounts of 100,000 payments give a few sets. Raises UnknownGate if the
    policy has no rules for this gate.
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
        """Return the result of the gate's conditions for a case.

        `case` has the known values of `case`. The result depends on each other name of `case` that a condition reads.
        """
        key = (*(self._place(name, input) for name in self._fields), *(repr(case.get(name)) for name in self._of_case))
        if (seen := self._seen.get(key)) is None:
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            names = ConditionValues.so_far(self._section, input, None, case)
            seen = self._seen[key] = Evaluation(self.gate, names, datetime.min).decision()
        return seen

    def _place(self, name: str, input: BaseModel) -> str:
        """Return a text that is equal for all values of a field with the same result, such as the position among the
        limits.
        """
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
    """Return the limits and numbers with which conditions compare a field.

    The list is empty if a condition uses the field in another way.
    """
    found: list[str | Decimal] = []
    for condition in conditions:
        made = comparisons_of(name, condition.source)
        if made is None:
            return []
        found += [each.limit or each.other for each in made]
    return found
