"""Preview a gate of a case that is not there yet, where not everything about the case is known.

Facts are what steps find out, so before a case nobody has them. What hangs on a thing that is not known is said to
depend on it and is never guessed; a condition that holds whatever it may be (`amount > 500 || facts.score > 50` of a
large amount) does not depend on it. The evaluation is that of the real ruling, in `rules`.
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
"""Sets of values whose decision is kept: a file of any size takes no more memory."""


@dataclass(frozen=True)
class Supposed:
    """A case as far as it is known."""

    input: BaseModel
    facts: Mapping[str, Any] | None = None
    """None: not known. Otherwise these are all."""
    requester: str | None = None
    known_case: Mapping[str, Any] | None = None
    """All that conditions see as `case`, of one that is there already."""

    @property
    def case(self) -> dict[str, Any]:
        """What conditions see as `case`; by itself a single case of the usual priority, its reference not known."""
        if self.known_case is not None:
            return dict(self.known_case)
        requester = {} if self.requester is None else {"requester": self.requester}
        return {"priority": 3, "batch_id": None} | requester


def outcome_of(decision: ConditionResult) -> Outcome:
    """Return what a decision comes to."""
    if decision.depends_on:
        return "depends"
    if decision.decided:
        return "approved" if decision.decided == "approve" else "rejected"
    return "asked" if decision.needed else "not needed"


def short_answer(gate: GateRules, decision: ConditionResult) -> str:
    """Return the shortest answer: `no`, `approved by rule`, `2 of managers`, `depends on facts.score`, ..."""
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
    """One gate of such a case, as if it opened `at`. Raises UnknownGate."""

    def __init__(self, policy: Policy, process: str, gate: str, supposed: Supposed, at: datetime) -> None:
        self.gate = policy.gate(process, gate)
        self.calendar = policy.calendar_of(self.gate)
        self._names = ConditionValues.so_far(policy.processes[process], supposed.input, supposed.facts, supposed.case)
        self._at = at

    @cached_property
    def decision(self) -> ConditionResult:
        """Whether people are asked and who, as far as it is known."""
        return Evaluation(self.gate, self._names, self._at).decision()

    @property
    def outcome(self) -> Outcome:
        """What becomes of the gate."""
        return outcome_of(self.decision)

    @property
    def answer(self) -> str:
        """The shortest answer."""
        return short_answer(self.gate, self.decision)

    @property
    def asked(self) -> tuple[str, ...]:
        """Who would decide."""
        return self.decision.asked

    @property
    def ruling(self) -> GateRuling:
        """The ruling as far as it is known: as if expressions that are not known did not stand in the policy."""
        return self._evaluated[0]

    @property
    def unknown(self) -> Unknown:
        """What expressions of the gate depend on and is not known, by their key: those that are asked for."""
        return self._evaluated[1]

    @cached_property
    def _evaluated(self) -> tuple[GateRuling, Unknown]:
        evaluation = Evaluation(self.gate, self._names, self._at, self.calendar)
        return evaluation.ruling(), evaluation.unknown

    def holds(self, condition: str) -> Holds:
        """Return whether a condition of the gate holds. `failed`: it cannot be evaluated, or must not count."""
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
        """Return what a condition reads, without what is not known."""
        return self._names.read_by(expression(condition))


class Previews:
    """One gate of many cases to come, before they have facts: what Preview says of one, without clocks. Fast.

    What a case has to do with a gate hangs on what the gate's conditions read, so each set of such values is evaluated
    once. Of a number that is only compared with limits and other numbers (`amount >= limits.manager`) it matters no
    more than where it stands among them: the amounts of 100,000 payments make a handful of sets. Raises UnknownGate.
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
        """Return the decision on a case; conditions that read more of `case` than is there depend on it."""
        key = (*(self._place(name, input) for name in self._fields), *(repr(case.get(name)) for name in self._of_case))
        if (seen := self._seen.get(key)) is None:
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            names = ConditionValues.so_far(self._section, input, None, case)
            seen = self._seen[key] = Evaluation(self.gate, names, datetime.min).decision()
        return seen

    def _place(self, name: str, input: BaseModel) -> str:
        """What matters of a field's value."""
        value = getattr(input, name)
        if name not in self._compared or not isinstance(value, Decimal) or not value.is_finite():
            return repr(value)
        if len(value.as_tuple().digits) > EXACT_DIGITS:  # conditions refuse it
            return repr(value)
        currency = str(getattr(input, "currency", ""))
        marks = self._marks.get((name, currency))
        if marks is None:
            limits = self._section.limits.get(currency, {})
            found = [limits.get(mark, Decimal(0)) if isinstance(mark, str) else mark for mark in self._compared[name]]
            marks = self._marks[name, currency] = sorted(found)
        return f"{bisect_left(marks, value)}-{bisect_right(marks, value)}"


def _compared(name: str, conditions: Collection[Expression]) -> list[str | Decimal]:
    """The limits and numbers that a field is compared with; empty if a condition does anything else with it."""
    found: list[str | Decimal] = []
    for condition in conditions:
        made = comparisons_of(name, condition.source)
        if made is None:
            return []
        found += [each.limit or each.other for each in made]
    return found
