"""Regular expressions of the product, how each is used, and texts that are slow for each."""

import ast
import importlib
import re
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from re import _parser
from typing import Any

ROOT = Path(__file__).parents[2]
USES: dict[str, Callable[["re.Pattern[Any]", Any], object]] = {
    "search": lambda pattern, text: pattern.search(text),
    "match": lambda pattern, text: pattern.match(text),
    "fullmatch": lambda pattern, text: pattern.fullmatch(text),
    "finditer": lambda pattern, text: sum(1 for _ in pattern.finditer(text)),
}
SAME = {"sub": "finditer", "subn": "finditer", "split": "finditer", "findall": "finditer"}
PROBE = 2_048
"""Characters on which every text is tried; what grows faster than they is tried up to `LONGEST`."""
LONGEST = 128 * 1024
SUSPECT = 0.000_15
"""Seconds on the probe beyond which the whole length is tried."""
ALLOWED = 0.1
"""Seconds of the processor on the longest text."""
_CATEGORIES = {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " ", "CATEGORY_NOT_WORD": "-"}


@cache
def used_in(folder: str) -> dict[tuple[str | bytes, int], set[str]]:
    """Return the patterns of a folder with their flags, and the methods that each is used with."""
    found: dict[tuple[str | bytes, int], set[str]] = {}
    for path in files_of(folder):
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            match node.func.value, node.args:
                case ast.Name(id="re"), [ast.Constant(value=str() | bytes() as text), *_] if (
                    node.func.attr != "compile"
                ):
                    flags = sum(getattr(re, name) for name in re.findall(r"\bre\.([A-Z]+)\b", ast.unparse(node)))
                    pattern = re.compile(text, flags)
                case ast.Name(id=name), _ if isinstance(made := getattr(module, name, None), re.Pattern):
                    pattern = made
                case _:
                    continue
            use = SAME.get(node.func.attr, node.func.attr)
            if use in USES:
                found.setdefault((pattern.pattern, pattern.flags), set()).add(use)
    return found


def files_of(folder: str) -> Iterator[Path]:
    """Return the Python files of a folder that can be imported without effect."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        if path.name not in ("__main__.py", "__init__.py") and "migrations" not in path.parts:
            yield path


def hostile(pattern: str | bytes, flags: int) -> Iterator[Callable[[int], str | bytes]]:
    """Makers of texts of any length, of what stands in the pattern: each sign and pair again and again, after each."""
    signs = list(dict.fromkeys([*_signs(_parser.parse(pattern, flags & ~re.DEBUG)), " ", "1", "a"]))[:7]
    for sign in signs:
        for before in ("", *signs):
            yield _of(before, sign, bytes_=isinstance(pattern, bytes))
        for other in signs:
            if other != sign:
                yield _of("", sign + other, bytes_=isinstance(pattern, bytes))


def _of(before: str, unit: str, *, bytes_: bool) -> Callable[[int], str | bytes]:
    def text(size: int) -> str | bytes:
        made = before + (unit * size)[: size - len(before) - 1] + "\x01"
        return made.encode("latin-1", "replace") if bytes_ else made

    return text


def _signs(parsed: Any) -> Iterator[str]:
    for operation, about in parsed:
        match str(operation):
            case "LITERAL" | "NOT_LITERAL":
                yield chr(about)
            case "RANGE":
                yield chr(about[0])
            case "CATEGORY":
                yield _CATEGORIES.get(str(about), "a")
            case "IN":
                yield from _signs(about)
            case _:
                yield from _within(about)


def _within(about: Any) -> Iterator[str]:
    if isinstance(about, _parser.SubPattern):
        yield from _signs(about)
    elif isinstance(about, tuple | list):
        for each in about:
            yield from _within(each)


def slow(pattern: str | bytes, flags: int, use: str) -> list[tuple[str, int]]:
    """The beginnings of hostile texts on which a use of the pattern takes too long, with their length."""
    compiled = re.compile(pattern, flags)
    found = []
    for text in hostile(pattern, flags):
        size, took = PROBE, _took(use, compiled, text(PROBE))
        while SUSPECT < took <= ALLOWED and size < LONGEST:
            size, before = size * 2, took
            took = _took(use, compiled, text(size))
            if took < 3 * before and took * LONGEST / size < ALLOWED:
                break  # it grows with the text
        if took > ALLOWED:
            found.append((repr(text(PROBE)[:4]), size))
            break
    return found


def _took(use: str, pattern: "re.Pattern[Any]", text: str | bytes) -> float:
    begun = time.process_time()
    USES[use](pattern, text)
    return time.process_time() - begun
