"""Import the files of the drop folder: each file once, also after a crash, with a report for each.

The transaction that stores the batch of a file also stores its hash (`store/cases/dropped_files.py`). So a file that is
found again after a crash, or dropped again into the same folder under another name, is not imported twice.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from cases.start_permission import NotARequester
from cases.submit import NoPolicy
from cases.workflow_starter import TemporalUnavailable
from core.exception_places import described
from core.file_storage import base_name
from intake.drop_folder import Claim, DropFolder, StillWritten, Unfit, Where
from intake.mapping.column_mapping import WrongMapping
from intake.parsing.parsing_pool import LineTooLong, ParserEnded
from intake.tables.table import UnreadableFile
from intake.upload import BatchReport, Uploads
from policy.model import Policy
from policy.scope import scope_of
from store.cases import dropped_files
from store.cases.batches import AsyncConnection
from store.cases.dropped_files import AlreadyImported
from store.db.database import Database, DatabaseUnavailable
from store.people import people, successors
from workflows.registry import UnknownProcess

_REQUESTER = "HOLDGATE_IMPORT_REQUESTER"
_FILE_ERRORS = (UnknownProcess, NoPolicy, NotARequester, UnreadableFile, Unfit, WrongMapping)
"""Errors about the content of a file. After one of these errors the file is refused; after any other error, the file is
tried again.
"""

log = logging.getLogger(__name__)


_REPORTED = {
    "rows",
    "skipped",
    "blank",
    "lines_read",
    "format",
    "mapping",
    "notes",
    "ignored_columns",
    "errors",
    "duplicates",
}
"""The fields of the report of the batch that are copied into the report of the file."""


class DropFolderImport:
    """Starts requests from the rows of the files in a drop folder.

    The name of the folder that holds a file is the name of its process.

    A folder `payment@council-spending` also names a saved mapping. If a file is in the drop folder itself, the headings
    of the file decide which process the file is for.
    """

    def __init__(
        self, db: Database, uploads: Uploads, folder: DropFolder, requester: str | None, *, most_bytes: int, url: str
    ) -> None:
        """Import files.

        `requester` is the id of the person who requests all cases; `url` is the gateway's address, for reports.
        """
        self._db = db
        self._uploads = uploads
        self._folder = folder
        self._named = self._requester = requester or ""
        self._most_bytes = most_bytes
        self._url = url
        self._problems: dict[str, str] = {}
        """The last problem that was logged, by the token of the claim that has it; by an empty text for the whole
        import.
        """

    async def look(self) -> int:
        """Import the complete files, and return how many were moved away.

        If the folder is missing, or Temporal or the database does not answer, log this once. The files then stay where
        they are, and the next call tries them again.
        """
        try:
            async with self._db.read() as conn:
                # When the requester has left, the successor requests the cases of new files.
                self._requester = await successors.in_place_of(conn, self._named) or self._named
                wrong = await why_not_requester(conn, self._uploads.policy, self._requester)
            if wrong is None:
                await self._uploads.reach()
                claims = await asyncio.to_thread(self._folder.look)
        except (DatabaseUnavailable, TemporalUnavailable, OSError) as away:
            wrong = f"the files in the drop folder cannot be imported now: {described(away)}"
        self._log_change("", wrong)
        if wrong is not None:
            return 0
        return sum([await self._import_and_move(claim) for claim in claims])

    async def _import_and_move(self, claim: Claim) -> bool:
        """Import a file and move it away; return False if it must be tried again."""
        try:
            await self._import(claim)
        except StillWritten:
            return False
        except (DatabaseUnavailable, TemporalUnavailable, LineTooLong, ParserEnded, OSError) as away:
            self._log_change(claim.token, f"file {claim.token} is tried again: {described(away)}")
            return False
        except Exception as defect:  # a defect of Holdgate or of a process must not block other files
            self._log_change(claim.token, f"file {claim.token} could not be imported and is tried again", defect)
            return False
        self._problems.pop(claim.token, None)
        return True

    async def _import(self, claim: Claim) -> None:
        folder = base_name(claim.folder, "file") if claim.folder else ""
        report: dict[str, Any] = {"file": base_name(claim.name, "file"), "requester": self._requester}
        try:
            data = await asyncio.to_thread(self._folder.read, claim, self._most_bytes)
            folder = folder or await self._uploads.process_of(data, self._requester)
            process, _, mapping = folder.partition("@")
            report |= {"process": process, "sha256": hashlib.sha256(data).hexdigest()}
            report |= {"saved_mapping": mapping} if mapping else {}
            taken, before = await self._batch(claim, folder, report["sha256"], data)
        except _FILE_ERRORS as wrong:
            log.info("a file of the drop folder was refused: %s", type(wrong).__name__)
            await self._put_away(claim, {**report, "outcome": "refused", "reason": str(wrong)})
            return
        url = f"{self._url}/api/v1/batches/{taken.batch_id}"
        report |= {"outcome": "imported before" if before else "imported", "batch_id": taken.batch_id, "url": url}
        report |= taken.model_dump(mode="json", include=_REPORTED)
        bad: dict[str, bytes] = {}
        if not before and taken.rows.invalid and taken.batch_id:
            bad["bad_csv"] = await self._uploads.bad_rows(
                taken.batch_id, data, taken.format, ["invalid"], self._requester
            )
        await self._put_away(claim, report, **bad)

    async def _batch(self, claim: Claim, folder: str, sha256: str, data: bytes) -> tuple[BatchReport, bool]:
        """Return the batch of a file, and True if an earlier file with the same bytes and folder created it."""
        process, _, mapping = folder.partition("@")

        async def take(conn: AsyncConnection, batch_id: str) -> None:
            await dropped_files.take(conn, folder, sha256, batch_id, claim.token)

        with suppress(AlreadyImported):
            async with self._db.read() as conn:
                known = await dropped_files.known(conn, folder, sha256)
            if known is None:
                taken = await self._uploads.start(
                    process, claim.name, data, self._requester, mapping or None, taking=take
                )
                return taken, False
        async with self._db.read() as conn:
            known = await dropped_files.known(conn, folder, sha256)
        report = await self._uploads.report(known.batch_id) if known else None
        assert known is not None and report is not None, "what was taken stays"
        return report, known.claim != claim.token

    async def _put_away(self, claim: Claim, report: Mapping[str, Any], **beside: bytes) -> None:
        where: Where = "refused" if report["outcome"] == "refused" else "done"
        written = {**report, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        text = _in_words(written, "bad_csv" in beside).encode(errors="replace")
        await asyncio.to_thread(self._folder.put_away, claim, where, written, report_txt=text, **beside)

    def _log_change(self, what: str, wrong: str | None, defect: Exception | None = None) -> None:
        """Log a problem when it begins and when it ends, but not at each call of `look`.

        `what` is a claim token or empty.
        """
        if wrong == self._problems.get(what):
            return
        if wrong is None:
            del self._problems[what]
            log.info("the drop folder is watched again")
        else:
            self._problems[what] = wrong
            log.warning("drop folder: %s", wrong, exc_info=defect)


async def why_not_requester(conn: AsyncConnection, policy: Policy, id: str | None) -> str | None:
    """Return why this person cannot be the requester of dropped files; None if the person can be.

    A person who may start cases of some processes can be. Files of other processes are refused one by one.
    """
    if not id:
        return (
            f"{_REQUESTER} is not set, so no file in HOLDGATE_IMPORT_DIR is imported: set it to the id of the requester"
        )
    person = await people.active(conn, id)
    if person is None:
        return (
            f"{_REQUESTER}={id}: there is no active person of this id, so nothing in HOLDGATE_IMPORT_DIR is imported: "
            "set it to the id of an active person"
        )
    if not scope_of(policy, person.id, person.groups).starts:
        return (
            f"{_REQUESTER}={id}: the policy lets this person start no cases, so nothing in HOLDGATE_IMPORT_DIR is "
            "imported: add the person to a group that is in `requesters` of a process"
        )
    return None


def _in_words(report: Mapping[str, Any], bad: bool) -> str:
    """Return the report about the import of a file as text for people.

    `bad` is True if a CSV of invalid rows was written.
    """
    lines = [f"{report['file']}: {report['outcome']} ({report['at']})"]
    if report["outcome"] == "refused":
        return "\n".join([*lines, "", f"No case was started: {report['reason']}", ""])
    rows = report["rows"]
    if report["outcome"] == "imported before":
        lines += ["", "A file with the same content was imported before, so this copy starts no case."]
    lines += [
        "",
        f"Batch {report['batch_id']} of {report['process']}, requested by {report['requester']}: {report['url']}",
        f"Rows: {rows['total']}, of which valid {rows['valid']}, bad {rows['invalid']}, duplicate {rows['duplicate']}",
        *([f"Lines skipped, such as totals: {report['skipped']}"] if report["skipped"] else []),
        *report["notes"],
    ]
    if report["errors"]:
        lines += [
            "",
            "Bad rows"
            + (". Correct the rows in NAME.bad.csv, then put that file into the drop folder:" if bad else ":"),
        ]
        lines += [f"- line {row['line']}: {_errors(row['errors'])}" for row in report["errors"]]
    return "\n".join([*lines, ""])


def _errors(problems: list[dict[str, Any]]) -> str:
    return "; ".join(f"{each['column']}: {each['message']}" if each["column"] else each["message"] for each in problems)
