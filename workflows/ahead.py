"""Fields that must lie ahead when somebody asks: a deadline that has passed is a mistake, and nobody's decision.

That is looked at when a case is asked for or its input is edited, and never again: a model that refused a moment
that has passed could not be read any more.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from pydantic import BaseModel


class Ahead:
    """Marks a field: `deadline: Annotated[AwareDatetime | None, Ahead()]`."""


def passed(input: BaseModel, now: datetime, fields: Collection[str] | None = None) -> Iterator[tuple[str, str]]:
    """Fields whose moment has passed by `now`, each with what is wrong. `fields`: only these."""
    for name, field in type(input).model_fields.items():
        if fields is not None and name not in fields:
            continue
        moment = getattr(input, name)
        if not isinstance(moment, datetime) or not any(isinstance(mark, Ahead) for mark in field.metadata):
            continue
        if moment <= now:
            # In the zone it was given in, so that people recognise it.
            told = f"{moment:%Y-%m-%d %H:%M}" + (" UTC" if moment.utcoffset() == timedelta() else f"{moment:%z}")
            yield name, f"{told} lies in the past: choose a later time"
