"""Check the people that a request chooses as deciders, before the request is stored.

The policy can let a gate ask the people whom the input of the case names. If the policy limits these people
(`choose_from`), a request that names any other person is refused. A request that names only its requester is refused
too if the gate has no other deciders, because requesters never decide their own requests.
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
    """The people whom a request chooses as deciders of one gate."""

    process: str
    gate: GateRules
    gate_name: str
    compiled: Expression
    request: BaseModel
    names: list[str]

    @property
    def choose_from(self) -> Sequence[str]:
        """The people or groups from which the policy lets requesters choose; empty if there is no limit."""
        return self.gate.chosen_from or ()


class ChosenDeciders:
    """Checks the deciders that the requests of one person choose, by one policy.

    The class reads no database: the caller looks up which people cannot be chosen, and passes the result to `learn`.
    """

    def __init__(self, policy: Policy, by: str, asker: str | None = None) -> None:
        """Set up the check; `asker` is the person for whom a service account with the id `by` asks."""
        self._policy, self._by = policy, by
        self._asking = {fold(by), fold(asker or by)}
        self._gates: dict[str, Mapping[str, tuple[GateRules, Expression]]] = {}
        self._wrong: dict[tuple[str, str, str], bool] = {}

    def choices(self, process: str, request: BaseModel) -> list[Choice]:
        """Return one choice for each gate whose deciders the request chooses."""
        if process not in self._gates:
            self._gates[process] = _that_choose(self._policy, process)
        return [
            Choice(process, gate, name, compiled, request, self._chosen(process, compiled, request))
            for name, (gate, compiled) in self._gates[process].items()
        ]

    def unknown(self, choice: Choice) -> list[str]:
        """Return the names of a choice that `learn` has not received yet.

        The caller must look up whether the policy allows these names.
        """
        if not choice.choose_from:
            return []
        return [each for each in choice.names if (choice.process, choice.gate_name, each) not in self._wrong]

    def learn(self, choice: Choice, names: Sequence[str], wrong: Collection[str]) -> None:
        """Store which of `names` the policy refuses for this gate: those in `wrong`. All other `names` are allowed."""
        self._wrong |= {(choice.process, choice.gate_name, each): each in wrong for each in names}

    def problems(self, choices: Sequence[Choice]) -> list[FieldProblem]:
        """Return one problem for each name that the policy refuses as a decider, and for each choice of only the
        requester.
        """
        return [problem for choice in choices for problem in self._problems(choice)]

    def _chosen(self, process: str, compiled: Expression, request: BaseModel) -> list[str]:
        section = self._policy.processes[process]
        try:
            names = evaluate(compiled, ConditionValues.of(section, request, {}, {"requester": self._by}).values)
        except ExpressionError:  # the gate will ask the people of the policy instead
            return []
        return [each for each in names if isinstance(each, str)] if isinstance(names, list) else []

    def _problems(self, choice: Choice) -> list[FieldProblem]:
        gate, names = choice.gate, choice.names
        if names and not (gate.groups or gate.users) and all(fold(each) in self._asking for each in names):
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
    """Return the gates whose deciders the policy takes from the input of the case.

    Gates whose deciders depend on facts are left out, because facts are not known before the case runs.
    """
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
    """Return the input field that has this name as its value or in its list."""
    fields = sorted({root for root, *_ in choice.compiled.reads} - NOT_OF_THE_INPUT)
    for field in fields:
        value = getattr(choice.request, field, None)
        if value == name or (isinstance(value, list | tuple) and name in value):
            return field
    return fields[0]
