"""Whom a request chooses to decide it, checked before anything is stored.

A gate may ask people whom the input names. Where the policy says among whom (`choose_from`), anybody else is refused,
and so is a request that names nobody but its requester, who never decides it.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from pydantic import BaseModel

from intake.problems import shortened
from policy.candidates import not_to_choose
from policy.expressions import Expression, ExpressionError, evaluate, expression
from policy.model import Gate, Policy
from policy.rules import Names
from store.people import Directory
from workflows.folding import fold
from workflows.models import Problem

NOT_OF_THE_INPUT = {"facts", "case", "limits"}


class ChosenDeciders:
    """Checks the requests of one person by one policy."""

    def __init__(self, directory: Directory, policy: Policy, by: str) -> None:
        self._directory, self._policy, self._by = directory, policy, by
        self._wrong: dict[tuple[str, str, str], bool] = {}

    async def problems(self, process: str, requests: Sequence[BaseModel]) -> list[list[Problem]]:
        """Return what is wrong with the choice in each of the requests of a process."""
        gates = _that_choose(self._policy, process)
        found: list[list[Problem]] = [[] for _ in requests]
        for name, (gate, compiled) in gates.items():
            chosen = await asyncio.to_thread(self._chosen, process, compiled, requests)
            await self._look_up(process, name, gate, {each for names in chosen for each in names})
            for problems, request, names in zip(found, requests, chosen, strict=True):
                problems += self._problems(process, name, gate, compiled, request, names)
        return found

    def _chosen(self, process: str, compiled: Expression, requests: Sequence[BaseModel]) -> list[list[str]]:
        section = self._policy.processes[process]
        found = []
        for request in requests:
            try:
                names = evaluate(compiled, Names.of(section, request, {}, {"requester": self._by}).values)
            except ExpressionError:  # the gate will show it to the people of the policy
                names = []
            found.append([each for each in names if isinstance(each, str)] if isinstance(names, list) else [])
        return found

    async def _look_up(self, process: str, name: str, gate: Gate, chosen: Collection[str]) -> None:
        new = [each for each in chosen if (process, name, each) not in self._wrong]
        if not new or gate.chosen_from is None:
            return
        wrong = await not_to_choose(gate.chosen_from, new, self._by, self._directory)
        self._wrong |= {(process, name, each): each in wrong for each in new}

    def _problems(
        self, process: str, name: str, gate: Gate, compiled: Expression, request: BaseModel, names: Sequence[str]
    ) -> list[Problem]:
        if names and not (gate.groups or gate.users) and all(fold(each) == fold(self._by) for each in names):
            message = "names only you, and nobody decides what they ask for: name somebody else"
            return [Problem(column=_field(compiled, request, names[0]), message=message)]
        allowed = ", ".join(gate.chosen_from or ())
        return [
            Problem(
                column=_field(compiled, request, each),
                message=f"'{each}' cannot be chosen to decide this: the policy allows {allowed}",
                value=shortened(each),
                expected=allowed,
            )
            for each in names
            if self._wrong.get((process, name, each))
        ]


def _that_choose(policy: Policy, process: str) -> Mapping[str, tuple[Gate, Expression]]:
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


def _field(compiled: Expression, request: BaseModel, name: str) -> str:
    """The field that a name comes from."""
    fields = sorted({root for root, *_ in compiled.reads} - NOT_OF_THE_INPUT)
    for field in fields:
        value = getattr(request, field, None)
        if value == name or (isinstance(value, list | tuple) and name in value):
            return field
    return fields[0]
