"""What would become of one gate of many cases that are not there yet: what `Outlook` says of one, without clocks, fast.

What a case has to do with a gate hangs on what the gate's conditions read, so each set of such values is judged once.
Of a number that is only compared with limits and other numbers (`amount >= limits.manager`) it matters no more than
where it stands among them, so that the amounts of 100,000 payments make a handful of sets.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from policy.expressions import EXACT_DIGITS, Expression, expression
from policy.model import Policy
from policy.outlook import unknown
from policy.rules import Decision, Names, decide

_REMEMBERED = 20_000
"""Sets of values whose answer is kept: a file of any size takes no more memory."""


@dataclass(frozen=True)
class Prospect:
    """One gate of one case, as if the case came to it."""

    decision: Decision
    """As far as it is known: as if conditions that are not known did not stand in the policy."""
    depends_on: tuple[str, ...] = ()
    """What is not known and says whether people are asked; empty when they certainly are, or are not."""
    approvals_depend_on: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    """The groups and people who would be."""


class Prospects:
    """One gate of a process, before its cases have facts. Raises UnknownGate."""

    def __init__(self, policy: Policy, process: str, gate: str) -> None:
        self.rules, self._section = policy.gate(process, gate), policy.processes[process]
        self._conditions = {key: expression(text) for key, text in self.rules.conditions()}
        read = {path for condition in self._conditions.values() for path in condition.reads}
        fields = {path[0] for path in read} - {"facts", "case", "limits"}
        self._fields = sorted(fields | ({"currency"} if any(path[0] == "limits" for path in read) else set()))
        self._compared = {name: found for name in self._fields if (found := _compared(name, self._conditions.values()))}
        self._marks: dict[tuple[str, str], list[Decimal]] = {}
        self._of_case = sorted({path[1] for path in read if path[0] == "case"})
        self._seen: dict[tuple[str, ...], Prospect] = {}

    def of(self, input: BaseModel, case: Mapping[str, Any]) -> Prospect:
        """The gate of a case with this input; conditions that read more of `case` than is there depend on it."""
        key = (*(self._place(name, input) for name in self._fields), *(repr(case.get(name)) for name in self._of_case))
        if (seen := self._seen.get(key)) is None:
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            seen = self._seen[key] = self._judged(input, case)
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

    def _judged(self, input: BaseModel, case: Mapping[str, Any]) -> Prospect:
        names = Names.of(self._section, input, {}, case)
        not_known: dict[str, list[str]] = {}
        for key, condition in self._conditions.items():
            if depends_on := unknown(condition, names.values, case, facts=False):
                not_known[key] = depends_on
        rules = self.rules
        if not_known:
            rules = rules.model_copy(update={key: 1 if key == "quorum" else None for key in not_known})
        decision = decide(rules, names)
        later = [f"whoever {self.rules.candidates} gives"] if "candidates" in not_known else []
        return Prospect(
            decision,
            depends_on=tuple(_whether(decision, not_known)),
            approvals_depend_on=tuple(not_known.get("quorum", ())),
            asked=tuple(dict.fromkeys([*self.rules.groups, *self.rules.users, *decision.named, *later])),
        )


def _whether(decision: Decision, not_known: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """What says whether people are asked: the first condition that is not known, unless one before it has decided."""
    if "when" in not_known:
        return not_known["when"]
    if not decision.needed and decision.decided is None:
        return ()
    for key, verdict in (("auto_reject", "reject"), ("auto_approve", "approve")):
        if key in not_known:
            return not_known[key]
        if decision.decided == verdict:
            return ()
    return ()


def _compared(name: str, conditions: Collection[Expression]) -> list[str | Decimal]:
    """The limits and numbers that a field is compared with; empty if a condition does anything else with it."""
    found: list[str | Decimal] = []
    comparison = re.compile(
        rf"(?:^|[(?:]|&&|\|\|)\s*{name}\s*(?:>=|<=|>|<|==|!=)\s*(?:limits\.(\w+)|(\d+(?:\.\d+)?))\s*(?=$|[)?:]|&&|\|\|)"
    )
    for condition in conditions:
        made = comparison.findall(condition.source)
        if len(made) != len(re.findall(rf"(?<![\w.]){name}\b", condition.source)):
            return []
        found += [limit or Decimal(number) for limit, number in made]
    return found
