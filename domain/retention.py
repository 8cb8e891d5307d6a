"""How long ended cases are kept, by process: the value of `HOLDGATE_RETENTION`."""

import difflib
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta

LEAST_DAYS = 1
MOST_DAYS = 36_500
_DAYS = re.compile(r"([0-9]{1,9})\s*d")

Periods = Mapping[str, timedelta]
"""By process: the time after the end of a case when its content is erased. A process without a period keeps all."""


def parse(text: str | None) -> Periods:
    """Return the periods that a text such as `payment=3650d, approval=90d` describes.

    Raises ValueError, whose text names the part that is wrong.
    """
    periods: dict[str, timedelta] = {}
    for part in filter(None, (each.strip() for each in (text or "").split(","))):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not (name and equals):
            raise ValueError(f"{part!r} must be the name of a process, then = and a number of days, such as 3650d")
        found = _DAYS.fullmatch(value.lower())
        if found is None:
            raise ValueError(f"{part!r}: {value!r} must be a number of days, such as 90d")
        if not LEAST_DAYS <= int(found[1]) <= MOST_DAYS:
            raise ValueError(f"{part!r}: a period has {LEAST_DAYS} to {MOST_DAYS:,} days")
        if name in periods:
            raise ValueError(f"{part!r}: {name} is there twice")
        periods[name] = timedelta(days=int(found[1]))
    return periods


def check_processes(periods: Periods, known: Iterable[str]) -> None:
    """Raise ValueError if a period names a process that does not exist."""
    names = list(known)
    for name in periods:
        if name not in names:
            like = difflib.get_close_matches(name, names, n=1)
            meant = f"did you mean {like[0]}?" if like else f"use one of {', '.join(names)}"
            raise ValueError(f"there is no process '{name}': {meant}")
