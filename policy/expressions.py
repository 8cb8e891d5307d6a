"""Conditions in CEL: what an expression reads, and its value.

Numbers. CEL knows doubles, not decimals, so decimals become doubles on their way in. That is exact for our purpose up
to 15 significant digits: two different numbers of that size never become the same double, and their order stays. So
`amount >= 500` is true for 500.00 and false for 499.99, and `amount == 0.1` means what it says. A longer number
(9,999,999,999,999.99 is the largest amount with two decimals) is refused as an error, never rounded. CEL does not mix
whole numbers and doubles in arithmetic: write `amount * 2.0`.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from types import ModuleType
from typing import Any

from pydantic import BaseModel

# cel loads its command line with it, and so rich, typer and prompt_toolkit: a fifth of a second of each start.
sys.modules.setdefault("cel.cli", ModuleType("cel.cli"))
import cel  # noqa: E402

EXACT_DIGITS = 15

_FUNCTIONS = {
    *("size", "contains", "startsWith", "endsWith", "matches", "has", "all", "exists", "exists_one", "map", "filter"),
    *("int", "uint", "double", "string", "bytes", "timestamp", "duration", "type"),
    *("getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek"),
    *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
}
_MACROS = {"all", "exists", "exists_one", "map", "filter"}

_TOKEN = re.compile(
    # A text that never closes goes to the end, so that no quote in it is tried as the beginning of another.
    r"""[rRbB]{0,2}(?P<text>\"{3}[\s\S]*?(?:\"{3}|\Z)|'{3}[\s\S]*?(?:'{3}|\Z)
      |"(?:\\[\s\S]|[^"\\])*+(?:"|\\?\Z)|'(?:\\[\s\S]|[^'\\])*+(?:'|\\?\Z))
      | //[^\n]* | (?P<name>[A-Za-z_]\w*) | \d[\w.]* | (?P<mark>\S)""",
    re.VERBOSE,
)


class ExpressionError(ValueError):
    """An expression that cannot be read, or that has no value for this case. The message is one line."""


@dataclass(frozen=True)
class Expression:
    """A compiled expression. `reads` holds what it reads: `("amount",)`, `("facts", "score")`, ..."""

    source: str
    program: cel.Program
    reads: frozenset[tuple[str, ...]]

    def reads_any(self, root: str) -> bool:
        """Whether it reads this name or anything below it."""
        return any(path[0] == root for path in self.reads)


@lru_cache(maxsize=1000)
def expression(source: str) -> Expression:
    """Compile an expression. Raises ExpressionError when it is not CEL or calls a function that CEL does not have."""
    try:
        program = cel.compile(source)
    except Exception as wrong:
        raise ExpressionError(f"not a CEL expression: {_one_line(wrong)}") from wrong
    unknown = sorted(name for name in program.functions() if name.isidentifier() and not _known_function(name))
    if unknown:
        raise ExpressionError(f"unknown function {', '.join(unknown)}; known are {', '.join(sorted(_FUNCTIONS))}")
    return Expression(source, program, _reads(source, set(program.variables())))


def evaluate(compiled: Expression, names: Mapping[str, Any]) -> Any:
    """The value of an expression. Only the names it reads are converted, so another field cannot spoil it.

    Raises ExpressionError for whatever goes wrong; CEL has many kinds of errors and no common class for them.
    """
    roots = {path[0] for path in compiled.reads}
    try:
        return compiled.program.execute({name: to_cel(value) for name, value in names.items() if name in roots})
    except KeyError as missing:
        raise ExpressionError(f"'{compiled.source}' reads {missing}, which is not there") from missing
    except Exception as wrong:
        raise ExpressionError(f"'{compiled.source}' failed: {_one_line(wrong)}") from wrong


def to_cel(value: Any) -> Any:
    """A Python value as CEL sees it: decimals as doubles, dates as timestamps at 00:00 UTC. Raises ExpressionError."""
    match value:
        case Enum():
            return to_cel(value.value)
        case bool() | float() | str() | None:
            return value
        case int() if abs(value) >= 10**EXACT_DIGITS:
            raise ExpressionError(f"{value} is too large to compare exactly")
        case Decimal():
            if not value.is_finite() or len(value.normalize().as_tuple().digits) > EXACT_DIGITS:
                raise ExpressionError(f"{value} has more than {EXACT_DIGITS} digits and cannot be compared exactly")
            return float(value)
        case datetime():
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        case date():
            return datetime.combine(value, time(), UTC)
        case BaseModel():
            return {name: to_cel(getattr(value, name)) for name in type(value).model_fields}
        case Mapping():
            return {str(key): to_cel(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [to_cel(item) for item in value]
        case _:
            return value


def _known_function(name: str) -> bool:
    # Operators appear as `_+_`, which is no identifier, except these.
    return name in _FUNCTIONS or (name.startswith("_") and name.endswith("_"))


def _reads(source: str, variables: set[str]) -> frozenset[tuple[str, ...]]:
    """What an expression reads, down to the member.

    The library names the variables, among them those that macros bind, and not what follows their dot.
    """
    tokens = [(match.lastgroup, match[match.lastgroup]) for match in _TOKEN.finditer(source) if match.lastgroup]
    tokens = [("mark", ""), *tokens, *[("mark", "")] * 3]
    texts = [text for _, text in tokens]
    bound = {
        name
        for dot, macro, bracket, name, comma in zip(texts, texts[1:], texts[2:], texts[3:], texts[4:], strict=False)
        if (dot, bracket, comma) == (".", "(", ",") and macro in _MACROS
    }
    reads: set[tuple[str, ...]] = set()
    for at, (kind, name) in enumerate(tokens):
        if kind != "name" or name not in variables - bound or texts[at - 1] == ".":
            continue
        (_, mark), (next_kind, member), (_, after) = tokens[at + 1 : at + 4]
        if mark == "." and next_kind == "name" and after != "(":
            reads.add((name, member))
        elif mark == "[" and next_kind == "text" and after == "]":
            reads.add((name, member.strip("\"'")))
        else:
            reads.add((name,))
    return frozenset(reads)


def _one_line(error: BaseException) -> str:
    text = str(error)
    if at := re.search(r"<input>:\d+:(\d+): (?:Syntax error: )?(.*)", text):
        text = f"{at[2]} at column {at[1]}"
    # What follows is advice about the library's other types.
    text = text.split(", so common causes are")[0].split("\n")[0]
    return text if len(text) <= 200 else text[:199] + "…"
