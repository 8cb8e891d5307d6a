"""Run scanners as separate processes: bandit for Python code, detect-secrets for secrets in any text.

Scanners read untrusted files, so they run within limits, without the worker's environment, on a copy, and isolated
where possible. Scanners do not execute the files, so they may run without isolation. The output of scanners is parsed
strictly: if a scanner fails, skips a file, or prints something unexpected, the scan fails. A failed scan never counts
as a scan without findings.

Nothing in the files can silence a scanner: `# nosec`, allowlist comments and `.bandit` files are ignored. Scanners also
skip some names and encodings silently: `x.svg`, `poetry.lock`, `my__pycache__.py`, files below `.git`, and text that is
not UTF-8. So the files in the copy have numbers as names, and text is converted to UTF-8.
"""

import asyncio
import codecs
import os
import re
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from activities.shared import isolation
from activities.shared.commands import CommandLimits, run
from activities.shared.scratch_folder import run_to_the_end
from domain.base import Message
from domain.errors import Trouble

Severity = Literal["low", "medium", "high"]
ReportT = TypeVar("ReportT", bound=BaseModel)
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high")

MEMORY = 1 << 30
MAX_OUTPUT = 16 << 20
"""The maximum number of bytes of a scanner's output. A longer output is an error."""
TIMEOUT = 200.0
"""The maximum seconds of time, and of processor time, of a scanner. detect-secrets takes up to 20 s for each MB on a
busy machine.
"""
MAX_SHOWN = 160
"""The maximum number of characters of the text of a finding that people see."""
CORES = 2
"""How many processes detect-secrets uses."""
CANARY = "aws_key = 'AKIA" + "EXAMPLEEXAMPLE00'\n"
"""A test key without use, in a file that Holdgate adds to the copy.

If detect-secrets does not report this key, detect-secrets has not scanned the files.
"""
PYTHON = (".py", ".pyw")
MARKED = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""The byte order marks of text in UTF-16."""
KINDS = frozenset(
    {".c", ".cf", ".cfg", ".cls", ".cnf", ".conf", ".cpp", ".cs", ".example", ".eyaml", ".go", ".ini", ".java", ".js"}
    | {".m", ".php", ".properties", ".py", ".pyi", ".swift", ".tf", ".toml", ".yaml", ".yml"}
)
"""The file endings whose syntax for passwords detect-secrets knows."""


class Finding(Message):
    """One finding of a scanner. A finding never contains the secret, or the line with the secret."""

    scanner: str
    rule: str
    severity: Severity
    file: str
    line: int
    what: str


class ScannerFailed(Trouble):
    """Raised if a scanner failed, so that the scan has no result."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _BanditResult(_Strict):
    filename: str
    issue_severity: Literal["LOW", "MEDIUM", "HIGH", "UNDEFINED"]
    issue_text: str
    line_number: int
    test_id: str


class _BanditError(_Strict):
    filename: str
    reason: str


class _BanditReport(_Strict):
    results: list[_BanditResult]
    errors: list[_BanditError]
    metrics: dict[str, Any]


class _Secret(_Strict):
    kind: str = Field(alias="type")
    line_number: int


class _SecretsReport(_Strict):
    version: str
    results: dict[str, list[_Secret]]


async def scan(folder: Path, within: Path | None = None) -> list[Finding]:
    """Return the findings of both scanners in a folder that only Holdgate writes to, the most severe first.

    `within` is the folder for the copies, by default the temporary folder of the system. Raises ScannerFailed.
    """
    with tempfile.TemporaryDirectory(prefix="holdgate-scan-", dir=within) as room:
        names = await run_to_the_end(_copy_files, folder, Path(room))
        scanning = (_bandit(Path(room), names), _detect_secrets(Path(room), names))
        results = await asyncio.gather(*scanning, return_exceptions=True)
    found: list[Finding] = []
    for result in results:
        if isinstance(result, BaseException):  # Raise after both have ended, so that neither keeps running.
            raise result
        found += result
    return sorted(found, key=lambda each: (-SEVERITIES.index(each.severity), each.file, each.line, each.rule))


def is_python(name: str, beginning: bytes) -> bool:
    """Return True if bandit should read a file: its name ends in `.py` or `.pyw` in any case, or its first line says
    that it is a Python script.
    """
    return name.lower().endswith(PYTHON) or (beginning.startswith(b"#!") and b"python" in beginning.partition(b"\n")[0])


def _copy_files(folder: Path, room: Path) -> dict[str, str]:
    """Copy all files with numbers as names: into the folder `python` for bandit, and `text` for detect-secrets.

    Return the real name of each copied file, by its new name.
    """
    for place in ("python", "text"):
        (room / place).mkdir()
    (room / "text" / "0.ini").write_text(CANARY)
    names: dict[str, str] = {}
    for number, path in enumerate(sorted(path for path in folder.rglob("*") if path.is_file()), start=1):
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        kind = path.suffix.lower() if path.suffix.lower() in KINDS else ".txt"
        copies = {f"text/{number}{kind}": _utf8(content)}
        if is_python(name, content):
            copies[f"python/{number}.py"] = content
        for copy, bytes_ in copies.items():
            (room / copy).write_bytes(bytes_)
            names[copy] = name
    return names


def _utf8(content: bytes) -> bytes:
    """Return text of any encoding as UTF-8.

    Text that is neither UTF-8 nor UTF-16 with a byte order mark is read as Latin-1, which accepts every byte.
    """
    for encoding in ("utf-16",) if content.startswith(MARKED) else ("utf-8-sig",):
        with suppress(UnicodeDecodeError):
            return content.decode(encoding).encode(errors="replace")
    return content.decode("latin-1").encode()


async def _bandit(room: Path, names: dict[str, str]) -> list[Finding]:
    if not any(copy.startswith("python/") for copy in names):
        return []
    # An empty --ini, because bandit would otherwise look for one among the files.
    options = ["--quiet", "--recursive", "--ignore-nosec", "--ini", os.devnull, "--format", "json", "--number", "1"]
    return _of_bandit(await _run("bandit", ["-m", "bandit", *options, "python"], room, good=(0, 1)), names)


def _of_bandit(output: bytes, names: dict[str, str]) -> list[Finding]:
    report = _read("bandit", _BanditReport, output)
    looked_at = {*report.metrics, *(each.filename for each in report.errors)}
    if not {copy for copy in names if copy.startswith("python/")} <= looked_at:
        raise ScannerFailed(
            "The scanner bandit skipped a file, so its result cannot be used. "
            "Check the version of bandit on the worker, then retry."
        )
    findings = [
        Finding(
            scanner="bandit",
            rule=each.test_id,
            # A finding that bandit cannot rate may be severe.
            severity="medium" if each.issue_severity == "UNDEFINED" else _severity(each.issue_severity),
            file=_name("bandit", each.filename, names),
            line=each.line_number,
            what=_without_quotes(each.issue_text),
        )
        for each in report.results
    ]
    return findings + [unreadable(_name("bandit", each.filename, names)) for each in report.errors]


def unreadable(file: str) -> Finding:
    """Return a finding that says that a Python file cannot be parsed, so that bandit did not scan it."""
    said = "This Python file cannot be read, so it was not scanned"
    return Finding(scanner="bandit", rule="unreadable", severity="medium", file=_short(file), line=1, what=said)


def _without_quotes(said: str) -> str:
    """Return the text before the code that bandit quotes, as in: Possible hardcoded password: 'the password'."""
    return _short(re.split(r"""['"`(:\n]""", said, maxsplit=1)[0].strip(" ."))


async def _detect_secrets(room: Path, names: dict[str, str]) -> list[Finding]:
    filters = ["detect_secrets.filters.allowlist.is_line_allowlisted"]
    command = ["-m", "detect_secrets", "--cores", str(CORES), "scan", "--all-files", "--no-verify"]
    command = [*command, *(part for each in filters for part in ("--disable-filter", each)), "text"]
    report = _read("detect-secrets", _SecretsReport, await _run("detect-secrets", command, room, good=(0,)))
    if not report.results.pop("text/0.ini", None):
        raise ScannerFailed(
            "The scanner detect-secrets did not find the test key of Holdgate, so its result cannot be used. "
            "Check the version of detect-secrets on the worker, then retry."
        )
    return [
        Finding(
            scanner="detect-secrets",
            rule=each.kind,
            severity="high",
            file=_name("detect-secrets", name, names),
            line=each.line_number,
            what=_short(f"Possible secret: {each.kind}"),
        )
        for name, secrets in report.results.items()
        for each in secrets
    ]


def _severity(said: str) -> Severity:
    return next(each for each in SEVERITIES if each == said.lower())


def _name(scanner: str, copy: str, names: dict[str, str]) -> str:
    """Return the real name of a copied file. Raises ScannerFailed for a file that was not copied."""
    if (copy := str(PurePosixPath(copy))) not in names:
        raise _unreadable_report(scanner)
    return _short(names[copy])


def _unreadable_report(scanner: str) -> ScannerFailed:
    return ScannerFailed(
        f"The scanner {scanner} wrote a report that cannot be read. "
        f"Check the version of {scanner} on the worker, then retry.",
        about=scanner,
    )


def _short(text: str) -> str:
    shown = "".join(char if char.isprintable() else "?" for char in text)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[: MAX_SHOWN - 1]}…"


def _read(scanner: str, model: type[ReportT], output: bytes) -> ReportT:
    try:
        return model.model_validate_json(output)
    except ValidationError as wrong:
        raise _unreadable_report(scanner) from wrong


async def _run(scanner: str, command: list[str], room: Path, good: tuple[int, ...]) -> bytes:
    """Run a scanner, and return its output.

    Raises ScannerFailed if the scanner times out, writes too much, or ends with an exit code that is not in `good`.
    """
    isolated = await asyncio.to_thread(isolation.missing) is None
    with tempfile.TemporaryDirectory(dir=room.parent) as home, tempfile.TemporaryFile() as output:
        limits = CommandLimits(seconds=TIMEOUT, memory=MEMORY, file_size=MAX_OUTPUT, space=MAX_OUTPUT)
        code = await run([sys.executable, "-I", *command], output, room, limits, isolated=isolated, room=Path(home))
        if code in (None, -signal.SIGALRM, -signal.SIGXCPU):
            raise ScannerFailed(
                f"The scanner {scanner} did not end within {TIMEOUT:.0f} seconds. "
                "Retry, or request reviews of smaller parts.",
                about=scanner,
            )
        if code not in good:
            raise ScannerFailed(
                f"The scanner {scanner} failed and gave no report. "
                f"Check {scanner} on the worker and retry, or request reviews of smaller parts.",
                about=scanner,
            )
        output.seek(0)
        return output.read()
