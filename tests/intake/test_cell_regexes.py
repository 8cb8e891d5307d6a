"""No regular expression of intake takes long, even on the longest cell that is possible."""

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import intake
from intake.cells import parse_cells
from intake.tables.table import MAX_CELL

WITH_PATTERN = {"compile", "search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
ALPHABETS = [
    *(
        " ",
        "\t",
        "a",
        "A",
        "1",
        "0",
        ".",
        ",",
        "-",
        "(",
        "[",
        "{",
        '"',
        "'",
        "\\",
        "_",
        "#",
        "$",
        "é",
        "я",
        "年",
        "\u00a0",
    ),
    *("1,", "12.", "a ", "A1", "(a", "[a", "{a", "[$-", "00:", "E+", "de ", "_x00", " 1", "k€", "a'", "sep=", "\r\n"),
]
LONGEST = 0.1
"""Seconds of the processor."""


def in_source(path: Path) -> Iterator[str | bytes]:
    """Patterns that stand in calls, `re.sub("...", ...)`."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="re"), attr=called),
                args=[ast.Constant(value=str() | bytes() as pattern), *_],
            ) if called in WITH_PATTERN:
                yield pattern


def patterns() -> dict[str, "re.Pattern[str] | re.Pattern[bytes]"]:
    found: dict[str, re.Pattern[str] | re.Pattern[bytes]] = {}
    for module in pkgutil.walk_packages(intake.__path__, "intake."):
        loaded = importlib.import_module(module.name)
        made = [value for value in vars(loaded).values() if isinstance(value, re.Pattern)]
        made += [re.compile(each) for each in in_source(Path(str(loaded.__file__)))]
        found |= {f"{module.name.rpartition('.')[2]}-{number}": each for number, each in enumerate(dict.fromkeys(made))}
    marks = (".", ",")
    for decimal in marks:
        for thousands in ("", "none", " ", "'", *marks):
            if thousands != decimal:
                made_of = parse_cells._number(decimal, thousands)
                found[f"cells-number{decimal}{thousands}"] = made_of
    return found


PATTERNS = patterns()


def test_patterns_are_found() -> None:
    assert len(PATTERNS) > 50
    assert "bound_mapping" in {name.partition("-")[0] for name in PATTERNS}


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("size", [MAX_CELL // 16, pytest.param(MAX_CELL, marks=pytest.mark.soak)])
def test_an_expression_takes_no_long_on_any_cell(name: str, size: int) -> None:
    pattern = PATTERNS[name]
    slow = []
    for alphabet in ALPHABETS:
        hostile = (alphabet * size)[: size - 1] + "!"
        text = hostile.encode()[:size] if isinstance(pattern.pattern, bytes) else hostile
        for tried in (pattern.search, pattern.fullmatch, pattern.split):
            start = time.process_time()
            tried(text)  # type: ignore[arg-type]
            if (took := time.process_time() - start) > LONGEST:
                slow.append((alphabet, tried.__name__, round(took, 2)))
                break
    assert not slow, pattern.pattern
