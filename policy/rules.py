"""Apply a policy to one gate of one case.

Errors never skip a gate. A condition that cannot be evaluated opens it; a quorum that cannot be evaluated is 2; a clock
that cannot be evaluated does not run, so that nothing is decided by it. `GateRuling.problem` says so to the people who
decide.

Rules may decide in people's place: `auto_reject` first, then `auto_approve`. One that cannot be evaluated leaves the
gate to people. So does any other problem before an approval: a rule must not approve what another rule could not judge.

A case whose currency has no row of limits takes the strictest path: a `when` that reads limits opens the gate, a quorum
that reads them is at least 2, rules that read them do not decide, and elsewhere every limit counts as 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from domain.ruling import Escalation, GateRuling
from domain.status import Verdict
from policy.calendars import Calendar
from policy.clock import instant
from policy.expressions import Expression, ExpressionError, evaluate, expression
from policy.model import EVERYONE, Gate, Policy, ProcessPolicy

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
    """What the policy says about this gate, opening `at`. Raises UnknownGate, and nothing for a failing expression.

    The people of groups, and who is the requester's manager, are for others to find out.
    """
    found = policy.gate(process, gate)
    calendar = policy.calendars[found.calendar] if found.calendar else None
    return _Ruling(found, calendar, Names.of(policy.processes[process], input, facts, case), at).made()


@dataclass(frozen=True)
class Decision:
    """What the conditions of a gate say of a case, without its clocks."""

    needed: bool
    decided: Literal["approve", "reject"] | None = None
    rule: str = ALWAYS
    """The condition, as it stands in the policy, that opened, skipped or decided the gate."""
    named: Sequence[str] = ()
    quorum: int = 1


def decide(gate: Gate, names: "Names") -> Decision:
    """The part of `rule` that says whether people decide, and how many: for when there are many cases to look at."""
    return _Ruling(gate, None, names, datetime.min).decision()


@dataclass(frozen=True)
class Names:
    """What the conditions of one case see."""

    values: Mapping[str, Any]
    unlimited: str = ""
    """The currency of a case that has no row of limits."""

    @classmethod
    def of(cls, section: ProcessPolicy, input: BaseModel, facts: Mapping[str, Any], case: Mapping[str, Any]) -> "Names":
        values: dict[str, Any] = {name: getattr(input, name) for name in type(input).model_fields}
        limits: dict[str, Decimal] = {}
        unlimited = ""
        if "currency" in values:
            currency = str(values["currency"])
            if currency in section.limits:
                limits = section.limits[currency]
            else:
                unlimited = currency
                limits = {name: Decimal(0) for row in section.limits.values() for name in row}
        known = {name: case.get(name) for name in CASE_NAMES}
        return cls(values | {"facts": facts, "case": known, "limits": limits}, unlimited)

    def strict(self, condition: Expression) -> bool:
        """Whether the condition needs limits that the case's currency does not have."""
        return bool(self.unlimited) and condition.reads_any("limits")

    def read_by(self, condition: Expression) -> dict[str, Any]:
        """What a condition reads, as JSON, for the record."""
        read: dict[str, Any] = {}
        for path in sorted(condition.reads):
            value: Any = self.values.get(path[0])
            if path[0] == "limits" and self.unlimited:
                value = None
            for member in path[1:]:
                value = value.get(member) if isinstance(value, Mapping) else getattr(value, member, None)
            read[".".join(path)] = to_jsonable_python(value, fallback=str)
        return read


class _Ruling:
    """One ruling in the making: it gathers the problems and what the conditions read."""

    def __init__(self, gate: Gate, calendar: Calendar | None, names: Names, at: datetime) -> None:
        self.gate, self.calendar, self.names, self.at = gate, calendar, names, at
        self.problems: list[str] = []
        self.read: dict[str, Any] = {}

    def made(self) -> GateRuling:
        gate, decision = self.gate, self.decision()
        if decision.decided:
            return GateRuling(
                needed=False,
                decided=decision.decided,
                rule=decision.rule,
                names=self.names.read_by(expression(decision.rule)),
                problem="; ".join(self.problems) or None,
            )
        if not decision.needed:
            return GateRuling(needed=False, rule=decision.rule, names=self.read)
        expires = self.clock(gate.expires, "it does not expire")
        due = self.clock(gate.due, "it has no due time")
        levels = [(self.clock(level.after, "that escalation is left out"), level) for level in gate.escalate]
        escalations = [
            Escalation(at=when, groups=level.to, users=level.users, replace=level.replace, priority=level.priority)
            for when, level in levels
            if when
        ]
        reminders = {self.clock(text, "that reminder is left out") for text in gate.remind}
        return GateRuling(
            needed=True,
            rule=decision.rule,
            names=self.read,
            groups=gate.groups,
            users=gate.users,
            named=list(decision.named),
            quorum=decision.quorum,
            everyone=gate.quorum == EVERYONE,
            veto=gate.veto,
            separation_of_duties=gate.separation_of_duties,
            excluded=gate.exclude,
            snapshot=gate.membership == "snapshot",
            comment_needed=[Verdict(answer) for answer in gate.comment],
            editable=gate.edit,
            revision_required=gate.revision == "required",
            pause_for_questions=gate.pause_for_questions,
            substitutes=gate.substitutes,
            choose_from=gate.chosen_from,
            max_rounds=gate.rounds,
            changes_for=self.changes_for(),
            due_at=min(due, expires) if due and expires else due,
            reminders=sorted(when for when in reminders if when),
            escalations=sorted(escalations, key=lambda level: level.at),
            expires_at=expires,
            on_expiry=gate.on_expiry,
            problem="; ".join(self.problems) or None,
        )

    def decision(self) -> Decision:
        gate = self.gate
        if not self.opens():
            return Decision(needed=False, rule=gate.when or ALWAYS)
        if gate.auto_reject is not None and self.decides(gate.auto_reject):
            return Decision(needed=False, decided="reject", rule=gate.auto_reject)
        if gate.auto_approve is not None and self.decides(gate.auto_approve) and not self.problems:
            return Decision(needed=False, decided="approve", rule=gate.auto_approve)
        return Decision(needed=True, rule=gate.when or ALWAYS, named=self.candidates(), quorum=self.quorum())

    def opens(self) -> bool:
        if self.gate.when is None:
            return True
        try:
            condition = self.noted(self.gate.when)
            if self.strict(condition, "the gate opens"):
                return True
            return self.truth(condition)
        except ExpressionError as wrong:
            self.problems.append(f"{wrong}, so the gate opens")
            return True

    def decides(self, rule: str) -> bool:
        """Whether a rule decides in people's place."""
        try:
            condition = self.noted(rule)
            return not self.strict(condition, "people decide") and self.truth(condition)
        except ExpressionError as wrong:
            self.problems.append(f"{wrong}, so people decide")
            return False

    def truth(self, condition: Expression) -> bool:
        value = evaluate(condition, self.names.values)
        if not isinstance(value, bool):
            raise ExpressionError(f"'{condition.source}' must be true or false, it is {value!r}")
        return value

    def candidates(self) -> list[str]:
        """The names of groups and people that an expression gives."""
        if self.gate.candidates is None:
            return []
        try:
            compiled = self.noted(self.gate.candidates)
            names = evaluate(compiled, self.names.values)
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ExpressionError(f"'{compiled.source}' must be a list of names, it is {names!r}")
            return list(dict.fromkeys(names))
        except ExpressionError as wrong:
            self.problems.append(f"{wrong}, so nobody is added by it")
            return []

    def quorum(self) -> int:
        if isinstance(self.gate.quorum, int):
            return self.gate.quorum
        if self.gate.quorum == EVERYONE:
            return 1
        try:
            count = self.noted(self.gate.quorum)
            value = evaluate(count, self.names.values)
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
            return instant(text, self.names.values, self.at, self.calendar)
        except ExpressionError as wrong:
            self.problems.append(f"{wrong}, so {otherwise}")
            return None

    def changes_for(self) -> timedelta:
        """How long the requester has for changes, as long as it would be from the opening."""
        usual = timedelta(days=7)
        ends = self.clock(self.gate.changes, "the requester has 7 days for changes")
        if ends == self.at:
            self.problems.append(f"'{self.gate.changes}' is over already, so the requester has 7 days for changes")
        return ends - self.at if ends and ends > self.at else usual

    def strict(self, condition: Expression, consequence: str) -> bool:
        """Whether the condition needs limits that the case's currency does not have; if so, people are told."""
        strict = self.names.strict(condition)
        if strict:
            self.problems.append(f"the policy has no limits for {self.names.unlimited}, so {consequence}")
        return strict

    def noted(self, source: str) -> Expression:
        """The compiled condition, with what it reads noted for the record."""
        compiled = expression(source)
        self.read |= self.names.read_by(compiled)
        return compiled
