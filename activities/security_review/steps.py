"""The steps of a security review: scan a target, and store which risk was accepted and until when."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from temporalio import activity

from activities.deployment.artefact import LIMITS, copy_hashed, unpack
from activities.security_review.request import SecurityReviewRequest
from activities.security_review.scanners import MARKED, SEVERITIES, Finding, Severity, is_python, scan, unreadable
from activities.shared.files_folder import Folder
from activities.shared.heartbeat import beating
from activities.shared.scratch_folder import run_to_the_end, scratch
from domain.base import Message
from domain.errors import Refused
from domain.step import StepCall

__all__ = ["AcceptedRisk", "Recorded", "ScanReport", "SecurityReviews"]

ARCHIVES = (".tar.gz", ".tgz")
MAX_FILES = 5_000
MAX_BYTES = 256 << 20
MAX_FILE = 5 << 20
"""The maximum number of bytes of one file that is scanned. Larger files are only counted, as skipped."""
MAX_TEXT = 8 << 20
"""The maximum number of bytes of all scanned files together. The scanners can read so much within their timeout."""
MAX_SHOWN = 100
"""The maximum number of findings that people see. The most severe findings come first."""
MAX_FACTS = 56 * 1024
"""The maximum number of bytes of the findings that people see. The limit of a gate's facts is 64 KB."""


class ScanReport(Message):
    """The report of a scan: the facts of a security review."""

    target: str
    digest: str
    """The SHA-256 of the names and contents of all files of the target."""
    files: int
    skipped: int
    """The number of files that were not scanned: binary, or larger than 5 MB."""
    worst: Severity | None
    high: int
    medium: int
    low: int
    findings: list[Finding]
    findings_not_shown: int
    accepted_before: bool
    """True if people have accepted a risk for the same files with findings that were at least as severe, and this
    acceptance has not expired.
    """


class AcceptedRisk(Message):
    """The input of the step that records a risk that people accepted."""

    target: str
    digest: str
    severity: Severity
    findings: list[Finding]
    accepted_by: list[str]
    reason: str
    expires_at: datetime


class Recorded(Message):
    """The output of `record_accepted_risk`: the accepted risk that was stored."""

    risk_id: int
    expires_at: datetime


class Risks(Protocol):
    """The store of accepted risks.

    A key has one effect only. If the undo of a key arrives before its step, the key becomes void and the step is
    refused.
    """

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
    """The steps that scan files and folders in the files folder, and store or withdraw accepted risks."""

    def __init__(self, risks: Risks, files: Path, scans: Path) -> None:
        """Set up the steps. `scans` is the folder for the copies that are scanned."""
        self._risks, self._folder, self._scans = risks, Folder(files), scans

    @activity.defn
    async def scan_target(self, call: StepCall[SecurityReviewRequest]) -> ScanReport:
        """Scan a copy of the target, and delete the copy. The step changes nothing."""
        async with beating():
            with scratch(self._scans) as room:
                tree = room / "tree"
                digest, files, left_out = await run_to_the_end(self._copied, call.input, room, tree)
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
            accepted_before=await self._risks.accepted(digest, call.at, as_bad),
        )

    def _copied(self, asked: SecurityReviewRequest, room: Path, tree: Path) -> tuple[str, int, list[str]]:
        """Copy the files to scan. Return their common digest, the number of files, and the names of skipped files."""
        tree.mkdir()
        if asked.target.lower().endswith(ARCHIVES):
            archive, unpacked = room / "archive", room / "unpacked"
            with self._folder.open(asked.target, LIMITS.archive) as source:
                found = copy_hashed(source, archive)
            if asked.sha256 not in (None, found):
                raise Refused(
                    f"The SHA-256 of '{asked.target}' is {found}, and differs from the SHA-256 in the request. "
                    "Check the archive, correct the SHA-256 or the archive, and submit again."
                )
            unpack(archive, unpacked)
            with Folder(room).folder(unpacked.name) as folder:
                return _copy_tree(folder, tree, asked.target)
        if asked.sha256:
            raise Refused(
                "Only an archive (.tar.gz, .tgz) has a SHA-256 to check: leave the SHA-256 empty for a folder."
            )
        with self._folder.folder(asked.target) as folder:
            return _copy_tree(folder, tree, asked.target)

    @activity.defn
    async def record_accepted_risk(self, call: StepCall[AcceptedRisk]) -> Recorded:
        """Store who accepted which risk, why, and until when."""
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
            accepted_at=call.at,
            expires_at=risk.expires_at,
        )
        return Recorded(risk_id=risk_id, expires_at=risk.expires_at)

    @activity.defn
    async def withdraw_accepted_risk(self, call: StepCall[AcceptedRisk]) -> bool:
        """Undo `record_accepted_risk`: withdraw the accepted risk. Return True if there was anything to undo."""
        return await self._risks.withdraw(call.key, call.undone, call.case_id)


def shown(found: Sequence[Finding]) -> list[Finding]:
    """Return as many findings from the beginning of the list as fit into the facts of a gate."""
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
    """Copy a folder to `tree`. Return the digest of all files, the number of files, and the names of skipped files.

    Each file is read once, so that the scanned bytes are the bytes of the digest.
    """
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
            raise Refused(f"'{named}' has more than {MAX_FILES:,} files or {MAX_BYTES >> 20} MB: split it.")
        digest.update(f"{name}\0{hashed.hexdigest()}\n".encode(errors="surrogateescape"))
        if size > MAX_FILE or (b"\0" in content and not content.startswith(MARKED)):
            left_out.append(name)
            continue
        text += size
        if text > MAX_TEXT:
            raise Refused(
                f"'{named}' has more than {MAX_TEXT >> 20} MB of text: split it, and request a review of each part."
            )
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    if not files:
        raise Refused(f"There are no files in '{named}'. Name a target with files, and submit again.")
    return digest.hexdigest(), files, left_out


def _files_of(folder: int, named: str) -> Iterator[tuple[str, int]]:
    """Yield the plain files below a folder with their names, open for reading, in a fixed order.

    Raises Refused for links and devices, because their targets would not be scanned. A file that is replaced by a link
    after it was found is not followed, and opening a pipe does not block.
    """

    def cannot_be_read(_error: OSError) -> None:
        raise Refused(
            f"A folder in '{named}' cannot be read, so its files would not be scanned. Correct its permissions."
        )

    for above, inner, names, within in os.fwalk(".", dir_fd=folder, onerror=cannot_be_read):
        inner.sort()
        links = [each for each in inner if stat.S_ISLNK(os.lstat(each, dir_fd=within).st_mode)]
        for each in sorted([*names, *links]):
            name = PurePosixPath(above, each).as_posix()
            if not stat.S_ISREG(os.lstat(each, dir_fd=within).st_mode):
                raise Refused(f"'{name}' in '{named}' is a link or not a regular file. Remove it, and submit again.")
            yield name, os.open(each, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=within)
