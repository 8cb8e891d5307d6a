"""Compare the stored input of a case with a new input for the same reference."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import BaseModel


def differing(stored: Mapping[str, Any], parsed: BaseModel) -> list[str]:
    """Return the names of the fields in which a stored input differs from a new input. 12.5 and 12.50 are equal."""
    new = parsed.model_dump(mode="json")
    return [
        name for name in new if new[name] != stored.get(name) and not _same(getattr(parsed, name), stored.get(name))
    ]


def _same(new: Any, stored: Any) -> bool:
    try:
        return isinstance(new, Decimal) and stored is not None and Decimal(str(stored)) == new
    except InvalidOperation:
        return False
