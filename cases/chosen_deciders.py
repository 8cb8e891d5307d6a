"""Whom a request chooses to decide it, checked before anything is stored.

A gate may ask people whom the input names. Where the policy says among whom (`choose_from`), anybody else is refused,
and so is a request that names nobody but its requester, who never decides it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from pydantic import BaseModel

from domain.base import FieldProblem
from domain.input_errors import shortened
from domain.normalization import fold
from policy.expressions import Expression, ExpressionError, evaluate, expression
from policy.model import GateRules, Policy
from policy.rules import ConditionValues

NOT_OF_THE_INPUT = {"facts", "case", "limits"}


class Choice(NamedTuple):
    """Whom a request chooses for one gate."""

    process: str
    gate: GateRules
    gate_name: str
    compiled: Expression
    request: BaseModel
    names: list[str]

    @property
    def choose_from(self) -> Sequence[str]:
        """Among whom the policy lets it choose; empty for anybody."""
        return self.gate.chosen_from or ()


class ChosenDeciders:
    """Checks the requests of one person by one policy. Pure: who may not be chosen is asked of whoever uses it."""

    def __init__(self, policy: Policy, by: str) -> None:
        self._policy, self._by = policy, by
        self._gates: dict[str, Mapping[str, tuple[GateRules, Expression]]] = {}
        self._wrong: dict[tuple[str, str, str], bool] = {}

    def choices(self, process: str, request: BaseModel) -> list[Choice]:
        """Return whom a request chooses, gate by gate."""
        if process not in self._gates:
            self._gates[process] = _that_choose(self._policy, process)
        return [
            Choice(process, gate, name, compiled, request, self._chosen(process, compiled, request))
            for name, (gate, compiled) in self._gates[process].items()
        ]

    def unknown(self, choice: Choice) -> list[str]:
        """Those of the names of which must be asked whether they may be chosen."""
        if not choice.choose_from:
            return []
        return [each for each in choice.names if (choice.process, choice.gate_name, each) not in self._wrong]

    def learn(self, choice: Choice, names: Sequence[str], wrong: Collection[str]) -> None:
        """Keep which of these names may not be chosen."""
        self._wrong |= {(choice.process, choice.gate_name, each): each in wrong for each in names}

    def problems(self, choices: Sequence[Choice]) -> list[FieldProblem]:
        """Return what is wrong with the choices of a request."""
        return [problem for choice in choices for problem in self._problems(choice)]

    def _chosen(self, process: str, compiled: Expression, request: BaseModel) -> list[str]:
        section = self._policy.processes[process]
        try:
            names = evaluate(compiled, ConditionValues.of(section, request, {}, {"requester": self._by}).values)
        except ExpressionError:  # the gate will show it to the people of the policy
            return []
        return [each for each in names if isinstance(each, str)] if isinstance(names, list) else []

    def _problems(self, choice: Choice) -> list[FieldProblem]:
        gate, names = choice.gate, choice.names
        if names and not (gate.groups or gate.users) and all(fold(each) == fold(self._by) for each in names):
            message = "names only you, and requesters cannot decide their own requests: name somebody else"
            return [FieldProblem(column=_field(choice, names[0]), message=message)]
        allowed = ", ".join(choice.choose_from)
        return [
            FieldProblem(
                column=_field(choice, each),
                message=f"'{each}' cannot be an approver of this request: the policy allows {allowed}",
                value=shortened(each),
                expected=allowed,
            )
            for each in names
            if self._wrong.get((choice.process, choice.gate_name, each))
        ]


def _that_choose(policy: Policy, process: str) -> Mapping[str, tuple[GateRules, Expression]]:
    """The gates that ask whom the input names, as far as that is known before anything is found out."""
    found = {}
    for name, gate in policy.processes[process].gates.items() if policy.has(process) else ():
        if gate.candidates is None:
            continue
        compiled = expression(gate.candidates)
        roots = {root for root, *_ in compiled.reads}
        if roots - NOT_OF_THE_INPUT and "facts" not in roots:
            found[name] = (gate, compiled)
    return found


def _field(choice: Choice, name: str) -> str:
    """The field that a name comes from."""
    fields = sorted({root for root, *_ in choice.compiled.reads} - NOT_OF_THE_INPUT)
    for field in fields:
        value = getattr(choice.request, field, None)
        if value == name or (isinstance(value, list | tuple) and name in value):
            return field
    return fields[0]
