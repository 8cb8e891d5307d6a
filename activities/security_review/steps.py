"""The steps of a security review: scan, and keep which risk people took and until when."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from temporalio import activity

from activities.deployment.artefact import LIMITS, copy, unpack
from activities.security_review.request import SecurityReviewRequest
from activities.security_review.scanners import MARKED, SEVERITIES, Finding, Severity, is_python, scan, unreadable
from activities.shared.files_folder import Folder
from activities.shared.heartbeat import beating
from activities.shared.scratch_folder import scratch, to_the_end
from domain.base import Message
from domain.errors import Refused
from domain.step import StepCall

__all__ = ["AcceptedRisk", "Recorded", "ScanReport", "SecurityReviewRequest", "SecurityReviews"]

ARCHIVES = (".tar.gz", ".tgz")
MAX_FILES = 5_000
MAX_BYTES = 256 << 20
MAX_FILE = 5 << 20
"""Bytes of one file; larger ones are not scanned, and counted."""
MAX_TEXT = 8 << 20
"""Bytes of all that is scanned: what scanners get through in their time."""
MAX_SHOWN = 100
"""Findings that people are shown, the worst first."""
MAX_FACTS = 56 * 1024
"""Bytes of these findings: a gate takes facts of 64 KB."""


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
    """Whether the risk of exactly these files was accepted, and still is, with findings as bad as these."""


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

    async def accepted(self, digest: str, at: datetime, severities: Sequence[str]) -> bool: ...


class SecurityReviews:
    """Scans of what lies in the folder of files."""

    def __init__(self, risks: Risks, files: Path, scans: Path) -> None:
        """`scans`: the folder of the copies that are scanned."""
        self._risks, self._folder, self._scans = risks, Folder(files), scans

    @activity.defn
    async def scan_target(self, call: StepCall[SecurityReviewRequest]) -> ScanReport:
        """Scan a copy of the target, which is gone afterwards. Changes nothing."""
        async with beating():
            with scratch(self._scans) as room:
                tree = room / "tree"
                digest, files, left_out = await to_the_end(self._copied, call.input, room, tree)
                found = await scan(tree, room)
        found = _worst_first(found, [unreadable(name) for name in left_out if is_python(name, b"")])
        counts = {severity: sum(each.severity == severity for each in found) for severity in SEVERITIES}
        worst = found[0].severity if found else None
        as_bad = SEVERITIES[SEVERITIES.index(worst) :] if worst else SEVERITIES
        findings = shown(found)
        return ScanReport(
            target=call.input.target,
            digest=digest,
            files=files,
            skipped=len(left_out),
            worst=worst,
            **counts,
            findings=findings,
            findings_not_shown=len(found) - len(findings),
            accepted_before=await self._risks.accepted(digest, activity.info().scheduled_time, as_bad),
        )

    def _copied(self, asked: SecurityReviewRequest, room: Path, tree: Path) -> tuple[str, int, list[str]]:
        """Copy what is to be scanned; answers the digest of all, how many files there are, which are left out."""
        tree.mkdir()
        if asked.target.lower().endswith(ARCHIVES):
            archive, unpacked = room / "archive", room / "unpacked"
            with self._folder.open(asked.target, LIMITS.archive) as source:
                found = copy(source, archive)
            if asked.sha256 not in (None, found):
                raise Refused(f"'{asked.target}' is not what was to be reviewed: its SHA-256 is {found}.")
            unpack(archive, unpacked)
            with Folder(room).folder(unpacked.name) as folder:
                return _copy_tree(folder, tree, asked.target)
        if asked.sha256:
            raise Refused("Only an archive (.tar.gz) has a SHA-256 to check: leave it out for a folder.")
        with self._folder.folder(asked.target) as folder:
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
        return await self._risks.withdraw(call.key, call.undone, call.case_id)


def shown(found: Sequence[Finding]) -> list[Finding]:
    """The first findings, as many as the facts of a gate have room for."""
    room, fit = MAX_FACTS, 0
    for each in found[:MAX_SHOWN]:
        room -= len(each.model_dump_json().encode()) + 1
        if room < 0:
            break
        fit += 1
    return list(found[:fit])


def _worst_first(found: list[Finding], more: list[Finding]) -> list[Finding]:
    return sorted([*found, *more], key=lambda each: -SEVERITIES.index(each.severity))


def _copy_tree(folder: int, tree: Path, named: str) -> tuple[str, int, list[str]]:
    """Each file is read once, so that what is scanned is what the digest is of."""
    digest, total, text, files = hashlib.sha256(), 0, 0, 0
    left_out: list[str] = []
    for name, descriptor in _files_of(folder, named):
        files += 1
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(MAX_FILE + 1)
            hashed, size = hashlib.sha256(content), len(content)
            while size > MAX_FILE and (chunk := file.read(1 << 20)) and total + size <= MAX_BYTES:
                hashed.update(chunk)
                size += len(chunk)
        total += size
        if files > MAX_FILES or total > MAX_BYTES:
            raise Refused(f"'{named}' has more than {MAX_FILES:,} files or {MAX_BYTES >> 20} MB.")
        digest.update(f"{name}\0{hashed.hexdigest()}\n".encode(errors="surrogateescape"))
        if size > MAX_FILE or (b"\0" in content and not content.startswith(MARKED)):
            left_out.append(name)
            continue
        text += size
        if text > MAX_TEXT:
            raise Refused(f"'{named}' has more than {MAX_TEXT >> 20} MB of text: have it reviewed in parts.")
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    if not files:
        raise Refused(f"There are no files in '{named}'.")
    return digest.hexdigest(), files, left_out


def _files_of(folder: int, named: str) -> Iterator[tuple[str, int]]:
    """Plain files below a folder with their names, open for reading, in one order.

    Raises Refused for links and devices: what they lead to would not be scanned. Nothing that is exchanged for a link
    since it was found is followed, and a pipe is not waited for.
    """

    def cannot_be_read(_error: OSError) -> None:
        raise Refused(f"A folder in '{named}' cannot be read, so nobody knows what is in it.")

    for above, inner, names, within in os.fwalk(".", dir_fd=folder, onerror=cannot_be_read):
        inner.sort()
        links = [each for each in inner if stat.S_ISLNK(os.lstat(each, dir_fd=within).st_mode)]
        for each in sorted([*names, *links]):
            name = PurePosixPath(above, each).as_posix()
            if not stat.S_ISREG(os.lstat(each, dir_fd=within).st_mode):
                raise Refused(f"'{name}' in '{named}' is a link or no plain file.")
            yield name, os.open(each, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=within)
