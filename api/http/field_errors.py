"""Turn errors of the database code about a value into problems that name the field of the value."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from api.http.problems import FieldError, invalid
from domain.input_errors import WrongField
from store.people.people import LastAdmin, UnknownPerson


@contextmanager
def field_errors(*, field: str, others: Sequence[str] = ()) -> Iterator[None]:
    """Run the block, and turn an error of the database code into Problem 422.

    The problem names the field of the error if this field is one of `others`, and the field `field` otherwise.
    """
    try:
        yield
    except LastAdmin:
        raise
    except (ValueError, UnknownPerson) as wrong:
        if type(wrong).__module__.startswith("pydantic"):
            raise
        at_fault = wrong.field if isinstance(wrong, WrongField) and wrong.field in others else field
        message = f"{str(wrong)[:1].upper()}{str(wrong)[1:]}."
        raise invalid(message, [FieldError(field=at_fault, message=message)]) from wrong
