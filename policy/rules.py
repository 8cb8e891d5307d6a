"""Apply a policy to one gate of one case.

Errors never skip a gate. A condition that cannot be evaluated opens it; a quorum that cannot be evaluated is 2; a clock
that cannot be evaluated does not run, so that nothing is decided by it. `GateRuling.problem` says so to the people who
decide.

A case whose currency has no row of limits takes the strictest path: a `when` that reads limits opens the gate, a quorum
that reads them is at least 2, and elsewhere every limit counts as 0.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from policy.clock import instant
from policy.expressions import Expression, ExpressionError, evaluate, expression
from policy.model import Gate, Policy, ProcessPolicy
from workflows.models import Escalation, GateRuling

CASE_NAMES = ("reference", "requester", "priority", "batch_id")
STRICT_QUORUM = 2
ALWAYS = "always"
"""The rule of a gate without `when`."""


def rule(
    policy: Policy,
    process: str,
    gate: str,
    *,
    input: BaseModel,
    facts: Mapping[str, Any],
    case: Mapping[str, Any],
    at: datetime,
) -> GateRuling:
    """What the policy says about this gate, opening `at`. Raises UnknownGate, and nothing for a failing expression."""
    return _Ruling(policy.processes.get(process), policy.gate(process, gate), input, facts, case, at).made()


class _Ruling:
    """One ruling in the making: it gathers the problems and what the conditions read."""

    def __init__(
        self,
        section: ProcessPolicy | None,
        gate: Gate,
        input: BaseModel,
        facts: Mapping[str, Any],
        case: Mapping[str, Any],
        at: datetime,
    ) -> None:
        self.gate, self.at = gate, at
        self.problems: list[str] = []
        self.read: dict[str, Any] = {}
        self.names: dict[str, Any] = {name: getattr(input, name) for name in type(input).model_fields}
        self.unlimited = ""
        """The currency of a case that has no row of limits."""
        rows = section.limits if section else {}
        limits: dict[str, Decimal] = {}
        if "currency" in self.names:
            currency = str(self.names["currency"])
            if currency in rows:
                limits = rows[currency]
            else:
                self.unlimited = currency
                limits = {name: Decimal(0) for row in rows.values() for name in row}
        self.names |= {"facts": facts, "case": {name: case.get(name) for name in CASE_NAMES}, "limits": limits}

    def made(self) -> GateRuling:
        gate = self.gate
        if not self.opens():
            return GateRuling(needed=False, rule=gate.when or ALWAYS, names=self.read)
        quorum = self.quorum()
        expires = self.clock(gate.expires, "it does not expire")
        due = self.clock(gate.due, "it has no due time")
        levels = [(self.clock(level.after, "that escalation is left out"), level) for level in gate.escalate]
        escalations = [Escalation(at=when, groups=level.to, users=level.users) for when, level in levels if when]
        reminders = {self.clock(text, "that reminder is left out") for text in gate.remind}
        return GateRuling(
            needed=True,
            rule=gate.when or ALWAYS,
            names=self.read,
            groups=gate.groups,
            users=gate.users,
            quorum=quorum,
            separation_of_duties=gate.separation_of_duties,
            due_at=min(due, expires) if due and expires else due,
            reminders=sorted(when for when in reminders if when),
            escalations=sorted(escalations, key=lambda level: level.at),
            expires_at=expires,
            on_expiry=gate.on_expiry,
            problem="; ".join(self.problems) or None,
        )

    def opens(self) -> bool:
        if self.gate.when is None:
            return True
        try:
            condition = self.noted(self.gate.when)
            if self.strict(condition, "the gate opens"):
                return True
            value = evaluate(condition, self.names)
            if not isinstance(value, bool):
                raise ExpressionError(f"'{condition.source}' must be true or false, it is {value!r}")
        except ExpressionError as wrong:
            self.problems.append(f"{wrong}, so the gate opens")
            return True
        return value

    def quorum(self) -> int:
        if isinstance(self.gate.quorum, int):
            return self.gate.quorum
        try:
            count = self.noted(self.gate.quorum)
            value = evaluate(count, self.names)
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 1 or value != int(value):
                raise ExpressionError(f"'{count.source}' must be a whole number of at least 1, it is {value!r}")
        except (ExpressionError, OverflowError) as wrong:
            self.problems.append(f"{wrong}, so {STRICT_QUORUM} approvals are needed")
            return STRICT_QUORUM
        strict = self.strict(count, f"at least {STRICT_QUORUM} approvals are needed")
        return max(int(value), STRICT_QUORUM) if strict else int(value)

    def clock(self, text: str | None, otherwise: str) -> datetime | None:
        if text is None:
            return None
        try:
            return instant(text, self.names, self.at)
        except ExpressionError as wrong:
            self.problems.append(f"{wrong}, so {otherwise}")
            return None

    def strict(self, condition: Expression, consequence: str) -> bool:
        """Whether the condition needs limits that the case's currency does not have."""
        if not self.unlimited or not condition.reads_any("limits"):
            return False
        self.problems.append(f"the policy has no limits for {self.unlimited}, so {consequence}")
        return True

    def noted(self, source: str) -> Expression:
        """The compiled condition, with what it reads noted for the record."""
        compiled = expression(source)
        for path in sorted(compiled.reads):
            value: Any = self.names.get(path[0])
            if path[0] == "limits" and self.unlimited:
                value = None
            for member in path[1:]:
                value = value.get(member) if isinstance(value, Mapping) else getattr(value, member, None)
            self.read[".".join(path)] = to_jsonable_python(value, fallback=str)
        return compiled
