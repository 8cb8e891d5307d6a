"""The steps of a security review: scan, and keep which risk people took and until when."""

import asyncio
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from temporalio import activity

from activities.artefact import copy, inside, unpack
from activities.beats import beating
from activities.scanners import SEVERITIES, Finding, Severity, scan
from activities.security_review_request import SecurityReviewRequest
from workflows.models import Message, Refused, StepCall

__all__ = ["AcceptedRisk", "Recorded", "ScanReport", "SecurityReviewRequest", "SecurityReviews"]

ARCHIVES = (".tar.gz", ".tgz")
MAX_FILES = 5_000
MAX_BYTES = 256 << 20
MAX_FILE = 5 << 20
"""Bytes of one file; larger ones are not scanned, and counted."""
MAX_SHOWN = 100
"""Findings that people are shown, the worst first. With them the facts stay below 64 KB."""


class ScanReport(Message):
    """The facts of a review."""

    target: str
    digest: str
    """SHA-256 over the names and contents of all files."""
    files: int
    skipped: int
    """Files that were not scanned: binary, or larger than 5 MB."""
    worst: Severity | None
    high: int
    medium: int
    low: int
    findings: list[Finding]
    findings_not_shown: int
    accepted_before: bool
    """Whether the risk of exactly these files was accepted, and still is."""


class AcceptedRisk(Message):
    """A risk that people take."""

    target: str
    digest: str
    severity: Severity
    findings: list[Finding]
    accepted_by: list[str]
    reason: str
    expires_at: datetime


class Recorded(Message):
    """A risk in the record."""

    risk_id: int
    expires_at: datetime


class Risks(Protocol):
    """Where risks are kept. A key has one effect for ever, and an undo that comes first voids it."""

    async def accept(
        self,
        key: str,
        case_id: str,
        *,
        target: str,
        digest: str,
        severity: str,
        findings: list[dict[str, Any]],
        accepted_by: list[str],
        reason: str,
        accepted_at: datetime,
        expires_at: datetime,
    ) -> int: ...

    async def withdraw(self, key: str, undoes: str, case_id: str) -> bool: ...

    async def accepted(self, digest: str, at: datetime) -> bool: ...


class SecurityReviews:
    """Scans of what lies in the folder of files."""

    def __init__(self, risks: Risks, files: Path) -> None:
        self._risks, self._files = risks, files

    @activity.defn
    async def scan_target(self, call: StepCall[SecurityReviewRequest]) -> ScanReport:
        """Scan a copy of the target, which is gone afterwards. Changes nothing."""
        async with beating():
            with tempfile.TemporaryDirectory(prefix="holdgate-review-") as scratch:
                tree = Path(scratch, "tree")
                digest, files, skipped = await asyncio.to_thread(self._copied, call.input, Path(scratch), tree)
                found = await scan(tree)
        counts = {severity: sum(each.severity == severity for each in found) for severity in SEVERITIES}
        return ScanReport(
            target=call.input.target,
            digest=digest,
            files=files,
            skipped=skipped,
            worst=found[0].severity if found else None,
            **counts,
            findings=found[:MAX_SHOWN],
            findings_not_shown=max(len(found) - MAX_SHOWN, 0),
            accepted_before=await self._risks.accepted(digest, activity.info().scheduled_time),
        )

    def _copied(self, asked: SecurityReviewRequest, scratch: Path, tree: Path) -> tuple[str, int, int]:
        """Copy what is to be scanned; answers the digest of all, how many files there are, how many are left out."""
        tree.mkdir()
        if asked.target.lower().endswith(ARCHIVES):
            archive = scratch / "archive"
            if (found := copy(inside(self._files, asked.target), archive)) != (asked.sha256 or found):
                raise Refused(f"'{asked.target}' is not what was to be reviewed: its SHA-256 is {found}.")
            unpack(archive, scratch / "unpacked")
            return _copy_tree(scratch / "unpacked", tree, asked.target)
        if asked.sha256:
            raise Refused("Only an archive has a SHA-256 to check: leave it out for a folder.")
        home = self._files.resolve()
        folder = home / asked.target
        if folder.resolve() != folder or not folder.is_dir():
            raise Refused(f"There is no folder and no archive (.tar.gz) '{asked.target}' in the folder of files.")
        return _copy_tree(folder, tree, asked.target)

    @activity.defn
    async def record_accepted_risk(self, call: StepCall[AcceptedRisk]) -> Recorded:
        """Keep who took which risk, why, and until when."""
        risk = call.input
        risk_id = await self._risks.accept(
            call.key,
            call.case_id,
            target=risk.target,
            digest=risk.digest,
            severity=risk.severity,
            findings=[each.model_dump() for each in risk.findings],
            accepted_by=risk.accepted_by,
            reason=risk.reason,
            accepted_at=activity.info().scheduled_time,
            expires_at=risk.expires_at,
        )
        return Recorded(risk_id=risk_id, expires_at=risk.expires_at)

    @activity.defn
    async def withdraw_accepted_risk(self, call: StepCall[AcceptedRisk]) -> bool:
        """Undo `record_accepted_risk`. Answers whether there was anything."""
        return await self._risks.withdraw(call.key, call.undoes or "", call.case_id)


def _copy_tree(source: Path, tree: Path, named: str) -> tuple[str, int, int]:
    digest, total, files, skipped = hashlib.sha256(), 0, 0, 0
    for path in _files_of(source, named):
        files += 1
        size = path.stat().st_size
        total += size
        if files > MAX_FILES or total > MAX_BYTES:
            raise Refused(f"'{named}' has more than {MAX_FILES:,} files or {MAX_BYTES >> 20} MB.")
        name = path.relative_to(source)
        content = hashlib.sha256()
        text = size <= MAX_FILE
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                content.update(chunk)
                text = text and b"\0" not in chunk
        digest.update(f"{name.as_posix()}\0{content.hexdigest()}\n".encode(errors="surrogateescape"))
        if not text:
            skipped += 1
            continue
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, tree / name, follow_symlinks=False)
    if not files:
        raise Refused(f"There are no files in '{named}'.")
    return digest.hexdigest(), files, skipped


def _files_of(source: Path, named: str) -> Iterator[Path]:
    """Plain files, in one order. Raises Refused for links and devices: what they lead to would not be scanned."""
    for folder, inner, names in os.walk(source):
        inner.sort()
        for name in sorted([*names, *(each for each in inner if Path(folder, each).is_symlink())]):
            path = Path(folder, name)
            if not stat.S_ISREG(path.lstat().st_mode):
                raise Refused(f"'{path.relative_to(source)}' in '{named}' is a link or no plain file.")
            yield path
