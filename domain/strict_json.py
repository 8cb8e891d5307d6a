"""Strict JSON: refuse texts that Python reads as JSON, but that PostgreSQL or other JSON readers do not accept."""

import json
import math
from typing import Any

MAX_DEPTH = 100
"""Maximum depth of nested lists and objects. Readers of stored JSON are recursive and have different limits."""
MAX_DIGITS = 40
"""Maximum number of digits of a whole number: more than any amount has, and few enough for every reader."""

_CONTROL = {code: f"\\u{code:04x}" for code in (*range(127, 160), 0x2028, 0x2029)}
"""Characters that `json.dumps(..., ensure_ascii=False)` does not escape, although they can start a new line or control
a terminal, each with its escaped form."""


def escape_control(written: str) -> str:
    """Return a text that `json.dumps(..., ensure_ascii=False)` wrote, with all control characters escaped.

    Use this function for JSON that is written to a terminal or to a log.
    """
    return written.translate(_CONTROL)


def loads(text: str) -> Any:
    """Return the value of a JSON text. Raises ValueError with a sentence, and RecursionError for deep nesting.

    Refused are duplicate keys, NaN and infinity, whole numbers of more than 40 characters, numbers too large for a
    float, lone surrogates, and NUL.
    """
    return read(text, parse_constant=_no_number, object_pairs_hook=refuse_duplicate_keys)


def read(text: str, **hooks: Any) -> Any:
    """Return the value of a JSON text.

    The caller passes hooks to `json.loads`; these hooks raise the errors for NaN, infinity and duplicate keys.
    """
    value = json.loads(text, parse_float=_finite, parse_int=_whole, **hooks)
    check_texts(value)
    return value


def check_texts(value: Any) -> None:
    """Raise ValueError for texts that cannot be stored, and RecursionError for deep nesting.

    The function itself is not recursive.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                deeper += each
                deeper += each.values()
            elif isinstance(each, list):
                deeper += each
            elif isinstance(each, str):
                _check_text(each)
        if not deeper:
            return
        level = deeper
    raise RecursionError(f"nested more than {MAX_DEPTH} levels deep")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("must not contain a NUL character: remove it")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("it contains half of a character (a lone surrogate): remove this half") from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not allowed in JSON: write a number or null")


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"{digits[:40]} is too large a number")
    return number


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"{digits[:MAX_DIGITS]}... is too large a number: at most {MAX_DIGITS} digits are allowed")
    return int(digits)


def refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the JSON object as a dict.

    Raises ValueError for a duplicate key, because JSON readers differ in which of its values they use.
    """
    if key := duplicate_key(pairs):
        raise ValueError(f"{key} appears twice in one object: use each key once")
    return dict(pairs)


def duplicate_key(pairs: list[tuple[str, Any]]) -> str | None:
    """Return the first key that occurs twice in an object, shortened for an error message; None without one."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return f"{key[:80]!a}"
        seen.add(key)
    return None
