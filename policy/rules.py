"""Evaluate one gate of one case: the ruling of an existing case, and the known part for a future case.

Errors never skip a gate. A condition that cannot be evaluated opens it; a quorum that cannot be evaluated is 2; if
`confirm` cannot be evaluated, people confirm in the strictest way that it names; a clock that cannot be evaluated does
not run, so that it decides nothing. `GateRuling.problem` shows the error to the people who decide.

Rules may decide instead of people: `auto_reject` first, then `auto_approve`. If one of these rules cannot be evaluated,
people decide. `auto_approve` also does not decide after a problem with any other expression: a rule must not approve a
case that another rule could not judge.

A case whose currency has no row of limits takes the strictest path: a `when` that reads limits opens the gate, a quorum
that reads them is at least 2, a `confirm` that reads them is as strict as it can be, rules that read them do not
decide, and elsewhere every limit counts as 0.

Before a case has run, its facts are unknown (`ConditionValues.so_far`). The evaluation then ignores expressions with an
unknown value, and `unknown` holds the names that each of them depends on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, TypeVar

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from domain.confirmation import Confirm
from domain.ruling import Escalation, GateRuling
from domain.status import Verdict
from policy.calendars import Calendar
from policy.clock import instant
from policy.expressions import Expression, ExpressionError, Partial, UnknownValue, evaluate, expression, tokens
from policy.model import EVERYONE, GateRules, Policy, ProcessPolicy

CASE_NAMES = ("reference", "requester", "priority", "batch_id")
STRICT_QUORUM = 2
ALWAYS = "always"
"""The text that `rule` has for a gate without `when`, which opens for every case."""
_WHETHER = ("when", "auto_reject", "auto_approve")
"""The keys of the conditions that say whether people must decide, in the order of evaluation."""

ValueT = TypeVar("ValueT")
Unknown = Mapping[str, tuple[str, ...]]
"""The unknown names that expressions of a gate depend on, by the key of the gate: `{"when": ("facts.score",)}`."""


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
    """Return the ruling of the policy on this gate, which opens at the moment `at`.

    Raises UnknownGate if the policy has no rules for the gate.

    If an expression fails, no error is raised: `problem` of the ruling says why. `policy.candidates` later looks up the
    members of groups and the requester's manager.
    """
    found = policy.gate(process, gate)
    names = ConditionValues.of(policy.processes[process], input, facts, case)
    return Evaluation(found, names, at, policy.calendar_of(found)).ruling()


def unneeded(
    policy: Policy,
    process: str,
    gates: Iterable[str],
    *,
    input: BaseModel,
    facts: Mapping[str, Any],
    case: Mapping[str, Any],
    at: datetime,
) -> dict[str, GateRuling]:
    """Return the rulings on those of these gates of a process at which nobody must decide, by gate.

    `rule` returns the same ruling for such a gate, now and later, because it depends only on these arguments but `at`.
    """
    section = policy.processes[process]
    names = ConditionValues.of(section, input, facts, case)
    rulings = {gate: Evaluation(section.gates[gate], names, at).ruling_without_people() for gate in gates}
    return {gate: ruling for gate, ruling in rulings.items() if ruling is not None}


@dataclass(frozen=True)
class ConditionResult:
    """The result of a gate's conditions for a case, without its clocks."""

    needed: bool
    decided: Literal["approve", "reject"] | None = None
    rule: str = ALWAYS
    """The condition, as written in the policy, that opened, skipped or decided the gate."""
    named: Sequence[str] = ()
    asked: tuple[str, ...] = ()
    """The groups and people who decide, as the policy names them. A `candidates` expression stands as text."""
    quorum: int = 1
    unknown: Unknown = field(default_factory=dict)

    @cached_property
    def depends_on(self) -> tuple[str, ...]:
        """Return the unknown names that decide whether people must decide.

        The tuple is empty if it is certain whether people must decide.
        """
        return next((self.unknown[key] for key in _WHETHER if key in self.unknown), ())


@dataclass(frozen=True)
class ConditionValues:
    """The values of all names that conditions may read, for one case: its input, facts, limits and `case`."""

    values: Mapping[str, Any]
    unlimited: str = ""
    """The currency of the case, if the policy has no row of limits for it; otherwise empty."""

    @classmethod
    def of(
        cls, section: ProcessPolicy, input: BaseModel, facts: Mapping[str, Any], case: Mapping[str, Any]
    ) -> "ConditionValues":
        """Return the values of an existing case. A name of `case` without a value is null in conditions."""
        return cls._of(section, input, {"facts": facts, "case": {name: case.get(name) for name in CASE_NAMES}})

    @classmethod
    def so_far(
        cls, section: ProcessPolicy, input: BaseModel, facts: Mapping[str, Any] | None, case: Mapping[str, Any]
    ) -> "ConditionValues":
        """Return the values of a future case.

        A name of `case` without a value is unknown. If `facts` is None, all facts are unknown.
        """
        known: dict[str, Any] = {"case": Partial({name: case[name] for name in CASE_NAMES if name in case})}
        return cls._of(section, input, known if facts is None else known | {"facts": facts})

    @classmethod
    def _of(cls, section: ProcessPolicy, input: BaseModel, about: Mapping[str, Any]) -> "ConditionValues":
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
        return cls({**values, **about, "limits": limits}, unlimited)

    def strict(self, condition: Expression) -> bool:
        """Return True if the condition needs limits that the case's currency does not have."""
        return bool(self.unlimited) and condition.reads_any("limits")

    def read_by(self, condition: Expression) -> dict[str, Any]:
        """Return the known values that a condition reads, as JSON, for the audit log."""
        read: dict[str, Any] = {}
        for path, root, members in condition.paths:
            if root not in self.values:
                continue
            value: Any = self.values[root]
            if isinstance(value, Partial) and members and members[0] not in value:
                continue
            if root == "limits" and self.unlimited:
                value = None
            for member in members:
                value = value.get(member) if isinstance(value, Mapping) else getattr(value, member, None)
            read[path] = to_jsonable_python(value, fallback=str)
        return read


class Evaluation:
    """One evaluation of the rules of a gate for one case.

    It collects problems, unknown names, and the values that the conditions read.

    `at` is the opening of the gate, from which its clocks count, in the working time of `calendar`.
    """

    def __init__(self, gate: GateRules, names: ConditionValues, at: datetime, calendar: Calendar | None = None) -> None:
        self.gate, self.names, self.at, self.calendar = gate, names, at, calendar
        self.problems: list[str] = []
        self.unknown: dict[str, tuple[str, ...]] = {}
        self.read: dict[str, Any] = {}

    def ruling(self) -> GateRuling:
        """Return the whole ruling on the gate, with its clocks."""
        decision = self.decision()
        return self._without_people(decision) or self._with_people(decision)

    def ruling_without_people(self) -> GateRuling | None:
        """Return the ruling on the gate if nobody must decide; otherwise None."""
        return self._without_people(self.decision())

    def _without_people(self, decision: ConditionResult) -> GateRuling | None:
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
        return None

    def _with_people(self, decision: ConditionResult) -> GateRuling:
        gate = self.gate
        expires = self._clock("expires", gate.expires, "it does not expire")
        due = self._clock("due", gate.due, "it has no due time")
        levels = [
            (self._clock(f"escalate[{number}].after", level.after, "this escalation does not happen"), level)
            for number, level in enumerate(gate.escalate)
        ]
        escalations = [
            Escalation(at=when, groups=level.to, users=level.users, replace=level.replace, priority=level.priority)
            for when, level in levels
            if when
        ]
        reminders = {
            self._clock(f"remind[{number}]", text, "this reminder is not sent")
            for number, text in enumerate(gate.remind)
        }
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
            confirm=self._confirm(),
            pause_for_questions=gate.pause_for_questions,
            substitutes=gate.substitutes,
            choose_from=gate.chosen_from,
            max_rounds=gate.rounds,
            changes_for=self._changes_for(),
            due_at=min(due, expires) if due and expires else due,
            reminders=sorted(when for when in reminders if when),
            escalations=sorted(escalations, key=lambda level: level.at),
            expires_at=expires,
            on_expiry=gate.on_expiry,
            problem="; ".join(self.problems) or None,
        )

    def decision(self) -> ConditionResult:
        """Return the result of the conditions: whether people decide, which groups and people, and how many must
        approve.
        """
        gate, opened_by = self.gate, self.gate.when or ALWAYS
        if not self._opens():
            return ConditionResult(False, rule=opened_by, unknown=self.unknown)
        if gate.auto_reject is not None and self._decides("auto_reject", gate.auto_reject):
            return ConditionResult(False, decided="reject", rule=gate.auto_reject, unknown=self.unknown)
        if gate.auto_approve is not None:
            approves = self._decides("auto_approve", gate.auto_approve)
            if self.problems:  # Then people decide, whatever the rule gives.
                self.unknown.pop("auto_approve", None)
            elif approves:
                return ConditionResult(False, decided="approve", rule=gate.auto_approve, unknown=self.unknown)
        named = self._candidates()
        later = [f"people named by {gate.candidates}"] if "candidates" in self.unknown else []
        asked = tuple(dict.fromkeys([*gate.groups, *gate.users, *named, *later]))
        quorum = self._quorum()
        return ConditionResult(True, rule=opened_by, named=named, asked=asked, quorum=quorum, unknown=self.unknown)

    def _opens(self) -> bool:
        if self.gate.when is None:
            return True
        holds = self._holds("when", self.gate.when, "the gate opens")
        return holds is None or holds

    def _decides(self, key: str, text: str) -> bool:
        """Return True if the rule with this key decides instead of people."""
        return self._holds(key, text, "people decide") or False

    def _holds(self, key: str, text: str, consequence: str) -> bool | None:
        """Return whether a condition is true; None if it is unknown, cannot be evaluated, or must not count."""

        def holds() -> bool | None:
            condition = self._noted(text)
            if self._strict(condition, consequence):
                return None
            value = evaluate(condition, self.names.values)
            if not isinstance(value, bool):
                raise ExpressionError(f"'{condition.source}' must be true or false, it is {value!r}")
            return value

        return self._evaluated(key, holds, consequence)

    def _candidates(self) -> list[str]:
        """Return the names of groups and people that the `candidates` expression of the gate gives."""
        text = self.gate.candidates
        if text is None:
            return []

        def names() -> list[str]:
            found = evaluate(self._noted(text), self.names.values)
            if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
                raise ExpressionError(f"'{text}' must be a list of names, it is {found!r}")
            return list(dict.fromkeys(found))

        return self._evaluated("candidates", names, "nobody is added by it") or []

    def _quorum(self) -> int:
        text = self.gate.quorum
        if isinstance(text, int):
            return text
        if text == EVERYONE:
            return 1

        def count() -> int:
            value = evaluate(self._noted(text), self.names.values)
            try:
                if isinstance(value, bool) or not isinstance(value, int | float) or value < 1 or value != int(value):
                    raise ExpressionError(f"'{text}' must be a whole number of at least 1, it is {value!r}")
            except OverflowError as infinite:
                raise ExpressionError(str(infinite)) from infinite
            return int(value)

        found = self._evaluated("quorum", count, f"{STRICT_QUORUM} approvals are needed")
        if found is None:
            return 1 if "quorum" in self.unknown else STRICT_QUORUM
        strict = self._strict(expression(text), f"at least {STRICT_QUORUM} approvals are needed")
        return max(found, STRICT_QUORUM) if strict else found

    def _confirm(self) -> Confirm:
        text = self.gate.confirm
        if text in {*Confirm}:
            return Confirm(text)
        strictest = strictest_way(text)

        def way() -> Confirm:
            value = evaluate(self._noted(text), self.names.values)
            if value not in list(Confirm):
                raise ExpressionError(f"'{text}' must be {', '.join(Confirm)}, it is {value!r}")
            return Confirm(value)

        consequence = f"each decision is confirmed with the {strictest}"
        found = self._evaluated("confirm", way, consequence)
        if found is None:
            return Confirm.NONE if "confirm" in self.unknown else strictest
        return strictest if self._strict(expression(text), consequence) else found

    def _clock(self, key: str, text: str | None, consequence: str) -> datetime | None:
        if text is None:
            return None
        return self._evaluated(key, lambda: instant(text, self.names.values, self.at, self.calendar), consequence)

    def _changes_for(self) -> timedelta:
        """Return how long the requester has to make changes.

        An expression is computed as if it started when the gate opens.
        """
        usual = timedelta(days=7)
        ends = self._clock("changes", self.gate.changes, "the requester has 7 days for changes")
        if ends == self.at:
            self.problems.append(f"'{self.gate.changes}' is over already, so the requester has 7 days for changes")
        return ends - self.at if ends and ends > self.at else usual

    def _evaluated(self, key: str, value: Callable[[], ValueT], consequence: str) -> ValueT | None:
        """Return what `value` returns, the value of an expression; None if the value is unknown or the expression
        fails.

        If the expression fails, note a problem that ends with `consequence`.
        """
        try:
            return value()
        except UnknownValue as wrong:
            self.unknown[key] = wrong.names
        except ExpressionError as wrong:
            self.problems.append(f"{wrong}, so {consequence}")
        return None

    def _strict(self, condition: Expression, consequence: str) -> bool:
        """Return True if the condition needs limits that the case's currency does not have.

        If it does, note a problem that ends with `consequence`.
        """
        strict = self.names.strict(condition)
        if strict:
            self.problems.append(f"the policy has no limits for {self.names.unlimited}, so {consequence}")
        return strict

    def _noted(self, text: str) -> Expression:
        """Return the compiled expression. Keep the values that it reads in the ruling, for the audit log."""
        compiled = expression(text)
        self.read |= self.names.read_by(compiled)
        return compiled


def strictest_way(confirm: str) -> Confirm:
    """Return the strictest way to confirm that the key `confirm` names; a passkey if it names none."""
    named = {text.strip("\"'") for kind, text in tokens(confirm) if kind in ("name", "text")}
    return next((way for way in reversed(Confirm) if way.value in named - {Confirm.NONE}), Confirm.PASSKEY)
