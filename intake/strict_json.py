"""JSON as it stands: no key twice, no number that is none, no half of a character, all of which Python takes."""

import json
import math
from typing import Any


def loads(text: str) -> Any:
    """The value of a JSON text. Raises ValueError with a sentence, and RecursionError for what is nested too deeply."""
    value = json.loads(text, parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_each_key_once)
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half of a character (a lone surrogate), which is no text") from None
    return value


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"{digits[:40]} is too large a number")
    return number


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that stands twice readers take the first or the last, so nobody knows which one was meant."""
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"{key[:80]!a} stands twice in one object")
        made[key] = value
    return made
