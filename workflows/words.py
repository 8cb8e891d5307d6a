"""What a process says to people: in inboxes, mails, Temporal summaries and rollback plans."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from workflows.money import last_four, shown

ENGINE_STEPS = {"ask_for_case": "Ask for a {kind}", "withdraw_case": "Withdraw the {kind}"}
"""Sentences for steps that each process may take: see `CaseWorkflow.case`."""


@dataclass(frozen=True)
class Words:
    """The sentences of one process. Templates name fields of its input: `Pay {payee} {amount} {currency}`."""

    summary: str
    """What the process does, in one sentence."""
    title: str
    """The template of a case's title."""
    key_fields: tuple[str, ...]
    """Up to four fields a reviewer wants to see first."""
    labels: Mapping[str, str]
    """A label for each field of the input."""
    steps: Mapping[str, str]
    """A sentence for each step, by activity name: `Hold {amount} {currency} on {account}`."""
    undos: Mapping[str, str]
    """A sentence for each undo: `Release the held {amount} {currency}`."""
    gates: Mapping[str, str]
    """What people are asked at each gate, by gate name. May name fields of the gate's facts, too."""
    masked: frozenset[str] = field(default_factory=frozenset)
    """Fields of which only the last four characters are shown."""
    markdown: frozenset[str] = field(default_factory=frozenset)
    """Fields that are Markdown; the rest is shown as it is."""
    nouns: tuple[str, str] = ("case", "cases")
    """What one case is called, and what several are: `212 payments wait for you`."""
    money: tuple[str, str] | None = None
    """The fields that hold an amount and its currency, for sums; None where there are none."""

    done: str = ""
    """The template of what a completed case has done: `Paid {amount} {currency} to {payee}`. Empty: `Done`."""
    facts_after: Mapping[str, str] = field(default_factory=dict)
    """Of a gate that asks about facts: what finds them, as in `known after the screening`. For forecasts."""
    repeated: frozenset[str] = field(default_factory=frozenset)
    """Gates that stand once for each thing that was found, so several times or not at all."""

    def title_of(self, case: BaseModel) -> str:
        """The title of a case, of its typed input."""
        return self._say(self.title, case)

    def done_of(self, case: BaseModel) -> str:
        """What a completed case has done, of its typed input; empty where its process has no words for it."""
        return self._say(self.done, case)

    def step(self, name: str, case: BaseModel) -> str:
        """The sentence for a step or an undo; raises KeyError for one that has none."""
        return self._say({**ENGINE_STEPS, **self.undos, **self.steps}[name], case)

    def gate(self, name: str, case: BaseModel, facts: Mapping[str, Any] | None = None) -> str:
        """What people are asked at a gate with these facts; raises KeyError for one that has none."""
        said = {key: "" if value is None else shown(value) for key, value in (facts or {}).items()}
        # Of a gate whose facts operators have left out, something is unknown; that must not stop the case.
        return self.gates[name].format_map(defaultdict(lambda: "unknown", {**said, **self._values(case)}))

    def key_fields_of(self, case: BaseModel) -> dict[str, str]:
        """Label and value of the fields that identify the case at a glance; absent ones are left out."""
        values = self._values(case)
        return {self.labels[name]: values[name] for name in self.key_fields if values[name]}

    def money_of(self, stored: Mapping[str, Any]) -> dict[str, str]:
        """`amount` and `currency` of an input as JSON, for sums; empty where the process or the input has none."""
        found = [stored.get(name) for name in self.money or ()]
        if not found or not all(isinstance(each, str) for each in found):
            return {}
        return dict(zip(("amount", "currency"), map(str, found), strict=True))

    def shown_input(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """The input as JSON with masked fields cut to their last four characters."""
        return {
            name: last_four(value) if name in self.masked and isinstance(value, str) else value
            for name, value in stored.items()
        }

    def _say(self, template: str, case: BaseModel) -> str:
        return template.format_map(self._values(case))

    def _values(self, case: BaseModel) -> dict[str, str]:
        values = {name: getattr(case, name) for name in type(case).model_fields}
        return {name: "" if value is None else shown(value) for name, value in self.shown_input(values).items()}
