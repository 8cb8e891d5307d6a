"""What would become of one gate of many cases that are not there yet: what `Outlook` says of one, without clocks, fast.

What a case has to do with a gate hangs on what the gate's conditions read, so each set of such values is judged once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from policy.expressions import expression
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
        self._of_case = sorted({path[1] for path in read if path[0] == "case"})
        self._seen: dict[tuple[str, ...], Prospect] = {}

    def of(self, input: BaseModel, case: Mapping[str, Any]) -> Prospect:
        """The gate of a case with this input; conditions that read more of `case` than is there depend on it."""
        values = [getattr(input, name) for name in self._fields] + [case.get(name) for name in self._of_case]
        key = tuple(map(repr, values))
        if (seen := self._seen.get(key)) is None:
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            seen = self._seen[key] = self._judged(input, case)
        return seen

    def _judged(self, input: BaseModel, case: Mapping[str, Any]) -> Prospect:
        names = Names.of(self._section, input, {}, case)
        not_known: dict[str, list[str]] = {}
        for key, condition in self._conditions.items():
            if depends_on := unknown(condition, names.values, case, facts=False):
                not_known[key] = depends_on
        rules = self.rules.model_copy(update={key: 1 if key == "quorum" else None for key in not_known})
        decision = decide(rules if not_known else self.rules, names)
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
