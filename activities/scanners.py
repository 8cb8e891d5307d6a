"""Scanners as processes of their own: bandit for Python code, detect-secrets for secrets in any text.

They read what somebody else wrote, so they run within limits, without the worker's environment, and on a copy. What
they say is read strictly: a scanner that fails, or says something else than it should, is never taken for one that
found nothing. Nothing in the copy can silence them: `# nosec`, allowlist comments and `.bandit` files do not count.
"""

import asyncio
import os
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from activities import limited
from workflows.models import Message, Trouble

Severity = Literal["low", "medium", "high"]
ReportT = TypeVar("ReportT", bound=BaseModel)
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high")

CPU_SECONDS = 60
MEMORY = 1 << 30
MAX_OUTPUT = 16 << 20
"""Bytes that a scanner may write; more is no answer."""
TIMEOUT = 90.0
"""Seconds."""
MAX_TEXT = 160
"""Characters of what is said of a finding."""


class Finding(Message):
    """One thing that a scanner found. Never the text of a secret, nor the line it stands in."""

    scanner: str
    rule: str
    severity: Severity
    file: str
    line: int
    what: str


class ScannerFailed(Trouble):
    """A scanner did not do its work."""


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


async def scan(folder: Path) -> list[Finding]:
    """What both scanners find in a folder that is ours alone, the worst first. Raises ScannerFailed."""
    results = await asyncio.gather(_bandit(folder), _detect_secrets(folder), return_exceptions=True)
    found: list[Finding] = []
    for result in results:
        if isinstance(result, BaseException):  # after both have ended, so that neither goes on behind our back
            raise result
        found += result
    return sorted(found, key=lambda each: (-SEVERITIES.index(each.severity), each.file, each.line, each.rule))


async def _bandit(folder: Path) -> list[Finding]:
    # An empty --ini, as otherwise a .bandit file in the folder could leave rules out.
    command = ["-m", "bandit", "--quiet", "--recursive", "--ignore-nosec", "--ini", os.devnull, "--format", "json", "."]
    output = await _run("bandit", command, folder, good=(0, 1))  # 1: it has findings
    report = _read("bandit", _BanditReport, output)
    findings = [
        Finding(
            scanner="bandit",
            rule=each.test_id,
            # Of what bandit cannot rate nobody knows that it is harmless.
            severity="medium" if each.issue_severity == "UNDEFINED" else _severity(each.issue_severity),
            file=_name(each.filename),
            line=each.line_number,
            what=_short(each.issue_text.partition("\n")[0]),
        )
        for each in report.results
    ]
    unread = [
        Finding(
            scanner="bandit",
            rule="unreadable",
            severity="medium",
            file=_name(each.filename),
            line=1,
            what="This Python file cannot be read, so nobody knows what is in it",
        )
        for each in report.errors
    ]
    return findings + unread


async def _detect_secrets(folder: Path) -> list[Finding]:
    filters = ["detect_secrets.filters.allowlist.is_line_allowlisted"]
    command = ["-m", "detect_secrets", "--cores", "1", "scan", "--all-files", "--no-verify"]
    command = [*command, *(part for each in filters for part in ("--disable-filter", each)), "."]
    output = await _run("detect-secrets", command, folder, good=(0,))
    report = _read("detect-secrets", _SecretsReport, output)
    return [
        Finding(
            scanner="detect-secrets",
            rule=each.kind,
            severity="high",
            file=_name(name),
            line=each.line_number,
            what=_short(f"What looks like a secret: {each.kind}"),
        )
        for name, secrets in report.results.items()
        for each in secrets
    ]


def _severity(said: str) -> Severity:
    return next(each for each in SEVERITIES if each == said.lower())


def _name(filename: str) -> str:
    return _short(str(PurePosixPath(filename)))


def _short(text: str) -> str:
    shown = "".join(char if char.isprintable() else "?" for char in text)
    return shown if len(shown) <= MAX_TEXT else f"{shown[: MAX_TEXT - 1]}…"


def _read(scanner: str, model: type[ReportT], output: bytes) -> ReportT:
    try:
        return model.model_validate_json(output)
    except ValidationError as wrong:
        raise ScannerFailed(f"The scanner {scanner} gave no report that can be read.") from wrong


async def _run(scanner: str, command: list[str], folder: Path, good: tuple[int, ...]) -> bytes:
    """What a scanner writes to its output. Raises ScannerFailed."""
    with tempfile.TemporaryDirectory(prefix="holdgate-scan-") as home, tempfile.TemporaryFile() as output:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8"}
        limits = [str(CPU_SECONDS), str(MEMORY), str(MAX_OUTPUT)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", limited.__file__, *limits, sys.executable, "-I", *command),
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        code: int | None = None
        try:
            async with asyncio.timeout(TIMEOUT):
                code = await process.wait()
        except TimeoutError:
            pass
        finally:
            with suppress(ProcessLookupError):  # the whole group: a scanner may have children
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if code is None:
            raise ScannerFailed(f"The scanner {scanner} did not end within {TIMEOUT:.0f} seconds.")
        if code not in good:
            raise ScannerFailed(f"The scanner {scanner} broke off.")
        output.seek(0)
        return output.read()
