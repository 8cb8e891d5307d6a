"""Evaluate expressions with sample values, to find type errors before a case does."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from domain.confirmation import Confirm
from policy.clock import as_instant
from policy.expressions import Expression, ExpressionError, evaluate, tokens
from policy.line_numbers import Key
from policy.model import ProcessPolicy

_TRUTHS = ("when", "auto_reject", "auto_approve")


_DAY = datetime(2030, 1, 1, tzinfo=UTC)
"""The moment that sample values have. In the check of a clock, the gate opens at this moment."""


def type_mistake(key: Key, compiled: Expression, sample: Mapping[str, Any]) -> str | None:
    """Return the type error that an expression raises with sample values; None without a type error.

    Other failures are ignored: a sample text may not be a date, and facts are unknown before a case.
    """
    try:
        value = evaluate(compiled, sample)
        if key[0] in _TRUTHS and not isinstance(value, bool):
            return f"must be true or false, not {value!r}"
        if key[0] == "candidates" and not isinstance(value, list):
            return f"must give a list of names, not {value!r}"
        if key[0] == "quorum" and (isinstance(value, bool) or not isinstance(value, int | float)):
            return f"must give a whole number, not {value!r}"
        if (
            key[0] == "confirm"
            and value not in list(Confirm)
            and not (isinstance(value, str) and not _is_literal(value, compiled.source))
        ):
            return f"must give {', '.join(Confirm)}, not {value!r}"
        # A text made of sample values may be anything; a literal in the expression must be correct.
        if is_clock(key) and (not isinstance(value, str) or _is_literal(value, compiled.source)):
            as_instant(value, compiled.source, _DAY)
    except ExpressionError as wrong:
        cause = wrong.__cause__
        of_kind = cause is None or isinstance(cause, TypeError) or "Undefined variable or function" in str(cause)
        return str(wrong) if of_kind else None
    return None


def sample_of(section: ProcessPolicy, model: type[BaseModel], *, optional: bool) -> dict[str, Any] | None:
    """Return sample values for the names that conditions of a process read.

    If `optional` is False, optional fields have their default.

    Return None if there is no sample for the type of a field.
    """
    names: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if not optional and not field.is_required():
            names[name] = field.get_default(call_default_factory=True)
            continue
        value = _example(field.annotation)
        if value is None:
            return None
        names[name] = value
    limits = next(iter(section.limits.values()), {})
    case = {"reference": "x", "requester": "x", "priority": 3, "batch_id": "x" if optional else None}
    return names | {"facts": {}, "case": case, "limits": limits}


def _example(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        return _example(next(kind for kind in get_args(annotation) if kind is not type(None)))
    if get_origin(annotation) is Literal:
        return get_args(annotation)[0]
    kind = get_origin(annotation) or annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind)).value
    examples = {
        Decimal: Decimal("1.5"),
        int: 1,
        float: 1.5,
        bool: True,
        str: "x",
        date: _DAY,
        datetime: _DAY,
        list: [],
        dict: {},
        Any: {},
    }
    return examples.get(kind)


def _is_literal(text: str, source: str) -> bool:
    """Return True if an expression contains this text as a literal in quotes."""
    return any(word.kind == "text" and word.text.strip("\"'") == text for word in tokens(source))


def is_clock(key: Key) -> bool:
    """Return True if the expression of this key of a gate gives a time; False if the expression is a condition."""
    return key[0] not in (*_TRUTHS, "quorum", "candidates", "confirm")
