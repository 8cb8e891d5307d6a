"""The input of a case, and what was checked, as labelled fields: what matters first, sums with their currency."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.pages.parts.formatting import as_shown, capital, money, readable
from api.services.markdown import to_html
from domain.base import FieldChange
from store.cases.blocked import WHOLE_CASE
from workflows.registry import PROCESSES, Process


@dataclass(frozen=True)
class Labelled:
    """One field."""

    label: str
    value: Any
    """For the `value` macro; of a `block` HTML of its own."""
    key: bool = False
    """One of the few that tell cases apart at a glance."""
    block: bool = False


@dataclass(frozen=True)
class Checked:
    """What was checked: what stands out, in sentences, and the rest."""

    flags: Sequence[str] = ()
    rest: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.flags or self.rest)


@dataclass(frozen=True)
class Changed:
    """One field that is not what it was."""

    label: str
    before: Any
    after: Any


def labelled(process_name: str, shown: Mapping[str, Any]) -> list[Labelled]:
    """The fields of an input as it may be shown: key fields first, without what is not there."""
    process = PROCESSES.get(process_name)
    if process is None:
        return [Labelled(capital(readable(name)), value) for name, value in shown.items() if _there(value)]
    words = process.words
    sum_of = words.money if words.money and all(_there(shown.get(name)) for name in words.money) else None
    names = [*words.key_fields, *(name for name in shown if name not in words.key_fields)]
    return [
        Labelled(
            words.labels.get(name, capital(readable(name))),
            money(shown[name], str(shown[sum_of[1]]))
            if sum_of and name == sum_of[0]
            else _value(process, name, shown[name]),
            key=name in words.key_fields,
            block=name in words.markdown,
        )
        for name in names
        if name in shown and _there(shown[name]) and not (sum_of and name == sum_of[1])
    ]


def _there(value: Any) -> bool:
    return value not in (None, "", [], {})


def _value(process: Process, name: str, value: Any) -> Any:
    if name in process.words.markdown and isinstance(value, str):
        return to_html(value)
    return as_shown(value)


def changed(process_name: str, changes: Sequence[FieldChange]) -> list[Changed]:
    """What is other than before, by the labels of the process."""
    process = PROCESSES.get(process_name)
    labels = process.words.labels if process else {}
    return [
        Changed(labels.get(each.field, readable(each.field)), as_shown(each.before), as_shown(each.after))
        for each in changes
    ]


_TECHNICAL = frozenset({"error", "failure", "would_be_undone"})
"""What a page shows elsewhere, or only to those who mend things."""


def checked(facts: Mapping[str, Any]) -> Checked:
    """What steps found out: sentences of what stands out first. A step is called as people call it."""
    flags: list[str] = []
    rest: dict[str, Any] = {}
    # Of a case that stopped as a whole, words for programs only.
    hidden = _TECHNICAL | {"step", "stopped"} if facts.get("step") == WHOLE_CASE else _TECHNICAL
    for name, value in facts.items():
        if isinstance(value, list) and value and all(isinstance(each, dict) and each.get("text") for each in value):
            flags += [str(each["text"]) for each in value]
        elif name not in hidden and _there(value):
            rest[name] = readable(str(value)) if name == "step" else as_shown(value)
    return Checked(flags, rest)


def task_and_revision(value: str) -> tuple[str, int | None]:
    """Task and revision of a form's `task.revision`: what was ticked, as it was shown."""
    id, _dot, revision = value.rpartition(".")
    return (id, int(revision)) if id and revision.isdecimal() and len(revision) < 9 else (value, None)
