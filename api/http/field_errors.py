"""Turn errors of the database code about a value into problems that name the field of the value."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from api.http.problems import FieldError, Problem, invalid
from domain.input_errors import WrongField
from store.people.group_owners import ProvidedGroup
from store.people.last_admin import LastAdmin
from store.people.people import UnknownPerson


@contextmanager
def field_errors(*, field: str, others: Sequence[str] = ()) -> Iterator[None]:
    """Run the block, and turn an error of the database code into Problem 422, or 409 for a group of a provider.

    The problem names the field of the error if this field is one of `others`, and the field `field` otherwise.
    """
    try:
        yield
    except LastAdmin:
        raise
    except ProvidedGroup as provided:
        raise provided_problem(provided) from provided
    except (ValueError, UnknownPerson) as wrong:
        if type(wrong).__module__.startswith("pydantic"):
            raise
        at_fault = wrong.field if isinstance(wrong, WrongField) and wrong.field in others else field
        message = _sentence(wrong)
        raise invalid(message, [FieldError(field=at_fault, message=message)]) from wrong


def provided_problem(refused: ProvidedGroup) -> Problem:
    """Return problem 409: an identity provider sets the members of the group."""
    return Problem(409, _sentence(refused), kind="provided-group", provider=refused.provider)


def _sentence(error: Exception) -> str:
    said = str(error)
    return f"{said[:1].upper()}{said[1:]}."
