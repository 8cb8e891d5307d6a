"""Taking a file: the dry run and the real start are the same code, which judges every row by what is stored now.

A taken file is kept byte by byte under the hash of its content, its rows lie in SQL, and a Workflow carries them
through; `Starter.sweep` starts the Workflow of a batch whose process died before it could. So a 202 survives.
"""

import asyncio
import hashlib
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from temporalio.client import Client

from intake.files import base_name, keep
from intake.rows import Row, Sheet
from intake.start import SEVERAL, GivenMapping, Policy, PolicySource, Starter, differing
from store import batches, cases
from store.batches import Batch, BatchRow, BatchStatus, Existing
from store.database import Database, DatabaseUnavailable
from workflows.models import BatchCounts, Problem, case_id_for
from workflows.registry import PROCESSES, Process

PREVIEW = 20
"""Rows that a report shows with their errors; all of them are in the list of rows."""

_INTERNAL = {"path", "policy_hash", "total", "blank"}
"""Fields of a stored batch that its report does not have."""


class BatchReport(BaseModel):
    """One file and what became of its rows. A dry run has neither `batch_id` nor `status`."""

    model_config = ConfigDict(frozen=True)

    batch_id: str | None
    process: str
    filename: str
    sha256: str
    same_file_as: str | None
    """The newest earlier batch of the same bytes and process."""
    requester: str
    status: BatchStatus | None
    rows: BatchCounts
    cases: dict[str, int] = {}
    """The batch's cases by status."""
    lines_read: int = 0
    """Lines below the headings: rows, skipped ones (totals, credit notes) and blank ones."""
    format: dict[str, Any] = {}
    """How the bytes were read."""
    mapping: dict[str, Any] | None = None
    """Which columns stand for which fields; null: the fields' own names."""
    notes: list[str] = []
    """What was chosen in reading the file. Only in the first report."""
    ignored_columns: list[str]
    errors: list[BatchRow]
    """The first 20 invalid rows with everything that is wrong with them."""
    duplicates: list[BatchRow]
    """The first 20 duplicate rows with the case that exists."""
    created_at: datetime | None = None
    closed_at: datetime | None = None


class Uploads:
    """Takes files of cases, or says what would happen if it did."""

    def __init__(
        self,
        db: Database,
        client: Client,
        policy_file: PolicySource,
        folder: Path,
        processes: Mapping[str, Process] = PROCESSES,
        mappings: Path | None = None,
    ) -> None:
        self._db = db
        self._starter = Starter(db, client, policy_file, processes, mappings)
        self._folder = folder

    async def dry_run(
        self, process: str, filename: str, data: bytes, by: str, mapping: GivenMapping | None = None
    ) -> BatchReport:
        """Say what `start` would do, and do nothing.

        Raises UnknownProcess, NoPolicy, UnreadableFile, WrongMapping and DatabaseUnavailable.
        """
        sheet, _ = await self._open(process, data, mapping)
        sha256 = hashlib.sha256(data).hexdigest()
        rows = await self._judge(process, sheet)
        async with self._db.read() as conn:
            same_file_as = await batches.same_file(conn, process, sha256)
        return _report(
            rows,
            batch_id=None,
            status=None,
            process=process,
            filename=base_name(filename, "upload.csv"),
            sha256=sha256,
            same_file_as=same_file_as,
            requester=by,
            ignored_columns=sheet.ignored_columns,
            lines_read=sheet.lines_read,
            notes=sheet.notes,
            **_reading(sheet),
        )

    async def start(
        self, process: str, filename: str, data: bytes, by: str, mapping: GivenMapping | None = None
    ) -> BatchReport:
        """Keep the file, store its rows and start the Workflow that imports them; `by` requests all its cases.

        Raises UnknownProcess, NoPolicy, UnreadableFile, WrongMapping, TemporalUnavailable, DatabaseUnavailable and
        OSError (the upload folder cannot be written); after any of these nothing was taken.
        """
        sheet, policy = await self._open(process, data, mapping)
        await self._starter.launcher.reach()
        sha256 = hashlib.sha256(data).hexdigest()
        path = f"{sha256}.csv"
        await asyncio.to_thread(keep, self._folder, path, data)
        await self._starter.keep(policy)
        rows = await self._judge(process, sheet)
        async with self._db.write() as conn:
            batch = Batch(
                batch_id=f"b{secrets.token_hex(8)}",
                process=process,
                filename=base_name(filename, "upload.csv"),
                sha256=sha256,
                path=path,
                same_file_as=await batches.same_file(conn, process, sha256),
                requester=by,
                policy_hash=policy.hash,
                status="starting",
                total=len(rows),
                blank=sheet.blank,
                ignored_columns=sheet.ignored_columns,
                **_reading(sheet),
                created_at=datetime.now(UTC),
            )
            await batches.add(conn, batch, rows)
        # From here on the file is taken: whatever fails now is left to the sweep.
        if await self._starter.launcher.launch_batch(batch):
            with suppress(DatabaseUnavailable):
                async with self._db.write() as conn:
                    await batches.running(conn, [batch.batch_id])
                    batch.status = "running"
        about = batch.model_dump(exclude=_INTERNAL)
        return _report(rows, lines_read=sheet.lines_read, notes=sheet.notes, **about)

    async def report(self, batch_id: str) -> BatchReport | None:
        """What became of a batch so far; None when there is none of this id."""
        async with self._db.read() as conn:
            batch = await batches.get(conn, batch_id)
            if batch is None:
                return None
            rows = await batches.counts(conn, batch_id)
            return BatchReport(
                **batch.model_dump(exclude=_INTERNAL),
                rows=rows,
                lines_read=batch.total + batch.blank,
                cases=await cases.counts_by_status(conn, batch_id),
                errors=await batches.rows(conn, batch_id, "invalid", limit=PREVIEW),
                duplicates=await batches.rows(conn, batch_id, "duplicate", limit=PREVIEW),
            )

    async def _open(self, process: str, data: bytes, mapping: GivenMapping | None) -> tuple[Sheet, Policy]:
        policy = self._starter.policy(None if process == SEVERAL else process)
        # 100,000 rows take seconds of CPU: other requests must be answered meanwhile.
        return await asyncio.to_thread(self._starter.sheet, process, data, policy, mapping), policy

    async def _judge(self, process: str, sheet: Sheet) -> list[BatchRow]:
        keys: dict[str, list[str]] = {}
        for row in sheet.rows:
            if row.input:
                keys.setdefault(row.process or process, []).append(row.key)
        known: dict[str, Mapping[str, Existing]] = {}
        async with self._db.read() as conn:
            for name, wanted in keys.items():
                known[name] = await batches.existing_cases(conn, name, wanted)
        return await asyncio.to_thread(judge, process, sheet, known)


def _reading(sheet: Sheet) -> dict[str, Any]:
    mapping = sheet.mapping and sheet.mapping.model_dump(mode="json")
    return {"format": sheet.format.model_dump(mode="json"), "mapping": mapping}


def judge(process: str, sheet: Sheet, known: Mapping[str, Mapping[str, Existing]]) -> list[BatchRow]:
    """What each row of a file is, seen beside the cases `known` by process and reference key, and the rows above it."""
    above: dict[tuple[str, str], Row] = {}
    return [_judged(row.process or process, row, known, above) for row in sheet.rows]


def _judged(
    process: str, row: Row, known: Mapping[str, Mapping[str, Existing]], above: dict[tuple[str, str], Row]
) -> BatchRow:
    if row.skipped:
        why = [Problem(column=None, message=row.skipped)]
        return BatchRow(line=row.line, reference=row.reference, outcome="skipped", errors=why)
    if row.input is None:
        return BatchRow(line=row.line, reference=row.reference, outcome="invalid", errors=row.errors)
    case_id = case_id_for(process, row.reference)
    if existing := known.get(process, {}).get(row.key):
        return BatchRow(
            line=row.line,
            reference=row.reference,
            outcome="duplicate",
            case_id=existing.case_id,
            case_status=existing.status,
            differs=differing(existing.input, row.input),
        )
    first = above.setdefault((process, row.key), row)
    if first is not row and first.input is not None:
        return BatchRow(
            line=row.line,
            reference=row.reference,
            outcome="duplicate",
            case_id=case_id,
            differs=differing(first.input.model_dump(mode="json"), row.input),
        )
    return BatchRow(line=row.line, reference=row.reference, outcome="valid", case_id=case_id)


def _report(rows: Sequence[BatchRow], **about: Any) -> BatchReport:
    """The report of a file whose rows were judged a moment ago."""
    return BatchReport(
        rows=batches.counted(Counter(row.outcome for row in rows)),
        errors=[row for row in rows if row.outcome == "invalid"][:PREVIEW],
        duplicates=[row for row in rows if row.outcome == "duplicate"][:PREVIEW],
        **about,
    )
