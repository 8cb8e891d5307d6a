"""Turn the input and the facts of a case into labelled fields: key fields first, amounts with their currency."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.pages.parts.formatting import as_shown, capital, money, readable
from api.services.markdown import to_html
from domain.base import FieldChange
from store.cases.blocked import WHOLE_CASE
from workflows.registry import PROCESSES, Process


@dataclass(frozen=True)
class LabelledField:
    """One field of the input or the facts, with its label."""

    name: str
    label: str
    value: Any
    """The value.

    If `block` is True, the value is HTML that the template inserts as it is; otherwise the macro `value` shows it.
    """
    key: bool = False
    """True for a key field, by which people tell cases apart."""
    block: bool = False


@dataclass(frozen=True)
class CheckResults:
    """The facts of a case: sentences about notable facts, and the other facts as fields."""

    flags: Sequence[str] = ()
    rest: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.flags or self.rest)


@dataclass(frozen=True)
class ChangedField:
    """One field of the input whose value has changed."""

    label: str
    before: Any
    after: Any


def labelled(process_name: str, shown: Mapping[str, Any]) -> list[LabelledField]:
    """Return the labelled fields of an input: key fields first, missing fields left out.

    `shown` is the input with secret values masked.
    """
    process = PROCESSES.get(process_name)
    if process is None:
        return [LabelledField(name, capital(readable(name)), value) for name, value in shown.items() if _there(value)]
    words = process.words
    sum_of = words.money if words.money and all(_there(shown.get(name)) for name in words.money) else None
    names = [*words.key_fields, *(name for name in shown if name not in words.key_fields)]
    return [
        LabelledField(
            name,
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


def changed(process_name: str, changes: Sequence[FieldChange]) -> list[ChangedField]:
    """Return the changed fields with the labels of their process."""
    process = PROCESSES.get(process_name)
    labels = process.words.labels if process else {}
    return [
        ChangedField(labels.get(each.field, readable(each.field)), as_shown(each.before), as_shown(each.after))
        for each in changes
    ]


_TECHNICAL = frozenset({"error", "failure", "would_be_undone"})
"""Facts that the page shows in another place, or only to operators."""


def checked(facts: Mapping[str, Any]) -> CheckResults:
    """Return the facts that steps have found, with sentences about notable facts."""
    flags: list[str] = []
    rest: dict[str, Any] = {}
    # These words of a blocked case are for programs only.
    hidden = _TECHNICAL | {"step", "stopped"} if facts.get("step") == WHOLE_CASE else _TECHNICAL
    for name, value in facts.items():
        if isinstance(value, list) and value and all(isinstance(each, dict) and each.get("text") for each in value):
            flags += [str(each["text"]) for each in value]
        elif name not in hidden and _there(value):
            rest[name] = readable(str(value)) if name == "step" else as_shown(value)
    return CheckResults(flags, rest)


def task_and_revision(value: str) -> tuple[str, int | None]:
    """Return the task id and the revision from the value of a selected check box, `task.revision`.

    The revision is None if the value has no revision.
    """
    id, _dot, revision = value.rpartition(".")
    return (id, int(revision)) if id and revision.isdecimal() and len(revision) < 9 else (value, None)
