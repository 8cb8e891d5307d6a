"""What is wrong with an input, in plain sentences: the offending value and what was expected."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from workflows.models import Problem

SHOWN = 60
"""Characters of an offending value that are repeated to the person who sent it."""


def quoted(value: Any) -> str:
    """A value as it is repeated in a message: in quotes, on one line, cut when it is long."""
    text = " ".join(str(value).split())
    return f"'{text[:SHOWN]}…'" if len(text) > SHOWN else f"'{text}'"


def problems_of(error: ValidationError, shown: Mapping[str, Any]) -> list[Problem]:
    """All that a model found wrong, in the order of its fields. `shown` is the input as it may be repeated."""
    return [_problem(detail, shown) for detail in error.errors(include_url=False)]


def _problem(detail: ErrorDetails, shown: Mapping[str, Any]) -> Problem:
    column = ".".join(map(str, detail["loc"])) or None
    # A validator may have wrapped or changed what it was given, so a field is repeated as it was sent.
    kind, value = detail["type"], shown.get(column or "", detail["input"])
    if kind == "missing":
        return Problem(column=column, message="a value is needed")
    if kind == "extra_forbidden":
        return Problem(column=column, message="is not a field of this process")
    if kind in {"value_error", "assertion_error"}:
        # Written by a model of ours for people; Pydantic puts "Value error, " before it.
        own = str(detail.get("ctx", {}).get("error", detail["msg"]))
        # A message about several fields has the whole model as its input: there is no single value to repeat.
        if column is None or isinstance(value, (dict, BaseModel)) or str(value) in own:
            return Problem(column=column, message=own)
        return Problem(column=column, message=f"{quoted(value)}: {own}")
    expected = _EXPECTED.get(kind)
    if expected is None:
        return Problem(column=column, message=f"{quoted(value)}: {_lower_first(detail['msg'])}")
    return Problem(column=column, message=f"{quoted(value)} {expected(detail.get('ctx', {}))}")


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _always(text: str) -> Callable[[dict[str, Any]], str]:
    return lambda _: text


_NUMBER = _always("is not a number such as 1250.00")
_WHOLE = _always("is not a whole number such as 3")
_DATE = _always("is not a date such as 2027-03-31")
_MOMENT = _always("is not a date and time such as 2027-03-31T09:00:00Z")

_EXPECTED: dict[str, Callable[[dict[str, Any]], str]] = {
    "decimal_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "finite_number": _NUMBER,
    "int_parsing": _WHOLE,
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "bool_parsing": _always("is neither yes nor no"),
    "bool_type": _always("is neither yes nor no"),
    "date_parsing": _DATE,
    "date_type": _DATE,
    "date_from_datetime_parsing": _DATE,
    "date_from_datetime_inexact": _DATE,
    "datetime_parsing": _MOMENT,
    "datetime_type": _MOMENT,
    "datetime_from_date_parsing": _MOMENT,
    "timezone_aware": _always("needs a time zone, such as 2027-03-31T09:00:00Z"),
    "date_past": _always("is not in the past"),
    "date_future": _always("is not in the future"),
    "string_type": _always("is not text"),
    "string_too_long": lambda ctx: f"is longer than {ctx['max_length']} characters",
    "string_too_short": lambda ctx: f"is shorter than {ctx['min_length']} characters",
    "string_pattern_mismatch": lambda ctx: f"does not have the form {ctx['pattern']}",
    "greater_than": lambda ctx: f"is not more than {ctx['gt']}",
    "greater_than_equal": lambda ctx: f"is less than {ctx['ge']}",
    "less_than": lambda ctx: f"is not less than {ctx['lt']}",
    "less_than_equal": lambda ctx: f"is more than {ctx['le']}",
    "decimal_max_places": lambda ctx: f"has more than {ctx['decimal_places']} decimals",
    "decimal_max_digits": lambda ctx: f"has more than {ctx['max_digits']} digits",
    "decimal_whole_digits": lambda ctx: f"has more than {ctx['whole_digits']} digits before the decimal point",
    "literal_error": lambda ctx: f"is not one of {ctx['expected']}",
    "enum": lambda ctx: f"is not one of {ctx['expected']}",
}
