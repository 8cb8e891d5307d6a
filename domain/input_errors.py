"""Write the errors of an input as plain sentences that name the wrong value and say what is expected."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from domain.base import FieldProblem
from domain.masking import hidden_values, left_masked

SHOWN = 60
"""Maximum number of characters of a wrong value in a message."""


class WrongField(ValueError):
    """Raised if a value cannot be used. `field` is the name of its field in the API."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def shortened(value: Any) -> str:
    """Return a value on one line, cut if it is long."""
    text = " ".join(str(value).split())
    return f"{text[:SHOWN]}…" if len(text) > SHOWN else text


def quoted(value: Any) -> str:
    """Return a shortened value in quotes, for a message."""
    return f"'{shortened(value)}'"


def problems_of(error: ValidationError, shown: Mapping[str, Any]) -> list[FieldProblem]:
    """Return all errors that a model found, in the order of its fields.

    `shown` is the input in the form in which people may see it, such as with masked account numbers.
    """
    return [_problem(detail, shown) for detail in error.errors(include_url=False)]


def masked_values(
    values: Mapping[str, Any], shown: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> list[FieldProblem]:
    """Return a problem for each value that is sent back as people see it, masked. `shown` masks an input."""
    expected = "the whole value, because only its end is shown"
    return [
        FieldProblem(column=name, message=f"is masked: enter {expected}", expected=expected)
        for name in left_masked(values, shown)
    ]


def without_values(error: ValidationError) -> str:
    """Return all errors that a model found as one line, which names the fields and repeats no value.

    Use this text where people may not see the input, or where nothing masks its secret fields.
    """
    return "; ".join(_without_value(detail) for detail in error.errors(include_url=False))


def _without_value(detail: ErrorDetails) -> str:
    where, kind = ".".join(map(str, detail["loc"])), detail["type"]
    if kind == "missing":
        said = "has no value"
    elif kind == "extra_forbidden":
        said = "is not a field any more"
    elif kind in _EXPECTED:
        said = f"expects {_EXPECTED[kind][1].format_map(detail.get('ctx', {}))}"
    else:
        # A sentence of a model can repeat the value. Such a sentence is left out.
        said = _lower_first(" ".join(detail["msg"].removeprefix("Value error, ").split()))
        if _repeats(said, detail["input"]):
            said = "has a value that is not accepted"
    return f"{where}: {said}" if where else said


def _repeats(text: str, value: Any) -> bool:
    """Return True if a text contains the value that somebody sent, or a word of the value with four letters or more."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, Mapping):
        return any(_repeats(text, each) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_repeats(text, each) for each in value)
    if value is None or value == "":
        return False
    whole = str(value).casefold()
    return any(word in text.casefold() for word in (whole, *(word for word in whole.split() if len(word) > 3)))


def _problem(detail: ErrorDetails, shown: Mapping[str, Any]) -> FieldProblem:
    column = ".".join(map(str, detail["loc"])) or None
    # A validator may have wrapped or changed the value, so the message shows the value as it was sent.
    kind, value = detail["type"], _at(shown, detail["loc"], detail["input"])
    if kind == "missing":
        return FieldProblem(column=column, message="enter a value", expected="a value")
    if kind == "extra_forbidden":
        return FieldProblem(column=column, message="is not a field of this process")
    # An error about several fields has the whole model as its input, so there is no single value to show.
    single = column is not None and not isinstance(value, (dict, BaseModel))
    repeated = shortened(value) if single else None
    if kind in {"value_error", "assertion_error"}:
        # The message is a sentence by our own model. Pydantic puts "Value error, " before it.
        own = str(detail.get("ctx", {}).get("error", detail["msg"]))
        if any(_repeats(own, hidden) for hidden in hidden_values(detail["input"], value if column else shown)):
            own = "has a value that is not accepted"
        message = own if not single or str(value) in own else f"{quoted(value)}: {own}"
        return FieldProblem(column=column, message=message, value=repeated, expected=own)
    words = _EXPECTED.get(kind)
    if words is None:
        own = _lower_first(detail["msg"])
        return FieldProblem(column=column, message=f"{quoted(value)}: {own}", value=repeated, expected=own)
    says, expected = words
    about = detail.get("ctx", {})
    return FieldProblem(
        column=column,
        message=f"{quoted(value)} {says.format_map(about)}",
        value=repeated,
        expected=expected.format_map(about),
    )


def _at(shown: Mapping[str, Any], where: tuple[int | str, ...], otherwise: Any) -> Any:
    """Return the value at the place of an error; `otherwise` if there is none, as for an error about all fields."""
    found: Any = shown
    for part in where:
        try:
            found = found[part]
        except (LookupError, TypeError):
            return otherwise
    return found if where else otherwise


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


_NUMBER = "is not a number such as 1250.00", "a number such as 1250.00"
_WHOLE = "is not a whole number such as 3", "a whole number such as 3"
_DATE = "is not a date such as 2027-03-31", "a date such as 2027-03-31"
_MOMENT = "is not a date and time such as 2027-03-31T09:00:00Z", "a date and time such as 2027-03-31T09:00:00Z"
_YES = "is neither yes nor no", "yes or no"
_ONE_OF = "is not one of {expected}", "one of {expected}"

_EXPECTED: dict[str, tuple[str, str]] = {
    "decimal_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "finite_number": _NUMBER,
    "int_parsing": _WHOLE,
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "bool_parsing": _YES,
    "bool_type": _YES,
    "date_parsing": _DATE,
    "date_type": _DATE,
    "date_from_datetime_parsing": _DATE,
    "date_from_datetime_inexact": _DATE,
    "datetime_parsing": _MOMENT,
    "datetime_type": _MOMENT,
    "datetime_from_date_parsing": _MOMENT,
    "timezone_aware": (
        "needs a time zone, such as 2027-03-31T09:00:00Z",
        "a date and time with a time zone, such as 2027-03-31T09:00:00Z",
    ),
    "date_past": ("is not in the past", "a date in the past"),
    "date_future": ("is not in the future", "a date in the future"),
    "string_type": ("is not text", "text"),
    "string_too_long": ("is longer than {max_length} characters", "at most {max_length} characters"),
    "string_too_short": ("is shorter than {min_length} characters", "at least {min_length} characters"),
    "string_pattern_mismatch": ("does not have the form {pattern}", "the form {pattern}"),
    "greater_than": ("is not more than {gt}", "more than {gt}"),
    "greater_than_equal": ("is less than {ge}", "{ge} or more"),
    "less_than": ("is not less than {lt}", "less than {lt}"),
    "less_than_equal": ("is more than {le}", "{le} or less"),
    "decimal_max_places": ("has more than {decimal_places} decimals", "at most {decimal_places} decimals"),
    "decimal_max_digits": ("has more than {max_digits} digits", "at most {max_digits} digits"),
    "decimal_whole_digits": (
        "has more than {whole_digits} digits before the decimal point",
        "at most {whole_digits} digits before the decimal point",
    ),
    "literal_error": _ONE_OF,
    "enum": _ONE_OF,
}
"""By type of pydantic's errors: the end of a sentence that begins with the wrong value, and the expected value."""
