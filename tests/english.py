"""Find phrases that readers do not understand: `python -m tests.english [FILE ...]`.

Without a file it reads all held files.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = ROOT / "docs" / "contribute" / "english-forbidden.txt"
HELD = (
    "README.md",
    "docs/**/*.md",
    "docs/**/*.yml",
    ".github/**/*",
    "config/*",
    "docker-compose.yml",
    "Makefile",
    "api/templates/**/*.html",
    "api/locales/messages.pot",
    "channels/templates/**/*",
    "tests/sentences.txt",
    "*.py",
    "*/**/*.py",
)
"""Files that may contain no forbidden phrase."""
EXEMPT = (
    "docs/CHANGELOG.md",
    "docs/contribute/english-forbidden.txt",
    "tests/test_english.py",
    "docs/samples/files/**/*",
    "docs/samples/shop/**/*",
    "var/**/*",
)
"""History, the list and its test, files of others, and the sample shop, whose artefacts have fixed checksums."""


class Finding(NamedTuple):
    """A forbidden phrase: the file, the line, the phrase."""

    file: str
    line: int
    phrase: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: do not write '{self.phrase}'; see docs/contribute/writing.md"


def phrases() -> list[str]:
    """Return the forbidden phrases."""
    lines = FORBIDDEN.read_text(encoding="utf-8").splitlines()
    return [line.strip().lower() for line in lines if line.strip() and not line.startswith("#")]


def _pattern() -> re.Pattern[str]:
    """Return a pattern for all phrases, whose blanks stand for line breaks too."""
    each = (r"\s+".join(re.escape(word) for word in phrase.split()) for phrase in phrases())
    return re.compile(rf"(?<![\w-])(?:{'|'.join(each)})(?![\w-])", re.IGNORECASE)


FIND = _pattern()


def files(*patterns: str) -> list[Path]:
    """Return the files of these patterns, without the exempt ones."""
    exempt = {path for pattern in EXEMPT for path in ROOT.glob(pattern)}
    found = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(path for path in found - exempt if ".venv" not in path.parts and "__pycache__" not in path.parts)


def held() -> list[Path]:
    """Return the files that the test holds."""
    return files(*HELD)


def findings(path: Path) -> list[Finding]:
    """Return the forbidden phrases of one file, in the order of its lines."""
    name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
    found = [
        Finding(name, first + text.count("\n", 0, match.start()), " ".join(match[0].lower().split()))
        for first, text in _texts(path)
        for match in FIND.finditer(text)
    ]
    return sorted(found, key=lambda each: each.line)


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts for readers, each with the line on which it begins."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        if FIND.search(re.sub(r"[\s\"'#\\]+", " ", text)):  # most files need no parsing, which is slow
            yield from _strings(text)
    elif path.suffix == ".md":
        yield 1, _without_code(text)
    elif path.suffix == ".html":
        yield 1, re.sub(r"\{#.*?#\}|<(script|style)\b.*?</\1>", _blank, text, flags=re.DOTALL)
    else:
        yield 1, text


def _strings(source: str) -> Iterator[tuple[int, str]]:
    """Yield strings, docstrings and comments of Python code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _without_code(text: str) -> str:
    """Blank out code, addresses of links and comments, and keep the line breaks."""
    return re.sub(r"^```.*?^```$|`[^`\n]*`|\]\([^)]*\)|<!--.*?-->", _blank, text, flags=re.DOTALL | re.MULTILINE)


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", "·", match[0])


def main(names: list[str]) -> int:
    """Print the findings of these files, or of all files. Return 1 if there are findings."""
    paths = [Path(name).resolve() for name in names] or held()
    found = [finding for path in paths for finding in findings(path)]
    sys.stdout.writelines(f"{finding}\n" for finding in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
