"""Read the comparisons of a condition: `amount >= limits.manager`, `facts.score < 50`.

`wording.py` uses this module to explain conditions, `preview.py` to evaluate many cases fast.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from policy.expressions import EXACT_DIGITS, Token, tokens

OPPOSITE = {">=": "<", ">": "<=", "<=": ">", "<": ">=", "==": "!=", "!=": "=="}
"""For each comparison operator: the operator with the opposite result, such as `<` for `>=`."""
_BEFORE = ("", "(", "?", ":", "&&", "||")
_AFTER = ("", ")", "?", ":", "&&", "||")
"""Tokens that may stand before or after a comparison that is a condition of its own, such as `&&`."""


@dataclass(frozen=True)
class Comparison:
    """A comparison of a name with another name or a number."""

    name: str
    """Such as `amount` or `facts.score`."""
    operator: str
    other: str | Decimal
    """A name such as `limits.manager`, or a number."""

    @property
    def limit(self) -> str | None:
        """Return the limit of the comparison: `manager` for `limits.manager`; None for anything else."""
        root, _, member = str(self.other).partition(".") if isinstance(self.other, str) else ("", "", "")
        return member if root == "limits" and "." not in member else None


@lru_cache(maxsize=1000)
def comparison(condition: str) -> Comparison | None:
    """Return the comparison, if the whole condition is one comparison; None for any other condition."""
    words = tokens(condition)
    found, end = _read(words, 0)
    return found if end == len(words) and found and found.operator in ("<", "<=", ">", ">=") else None


def comparisons_of(name: str, condition: str) -> list[Comparison] | None:
    """Return all comparisons of the field `name` with limits and numbers in a condition.

    Return None if the condition also uses the field in another way.
    """
    end = Token("mark", "")
    words = [end, *tokens(condition), end]
    found = []
    for at, word in enumerate(words):
        if word != Token("name", name) or words[at - 1].text == ".":
            continue
        made, after = _read(words, at)
        if made is None or made.name != name or words[at - 1].text not in _BEFORE or words[after].text not in _AFTER:
            return None
        if isinstance(made.other, str) and made.limit is None:
            return None
        found.append(made)
    return found


def _read(words: Sequence[Token], at: int) -> tuple[Comparison | None, int]:
    """Return the comparison at the index `at`, or None, and the index of the token after the comparison."""
    name, at = _name(words, at)
    operator = words[at].text if at < len(words) else ""
    if not name or operator not in OPPOSITE:
        return None, at
    other, after = _name(words, at + 1)
    if other:
        return Comparison(name, operator, other), after
    number, after = _number(words, at + 1)
    return (None if number is None else Comparison(name, operator, number)), after


def _name(words: Sequence[Token], at: int) -> tuple[str, int]:
    """Return the name with its members at the index `at`, such as `facts.score`, and the index of the token after it.

    If no name begins there, the text is empty.
    """
    parts: list[str] = []
    while at < len(words) and words[at].kind == "name":
        parts.append(words[at].text)
        at += 1
        if at + 1 >= len(words) or words[at].text != "." or words[at + 1].kind != "name":
            break
        at += 1
    return ".".join(parts), at


def _number(words: Sequence[Token], at: int) -> tuple[Decimal | None, int]:
    """Return the number at the index `at`, also a negative one, and the index of the token after it.

    The number is None if no number begins there, or if CEL would round it.
    """
    sign = "-" if at < len(words) and words[at].text == "-" else ""
    at += len(sign)
    text = words[at].text if at < len(words) and words[at].kind == "number" else ""
    digits = text.replace(".", "", 1)
    plain = digits.isdecimal() and text[-1] != "." and len(digits) <= EXACT_DIGITS
    return (Decimal(sign + text) if plain else None), at + 1
