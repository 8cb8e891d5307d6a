"""Compile and evaluate conditions in CEL.

Numbers. CEL has doubles and no decimals, so decimals become doubles. This is exact for up to 15 significant digits: two
different numbers never become the same double, and their order stays. So `amount >= 500` is true for 500.00 and false
for 499.99, and `amount == 0.1` is exact. A longer number is refused as an error, never rounded; 9,999,999,999,999.99 is
the largest amount with two decimals. CEL does not mix whole numbers and doubles in arithmetic: write `amount * 2.0`.

Unknown values. A value that is not yet known is not among the names that are passed to `evaluate`. CEL has three-valued
logic for errors: `amount > 500 || facts.score > 50` is true for a large amount although `facts` is unknown. Where CEL
finds no value, `evaluate` raises UnknownValue.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import cached_property, lru_cache
from itertools import pairwise
from types import ModuleType
from typing import Any, NamedTuple

from pydantic import BaseModel

# cel imports its command line, and with it rich, typer and prompt_toolkit: a fifth of a second at each start.
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
    # An unclosed text matches to the end, so that no quote in it is tried as the start of another text.
    r"""[rRbB]{0,2}(?P<text>\"{3}[\s\S]*?(?:\"{3}|\Z)|'{3}[\s\S]*?(?:'{3}|\Z)
      |"(?:\\[\s\S]|[^"\\])*+(?:"|\\?\Z)|'(?:\\[\s\S]|[^'\\])*+(?:'|\\?\Z))
      | //[^\n]* | (?P<name>[A-Za-z_]\w*) | (?P<number>\d[\w.]*) | (?P<mark>[<>=!]=|&&|\|\||\S)""",
    re.VERBOSE,
)


class ExpressionError(ValueError):
    """Raised if an expression is invalid, or has no value for this case. The message is one line."""


class UnknownValue(ExpressionError):
    """Raised if the value of an expression depends on unknown names.

    `names` has these names, sorted, such as `facts.score`.
    """

    def __init__(self, source: str, names: Sequence[str]) -> None:
        super().__init__(f"'{source}' depends on {', '.join(names)}, which is not known yet")
        self.names = tuple(names)


class Partial(dict[str, Any]):
    """A value for `evaluate`, such as the facts, of which only some members are known.

    All other members are unknown.
    """


class Token(NamedTuple):
    """One token of a CEL expression: its kind and its text."""

    kind: str
    """`name`, `number`, `text` or `mark`."""
    text: str


@dataclass(frozen=True)
class Expression:
    """A compiled expression. `reads` holds the names that it reads: `("amount",)`, `("facts", "score")`, ..."""

    source: str
    program: cel.Program
    reads: frozenset[tuple[str, ...]]
    has: bool
    """True if the expression uses `has(...)` to ask whether a member exists."""

    def misreads(self, name: str, known: Partial) -> bool:
        """Return True if the expression could take an unknown member of `name` for a member that does not exist."""
        return (name,) in self.reads or (
            self.has and any(root == name and members[0] not in known for _, root, members in self.paths)
        )

    @cached_property
    def roots(self) -> frozenset[str]:
        """Return the names that the expression reads, without their members."""
        return frozenset(path[0] for path in self.reads)

    @cached_property
    def paths(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Return the names that the expression reads, sorted, each as text, name and members: `("limits.manager",
        "limits", ("manager",))`.
        """
        return [(".".join(path), path[0], path[1:]) for path in sorted(self.reads)]

    def reads_any(self, root: str) -> bool:
        """Return True if the expression reads the name `root` or a member of `root`."""
        return root in self.roots


@lru_cache(maxsize=1000)
def expression(source: str) -> Expression:
    """Compile an expression. Raises ExpressionError for invalid CEL, or a call of a function that CEL does not have."""
    try:
        program = cel.compile(source)
    except Exception as wrong:
        raise ExpressionError(f"not a CEL expression: {_one_line(wrong)}") from wrong
    unknown = sorted(name for name in program.functions() if name.isidentifier() and not _known_function(name))
    if unknown:
        raise ExpressionError(f"unknown function {', '.join(unknown)}; known are {', '.join(sorted(_FUNCTIONS))}")
    found = tokens(source)
    return Expression(source, program, _reads(found, set(program.variables())), _asks_has(found))


def evaluate(compiled: Expression, names: Mapping[str, Any]) -> Any:
    """Return the value of an expression. Of `names`, only the values that the expression reads are converted to CEL.

    Names that are not in `names`, and other members of a Partial, are unknown. Raises UnknownValue where the value
    depends on them. Raises ExpressionError for every other error, because CEL's errors have no common class.
    """
    try:
        values = {
            name: to_cel(names[name])
            for name in compiled.roots
            if name in names and not (type(names[name]) is Partial and compiled.misreads(name, names[name]))
        }
        return compiled.program.execute(values)
    except Exception as wrong:
        if unknown := unknown_names(compiled, names):
            raise UnknownValue(compiled.source, unknown) from wrong
        if isinstance(wrong, KeyError):
            raise ExpressionError(f"'{compiled.source}' reads {wrong}, which does not exist") from wrong
        raise ExpressionError(f"'{compiled.source}' failed: {_one_line(wrong)}") from wrong


def unknown_names(compiled: Expression, names: Mapping[str, Any]) -> list[str]:
    """Return the names that an expression reads and `names` does not have, sorted."""

    def is_known(root: str, *members: str) -> bool:
        if root not in names:
            return False
        found = names[root]
        return not isinstance(found, Partial) or (bool(members) and members[0] in found)

    return sorted(".".join(path) for path in compiled.reads if not is_known(*path))


def to_cel(value: Any) -> Any:
    """Return a Python value for CEL: decimals as doubles, dates as timestamps at 00:00 UTC.

    Raises ExpressionError for a number with too many digits, and for a value that CEL does not have.
    """
    match value:
        case Enum():
            return to_cel(value.value)
        case bool() | float() | str() | None:
            return value
        case int() if abs(value) >= 10**EXACT_DIGITS:
            raise ExpressionError(f"{value} has more than {EXACT_DIGITS} digits and cannot be compared exactly")
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
    # Operators have names such as `_+_`, which are not identifiers, except these.
    return name in _FUNCTIONS or (name.startswith("_") and name.endswith("_"))


def tokens(source: str) -> list[Token]:
    """Return the tokens of an expression, without blanks and comments."""
    return [Token(kind, match[kind]) for match in _TOKEN.finditer(source) if (kind := match.lastgroup)]


def _asks_has(found: Sequence[Token]) -> bool:
    return any((name.kind, name.text, bracket.text) == ("name", "has", "(") for name, bracket in pairwise(found))


def _reads(found: Sequence[Token], variables: set[str]) -> frozenset[tuple[str, ...]]:
    """Return the names that an expression reads, with their members.

    The CEL library gives only `variables`: names without members, also names that a macro binds.
    """
    end = Token("mark", "")
    padded = [end, *found, end, end, end]
    texts = [text for _, text in padded]
    bound = {
        name
        for dot, macro, bracket, name, comma in zip(texts, texts[1:], texts[2:], texts[3:], texts[4:], strict=False)
        if (dot, bracket, comma) == (".", "(", ",") and macro in _MACROS
    }
    reads: set[tuple[str, ...]] = set()
    for at, (kind, name) in enumerate(padded):
        if kind != "name" or name not in variables - bound or texts[at - 1] == ".":
            continue
        (_, mark), (next_kind, member), (_, after) = padded[at + 1 : at + 4]
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
    # The rest of the message is advice about other types of the library.
    text = text.split(", so common causes are")[0].split("\n")[0]
    return text if len(text) <= 200 else text[:199] + "…"
