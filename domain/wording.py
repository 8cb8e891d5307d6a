"""The texts of a process that people read: in the Inbox, mails, Temporal summaries and rollback plans."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from domain.masking import Masking
from domain.money import shown

ENGINE_STEPS = {"ask_for_case": "Submit a {kind} request", "withdraw_case": "Withdraw the {kind} request"}
"""Sentences of steps that every process may use: see `CaseWorkflow.case`."""


_log = logging.getLogger("holdgate.words")
_told: set[str] = set()
"""Templates that could not be filled and that the log has reported already, so that each is reported once."""


@dataclass(frozen=True)
class Words:
    """The texts of one process. Templates name fields of its input: `Pay {payee} {amount} {currency}`.

    A missing or broken template never stops a case: a plain text replaces the template, and the log reports a broken
    template.
    """

    summary: str
    """What the process does, in one sentence."""
    title: str
    """The template of a case's title."""
    key_fields: tuple[str, ...]
    """Up to four fields that a reviewer wants to see first."""
    labels: Mapping[str, str]
    """A label for each field of the input."""
    steps: Mapping[str, str]
    """A sentence for each step, by activity name: `Hold {amount} {currency} on {account}`."""
    undos: Mapping[str, str]
    """A sentence for each undo: `Release the held {amount} {currency}`."""
    gates: Mapping[str, str]
    """The question at each gate, by gate name. A question may also name fields of the gate's facts."""
    masked: frozenset[str] = field(default_factory=frozenset)
    """Fields of which only the last four characters are shown.

    A name with dots is a part of a field, such as `beneficiary.iban`; in a list of objects, the part of each of them.
    """
    markdown: frozenset[str] = field(default_factory=frozenset)
    """Fields whose text is shown as Markdown. The text of all other fields is shown as plain text."""
    nouns: tuple[str, str] = ("request", "requests")
    """The noun for one case and for several: `212 payments need your decision`."""
    money: tuple[str, str] | None = None
    """The fields that hold an amount and its currency, for sums; None without such fields."""

    done: str = ""
    """The template of the result of a completed case: `Paid {amount} {currency} to {payee}`.

    If empty, people read only that the request is completed.
    """
    facts_after: Mapping[str, str] = field(default_factory=dict)
    """For each gate: when its facts become known, such as `the screening`.

    A forecast says: `known after the screening`.
    """
    repeated: frozenset[str] = field(default_factory=frozenset)
    """Gates that may open several times or not at all, once for each finding."""

    @cached_property
    def masking(self) -> Masking:
        """Return the masked fields, with the functions that mask them."""
        return Masking(self.masked)

    def label_of(self, field: str) -> str:
        """Return the label of a field. For a part of a field, such as `beneficiary.iban`, name both."""
        root, _dot, part = field.partition(".")
        name = self.labels.get(field) or self.labels.get(root) or root.replace("_", " ").capitalize()
        if not part or field in self.labels:
            return name
        return f"{name}: {part.replace('.', ' ').replace('_', ' ')}"

    def title_of(self, case: BaseModel) -> str:
        """Return the title of a case. `case` is the input of the case as a model object."""
        return self._say(self.title, case, self.nouns[0].capitalize())

    def done_of(self, case: BaseModel) -> str:
        """Return the result of a completed case in words, made from the input of the case.

        The text is empty if the process has no template for the result.
        """
        return self._say(self.done, case, "")

    def step(self, name: str, case: BaseModel) -> str:
        """Return the sentence for a step or an undo from the input of the step."""
        plain = name.replace("_", " ").capitalize()
        return self._say({**ENGINE_STEPS, **self.undos, **self.steps}.get(name, plain), case, plain)

    def gate(self, name: str, case: BaseModel, facts: Mapping[str, Any] | None = None) -> str:
        """Return the question at a gate with these facts."""
        said = {key: "" if value is None else shown(value) for key, value in (facts or {}).items()}
        # If operators skipped the step that finds the facts, some values are unknown.
        values = defaultdict(lambda: "unknown", {**said, **self._values(case)})
        plain = name.replace("-", " ").capitalize()
        return _filled(self.gates.get(name, plain), values, plain)

    def key_fields_of(self, case: BaseModel) -> dict[str, str]:
        """Return label and value of the key fields of a case. Empty fields are omitted."""
        values = self._values(case)
        return {self.labels.get(name, name): values[name] for name in self.key_fields if values.get(name)}

    def money_of(self, stored: Mapping[str, Any]) -> dict[str, str]:
        """Return `amount` and `currency` of a stored input, for sums; empty if the process has no amounts."""
        found = [stored.get(name) for name in self.money or ()]
        if not found or not all(isinstance(each, str) for each in found):
            return {}
        return dict(zip(("amount", "currency"), map(str, found), strict=True))

    def shown_input(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Return a stored input in which fields that must be masked show only their last four characters."""
        return self.masking.input(stored)

    def _say(self, template: str, case: BaseModel, plain: str) -> str:
        return _filled(template, self._values(case), plain)

    def _values(self, case: BaseModel) -> dict[str, str]:
        values = {name: getattr(case, name) for name in type(case).model_fields}
        return {name: "" if value is None else shown(value) for name, value in self.shown_input(values).items()}


def _filled(template: str, values: Mapping[str, str], plain: str) -> str:
    """Return the template with its values, or the plain text if the template cannot be filled."""
    try:
        return template.format_map(values)
    except (LookupError, ValueError, TypeError, AttributeError) as wrong:
        if template not in _told:
            _told.add(template)
            missing = f": {wrong}" if isinstance(wrong, KeyError) else ""  # other messages can quote a value
            _log.warning(
                "the template %r cannot be filled (%s%s): correct the template; people read a general sentence instead",
                template,
                type(wrong).__name__,
                missing,
            )
        return plain
