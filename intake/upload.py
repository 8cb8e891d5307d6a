"""Taking a file: the dry run and the real start are the same code, which judges every row by what is stored now.

A taken file is kept byte by byte under the hash of its content, its rows lie in SQL, and a Workflow carries them
through; `Starter.sweep` starts the Workflow of a batch whose process died before it could. So a 202 survives.
"""

import asyncio
import hashlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from temporalio.client import Client

from intake.files import base_name, keep
from intake.forecast import Forecast, ForecastReport
from intake.judge import Judge
from intake.names_check import NamesCheck
from intake.reading import process_of
from intake.rows import Row, Sheet
from intake.start import SEVERAL, GivenMapping, PolicySource, Starter
from intake.tables import FileFormat
from policy.model import Policy
from store import batches, cases
from store.batches import AsyncConnection, Batch, BatchRow, BatchStatus, PlannedRow
from store.database import Database, DatabaseUnavailable
from workflows.models import BatchCounts
from workflows.registry import PROCESSES, Process

PREVIEW = 20
"""Rows that a report shows with their errors; all of them are in the list of rows."""
CHUNK = 1_000
"""Rows that are judged and stored at once: decisions wait no longer for their turn to write than one of these takes."""

Taking = Callable[[AsyncConnection, str], Awaitable[None]]
"""Something else to be written when a file is taken, or to be raised: connection and id of the batch."""

_INTERNAL = {"path", "policy_hash", "total"}
"""Fields of a stored batch that its report does not have."""


class BatchReport(BaseModel):
    """One file and what became of its rows. A dry run has neither `batch_id` nor `status`."""

    model_config = ConfigDict(frozen=True)

    batch_id: str | None
    process: str
    filename: str
    sha256: str
    same_file_as: str | None
    """The newest earlier batch of the same bytes, process and requester."""
    requester: str
    status: BatchStatus | None
    rows: BatchCounts
    skipped: int = 0
    """Rows that the mapping says are none, such as totals; with `outcome=skipped` they are in the list of rows."""
    blank: int = 0
    """Lines in which every cell is blank; they are no rows."""
    lines_read: int = 0
    """Lines below the headings: the total, and the skipped and blank ones."""
    cases: dict[str, int] = {}
    """The batch's cases by status."""
    format: dict[str, Any] = {}
    """How the bytes were read."""
    mapping: dict[str, Any] | None = None
    """Which columns stand for which fields; null: the fields' own names."""
    notes: list[str] = []
    """What was chosen in reading the file. In the first report only."""
    ignored_columns: list[str]
    errors: list[BatchRow]
    """The first 20 invalid rows with everything that is wrong with them."""
    duplicates: list[BatchRow]
    """The first 20 duplicate rows with the case that exists, those that differ from it before the others."""
    resubmittable: int = 0
    """Of the duplicate rows: how many could be the next round of a case of the same person that ended undone."""
    forecast: ForecastReport | None = None
    """Of a dry run: what the valid rows would ask of people."""
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
        self._processes = processes

    async def dry_run(
        self,
        process: str,
        filename: str,
        data: bytes,
        by: str,
        mapping: GivenMapping | None = None,
        *,
        resubmit: bool = False,
    ) -> BatchReport:
        """Say what `start` would do, and do nothing.

        Raises UnknownProcess, NoPolicy, UnreadableFile, WrongMapping and DatabaseUnavailable.
        """
        sheet, policy = await self._open(process, data, mapping)
        sha256 = hashlib.sha256(data).hexdigest()
        tally, forecast = Tally(), Forecast(policy, self._processes, by)
        async for read, rows in self._judged(process, sheet, policy, by, resubmit=resubmit):
            tally.add(rows)
            await asyncio.to_thread(_foresee, forecast, read, rows)
        async with self._db.read() as conn:
            same_file_as = await batches.same_file(conn, process, sha256, by)
        return tally.report(
            batch_id=None,
            status=None,
            process=process,
            filename=base_name(filename, "upload.csv"),
            sha256=sha256,
            same_file_as=same_file_as,
            requester=by,
            skipped=tally.skipped,
            forecast=forecast.report(),
            notes=_notes(sheet),
            **_reading(sheet),
        )

    async def start(
        self,
        process: str,
        filename: str,
        data: bytes,
        by: str,
        mapping: GivenMapping | None = None,
        *,
        resubmit: bool = False,
        taking: Taking | None = None,
    ) -> BatchReport:
        """Keep the file, store its rows and start the Workflow that imports them; `by` requests all its cases.

        `taking` is part of the transaction that takes the file, with the id of its batch; what it raises stops it.
        Raises UnknownProcess, NoPolicy, UnreadableFile, WrongMapping, TemporalUnavailable, DatabaseUnavailable and
        OSError (the upload folder cannot be written); after any of these nothing was taken.
        """
        sheet, policy = await self._open(process, data, mapping)
        await self._starter.launcher.reach()
        sha256 = hashlib.sha256(data).hexdigest()
        path = f"{sha256}.csv"
        await asyncio.to_thread(keep, self._folder, path, data)
        await self._starter.keep(policy)
        batch = Batch(
            batch_id=f"b{secrets.token_hex(8)}",
            process=process,
            filename=base_name(filename, "upload.csv"),
            sha256=sha256,
            path=path,
            same_file_as=None,
            requester=by,
            policy_hash=policy.hash,
            status="receiving",
            total=0,
            **_reading(sheet),
            created_at=datetime.now(UTC),
        )
        tally = Tally()
        try:
            batch = await self._receive(batch, sheet, policy, tally, taking, resubmit=resubmit)
        except BaseException:
            with suppress(DatabaseUnavailable):  # else the sweep forgets it
                async with self._db.write() as conn:
                    await batches.forget_received(conn, [batch.batch_id])
            raise
        # From here on the file is taken: whatever fails now is left to the sweep.
        if await self._starter.launcher.launch_batch(batch):
            with suppress(DatabaseUnavailable):
                async with self._db.write() as conn:
                    await batches.running(conn, [batch.batch_id])
                    batch.status = "running"
        return tally.report(notes=_notes(sheet), **batch.model_dump(exclude=_INTERNAL))

    async def _receive(
        self, batch: Batch, sheet: Sheet, policy: Policy, tally: "Tally", taking: Taking | None, *, resubmit: bool
    ) -> Batch:
        """Store all rows, and then, in one moment, that they are taken."""
        async with self._db.write() as conn:
            await batches.receive(conn, batch)
        async for _, rows in self._judged(batch.process, sheet, policy, batch.requester, resubmit=resubmit):
            tally.add(rows)
            async with self._db.write() as conn:
                await batches.add_rows(conn, batch.batch_id, rows)
        async with self._db.write() as conn:
            same_file_as = await batches.same_file(conn, batch.process, batch.sha256, batch.requester)
            counted = {"total": tally.counts.total, "skipped": tally.skipped, "same_file_as": same_file_as}
            batch = batch.model_copy(update={"status": "starting", "created_at": datetime.now(UTC), **counted})
            await batches.taken(conn, batch)
            if taking is not None:
                await taking(conn, batch.batch_id)
        return batch

    def process_of(self, data: bytes) -> str:
        """What a file is of that nobody says it of: one process, by its headings, or several. Raises UnreadableFile."""
        return process_of(data, {name: process.input for name, process in self._processes.items()}) or SEVERAL

    async def reach(self) -> None:
        """Ask whether files can be taken now. Raises TemporalUnavailable."""
        await self._starter.launcher.reach()

    async def report(self, batch_id: str) -> BatchReport | None:
        """What became of a batch so far; None when there is none of this id."""
        async with self._db.read() as conn:
            batch = await batches.get(conn, batch_id)
            if batch is None:
                return None
            counts = await batches.counts(conn, batch_id)
            return BatchReport(
                **batch.model_dump(exclude=_INTERNAL),
                rows=counts,
                lines_read=counts.total + batch.skipped + batch.blank,
                cases=await cases.counts_by_status(conn, batch_id),
                errors=await batches.rows(conn, batch_id, "invalid", limit=PREVIEW),
                duplicates=await batches.duplicates(conn, batch_id, PREVIEW),
                resubmittable=await batches.resubmittable(conn, batch_id),
            )

    async def _open(self, process: str, data: bytes, mapping: GivenMapping | None) -> tuple[Sheet, Policy]:
        policy = self._starter.policy(None if process == SEVERAL else process)
        # 100,000 rows take seconds of CPU: other requests must be answered meanwhile.
        return await asyncio.to_thread(self._starter.sheet, process, data, policy, mapping), policy

    async def _judged(
        self, process: str, sheet: Sheet, policy: Policy, by: str, *, resubmit: bool
    ) -> AsyncIterator[tuple[Sequence[Row], Sequence[PlannedRow]]]:
        """The rows of a file and what they are, chunk by chunk, so that they are never all in memory."""
        rounds = {name: policy.rounds(name) for name in self._processes if policy.has(name)}
        judge = Judge(process, self._processes, by, rounds, resubmit=resubmit)
        names = NamesCheck(self._db, policy, by)
        rows = iter(sheet.rows)
        while chunk := await asyncio.to_thread(lambda: list(islice(rows, CHUNK))):
            keys = judge.keys(chunk)
            async with self._db.read() as conn:
                known = {name: await batches.existing_cases(conn, name, keys[name]) for name in keys}
            starting = [row for row in chunk if judge.may_start(row, known)]
            wrong = await _misnamed(names, process, starting, sheet)
            chunk = [wrong.get(row.line, row) for row in chunk]
            yield chunk, await asyncio.to_thread(judge.judge, chunk, known)


async def _misnamed(names: NamesCheck, process: str, rows: Sequence[Row], sheet: Sheet) -> dict[int, Row]:
    """The rows that name people or groups whom there are not, by line, with what is wrong."""
    found: dict[int, Row] = {}
    of_process: dict[str, list[Row]] = {}
    for row in rows:
        of_process.setdefault(row.process or process, []).append(row)
    for name, some in of_process.items():
        for row, problems in zip(some, await names.problems(name, [row.input for row in some]), strict=True):
            if problems:
                errors = [each.model_copy(update={"column": _heading(each.column or "", sheet)}) for each in problems]
                found[row.line] = replace(row, input=None, errors=errors)
    return found


def _heading(field: str, sheet: Sheet) -> str:
    """The column that a field was read from, as it is called in the file; of a list the whole field is one cell."""
    name = field.split(".")[0]
    headings = sheet.mapping.columns.get(name, ()) if sheet.mapping else ()
    return headings[0] if len(headings) == 1 else name


def _reading(sheet: Sheet) -> dict[str, Any]:
    """How a file was read, as it is stored and reported."""
    return {
        "blank": sheet.blank,
        "ignored_columns": sheet.ignored_columns,
        "format": sheet.format.model_dump(mode="json"),
        "mapping": sheet.mapping and sheet.mapping.model_dump(mode="json"),
    }


class Tally:
    """Counts judged rows, and keeps the first of those that a report shows."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._errors: list[BatchRow] = []
        self._same: list[BatchRow] = []
        self._differing: list[BatchRow] = []
        self._resubmittable = 0

    @property
    def counts(self) -> BatchCounts:
        return batches.counted(self._outcomes)

    @property
    def skipped(self) -> int:
        return self._outcomes["skipped"]

    def add(self, rows: Sequence[PlannedRow]) -> None:
        """Count some more."""
        self._outcomes.update(row.outcome for row in rows)
        for row in rows:
            if row.outcome == "invalid":
                _first(self._errors, row)
            elif row.outcome == "duplicate":
                _first(self._differing if row.differs else self._same, row)
                self._resubmittable += row.resubmits is not None

    def report(self, *, blank: int, **about: Any) -> BatchReport:
        """The report of a file whose rows were judged a moment ago."""
        return BatchReport(
            rows=self.counts,
            blank=blank,
            lines_read=self.counts.total + self.skipped + blank,
            errors=self._errors,
            duplicates=[*self._differing, *self._same][:PREVIEW],
            resubmittable=self._resubmittable,
            **about,
        )


def _foresee(forecast: Forecast, read: Sequence[Row], judged: Sequence[PlannedRow]) -> None:
    for row, planned in zip(read, judged, strict=True):
        if row.input is None:
            continue
        if planned.outcome == "valid":
            forecast.valid(planned.process, planned.reference, planned.priority, row.input)
        elif planned.outcome == "duplicate":
            forecast.duplicate(planned.process, row.input)


def _notes(sheet: Sheet) -> list[str]:
    """What was chosen in reading a file, for people; nothing for a CSV as we would write it ourselves."""
    if not sheet.notes and str(sheet.format) == str(FileFormat(kind="csv", encoding="UTF-8", delimiter=",")):
        return []
    return [f"read as {sheet.format}", *sheet.notes]


def _first(kept: list[BatchRow], row: PlannedRow) -> None:
    if len(kept) < PREVIEW:
        kept.append(BatchRow.model_validate(row.model_dump(include=set(BatchRow.model_fields))))
