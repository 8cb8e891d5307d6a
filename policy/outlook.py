"""What would become of a gate of a case that is not there yet, where not everything about the case is known.

Facts are what steps find out, so before a case nobody has them. What hangs on a thing that is not known is said to
depend on it and is never guessed; a condition that holds whatever it may be (`amount > 500 || facts.score > 50` of a
large amount) does not depend on it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from domain.ruling import GateRuling
from policy.clock import is_duration
from policy.expressions import Expression, ExpressionError, evaluate, expression
from policy.model import Gate, Policy
from policy.rules import Names, rule

Holds = Literal["yes", "no", "unknown", "failed"]
_DECIDE = ("when", "auto_reject", "auto_approve")


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


Answer = Literal["asked", "not needed", "approved", "rejected", "depends"]


class Foreseen(NamedTuple):
    """What would become of a gate, as far as it is known."""

    answer: Answer
    rule: str = ""
    """The condition that says so, as it stands in the policy; empty where none does."""
    depends_on: Sequence[str] = ()
    """What is not known and says whether people are asked."""


class Outlook:
    """One gate of such a case, as if it opened `at`. Raises UnknownGate."""

    def __init__(self, policy: Policy, process: str, gate: str, supposed: Supposed, at: datetime) -> None:
        self.gate, self.rules, self.at = gate, policy.gate(process, gate), at
        self.calendar = policy.calendars[self.rules.calendar] if self.rules.calendar else None
        self._policy, self._process, self._supposed = policy, process, supposed
        self._names = Names.of(policy.processes[process], supposed.input, supposed.facts or {}, supposed.case)

    @property
    def answer(self) -> str:
        """The shortest answer: `no`, `approved by rule`, `2 of managers`, `depends on facts.score`, ..."""
        foreseen = self.foreseen
        match foreseen.answer:
            case "depends":
                return f"depends on {', '.join(foreseen.depends_on)}"
            case "approved" | "rejected":
                return f"{foreseen.answer} by rule"
            case "not needed":
                return "no"
        if self.quorum_unknown:
            return f"depends on {', '.join(self.unknown_in(str(self.rules.quorum)))}"
        many = "everyone" if self.ruling.everyone else self.ruling.quorum
        return f"{many} of {self.asked}"

    @property
    def asked(self) -> str:
        """Who would decide."""
        return ", ".join([*self.ruling.groups, *self.ruling.users])

    @cached_property
    def foreseen(self) -> Foreseen:
        """Whether people are asked, and which condition says so."""
        for key, text in self.rules.conditions():
            if key in _DECIDE and (unknown := self.unknown_in(text)):
                return Foreseen("depends", text, unknown)
            # The next one is asked when `when` holds or cannot be told, and when a rule does not decide.
            if key in _DECIDE and self.holds(text) == ("no" if key == "when" else "yes"):
                break
        ruling = self.ruling
        if ruling.decided:
            return Foreseen("approved" if ruling.decided == "approve" else "rejected", ruling.rule)
        return Foreseen("asked" if ruling.needed else "not needed", ruling.rule)

    @cached_property
    def ruling(self) -> GateRuling:
        """The ruling as far as it is known: as if conditions that are not known did not stand in the policy."""
        rules = self.rules

        def known(text: str | None) -> str | None:
            return None if text is None or self.unknown_in(text) else text

        without = rules.model_copy(
            update={
                "when": known(rules.when),
                "auto_reject": known(rules.auto_reject),
                "auto_approve": known(rules.auto_approve),
                "quorum": 1 if self.quorum_unknown else rules.quorum,
                "candidates": known(rules.candidates),
                "due": known(rules.due),
                "expires": known(rules.expires),
                "changes": known(rules.changes) or Gate.model_fields["changes"].default,
                "remind": [text for text in rules.remind if known(text)],
                "escalate": [level for level in rules.escalate if known(level.after)],
            }
        )
        section = self._policy.processes[self._process]
        section = section.model_copy(update={"gates": {**section.gates, self.gate: without}})
        ruling = rule(
            replace(self._policy, processes={self._process: section}),
            self._process,
            self.gate,
            input=self._supposed.input,
            facts=self._supposed.facts or {},
            case=self._supposed.case,
            at=self.at,
        )
        named = ruling.named
        if rules.candidates and self.unknown_in(rules.candidates):
            named = [f"whoever {rules.candidates} gives"]
        return ruling.model_copy(update={"users": [*ruling.users, *named], "named": []})

    def holds(self, condition: str) -> Holds:
        """Whether a condition of the gate holds. `failed`: it has no value for this case, or must not count."""
        if self.unknown_in(condition):
            return "unknown"
        compiled = expression(condition)
        try:
            value = evaluate(compiled, self._names.values)
        except ExpressionError:
            return "failed"
        if self._names.strict(compiled) or not isinstance(value, bool):
            return "failed"
        return "yes" if value else "no"

    @property
    def quorum_unknown(self) -> bool:
        conditions = dict(self.rules.conditions())
        return "quorum" in conditions and bool(self.unknown_in(conditions["quorum"]))

    def values(self, condition: str) -> dict[str, Any]:
        """What a condition reads, without what is not known."""
        compiled = expression(condition)
        missing = _missing(compiled, self._supposed.case, facts=self._known_facts)
        return {name: value for name, value in self._names.read_by(compiled).items() if name not in missing}

    def unknown_in(self, text: str) -> list[str]:
        """The names on which an expression depends and which are not known."""
        if is_duration(text):
            return []
        return unknown(expression(text), self._names.values, self._supposed.case, facts=self._known_facts)

    @property
    def _known_facts(self) -> bool:
        return self._supposed.facts is not None


def unknown(compiled: Expression, values: Mapping[str, Any], case: Mapping[str, Any], *, facts: bool) -> list[str]:
    """The names on which an expression depends and which are not known: facts unless they are, and what `case` lacks.

    `values` is all that it may read otherwise.
    """
    missing = _missing(compiled, case, facts=facts)
    # These have a value although what they ask for is not there.
    if not missing or re.search(r"\bhas\s*\(", compiled.source) or any("." not in name for name in missing):
        return missing
    try:
        evaluate(compiled, {**values, "case": case})
    except ExpressionError:
        return missing
    return []


def _missing(compiled: Expression, case: Mapping[str, Any], *, facts: bool) -> list[str]:
    def is_missing(root: str, *members: str) -> bool:
        if root == "facts":
            return not facts
        return root == "case" and members[0] not in case

    return sorted(".".join(path) for path in compiled.reads if is_missing(*path))
