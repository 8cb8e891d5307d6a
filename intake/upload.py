"""Upload a file: dry run and start use the same code, which classifies every row by the state of the database.

Parser processes read, classify and forecast files (`intake/parsing/parse_jobs.py`), and ask this module for data.

The file is stored by the hash of its content, its rows are in SQL, and a Workflow starts their cases. `Starter.sweep`
starts that Workflow if the gateway ended before it started the Workflow, so an upload that was answered with 202 is
never lost.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict
from temporalio.client import Client

from cases.check_names import NamesCheck
from cases.forecast import ForecastReport
from cases.start_permission import check_may_start, scope_now
from cases.submit import PolicySource, Starter
from core.file_storage import base_name, keep, keep_missing
from domain.batch import BatchCounts
from intake.mapping.mapping_choice import SEVERAL, GivenMapping, MappingChoice
from intake.parsing.parse_jobs import CHUNK, PREVIEW
from intake.parsing.parsing_pool import Answers, ParsingPool
from intake.read_file import Look
from policy.model import Policy
from store.cases import batch_cases, batches
from store.cases.batches import AsyncConnection, Batch, BatchRow, BatchStatus, PlannedRow, RowOutcome
from store.db.database import Database, DatabaseUnavailable
from store.people import service_accounts
from workflows.registry import PROCESSES, Process

Taking = Callable[[AsyncConnection, str], Awaitable[None]]
"""A function that writes more data in the transaction that stores a batch, or raises an exception to stop the import.

The function gets the connection and the id of the batch.
"""

_FOUND: Mapping[str, str] = MappingProxyType({})
"""The empty set of choices of how to open a file: everything is detected."""
_INTERNAL = {"path", "policy_hash", "total", "asked_for"}
"""Names of the fields of a stored batch that its report does not show."""


class BatchReport(BaseModel):
    """The report on one uploaded file, with the results of its rows. In a dry run, `batch_id` and `status` are null."""

    model_config = ConfigDict(frozen=True)

    batch_id: str | None
    process: str
    filename: str
    sha256: str
    same_file_as: str | None
    """The id of the newest earlier batch with the same bytes, process and requester; null without one."""
    requester: str
    on_behalf_of: str | None = None
    """The person for whom a service account uploaded the file."""
    erased_at: datetime | None = None
    """When the file, the data of the rows and the content of the cases were erased."""
    status: BatchStatus | None
    rows: BatchCounts
    skipped: int = 0
    """How many lines are skipped, such as totals and hidden rows. The list of rows has these lines with
    `outcome=skipped`.
    """
    blank: int = 0
    """How many lines have only blank cells. Such lines are not rows."""
    lines_read: int = 0
    """How many lines are below the headings: rows, skipped lines and blank lines."""
    cases: dict[str, int] = {}
    """How many cases of the batch have each status, by status."""
    format: dict[str, Any] = {}
    """How the bytes of the file were read: encoding, delimiter, sheet, line of the headings."""
    mapping: dict[str, Any] | None = None
    """The mapping with which the file was read; null if the headings are the names of the fields and no mapping was
    given.
    """
    notes: list[str] = []
    """Notes for people on how the file was read. Only the answer to the upload has these notes."""
    ignored_columns: list[str]
    errors: list[BatchRow]
    """The first 20 invalid rows, each with all its errors."""
    duplicates: list[BatchRow]
    """The first 20 duplicate rows, each with its case. Rows that differ from their case come first."""
    resubmittable: int = 0
    """How many duplicate rows could start the next round of a case.

    A row counts if the same person requested the case, the case ended undone, and the policy allows another round.
    """
    forecast: ForecastReport | None = None
    """In a dry run: the tasks and decisions that the valid rows would cause. Otherwise null."""
    created_at: datetime | None = None
    closed_at: datetime | None = None


class Uploads:
    """Starts the cases of files, or reports the result of a dry run."""

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
        self._starter = Starter(db, client, policy_file, processes)
        self.choice = MappingChoice(processes, mappings)
        self._folder, self._mappings = folder, mappings
        self._pool = ParsingPool(processes)

    async def dry_run(
        self,
        process: str,
        filename: str,
        data: bytes,
        by: str,
        mapping: GivenMapping | None = None,
        opening: Mapping[str, str] = _FOUND,
        *,
        resubmit: bool = False,
    ) -> BatchReport:
        """Return the report that `start` would return. Store nothing, and start nothing.

        Raises UnknownProcess, NoPolicy, NotARequester, UnreadableFile, WrongMapping, LineTooLong, ParserEnded and
        DatabaseUnavailable.
        """
        policy = self._policy(process)
        about = await self._about(process, policy, by, resubmit)
        found = await self._pool.run(
            "dry_run", data, by, {**self._reading(process, mapping, opening), **about}, self._known(policy, by)
        )
        sha256 = hashlib.sha256(data).hexdigest()
        async with self._db.read() as conn:
            same_file_as = await batches.same_file(conn, process, sha256, by)
        return BatchReport(
            batch_id=None,
            status=None,
            process=process,
            filename=base_name(filename, "upload.csv"),
            sha256=sha256,
            same_file_as=same_file_as,
            requester=by,
            **found,
        )

    async def start(
        self,
        process: str,
        filename: str,
        data: bytes,
        by: str,
        mapping: GivenMapping | None = None,
        opening: Mapping[str, str] = _FOUND,
        *,
        resubmit: bool = False,
        taking: Taking | None = None,
        on_behalf_of: str | None = None,
    ) -> BatchReport:
        """Store the file and its rows, and start the Workflow that imports them; `by` is the requester of all cases of
        the file. If `by` is a service account, `on_behalf_of` is the person for whom the account asks.

        `taking` runs in the transaction that stores the batch; an exception of it stops the import. Raises
        UnknownProcess, NoPolicy, NotARequester, UnreadableFile, WrongMapping, LineTooLong, ParserEnded,
        TemporalUnavailable, DatabaseUnavailable and OSError (the upload folder cannot be written). After any of these
        errors the batch and its rows are deleted; if the database is unavailable then, the sweep deletes batch and rows
        later.
        """
        policy = self._policy(process)
        about_rows = await self._about(process, policy, by, resubmit, on_behalf_of)
        sha256 = hashlib.sha256(data).hexdigest()
        async with self._db.read() as conn:
            asked_for = await service_accounts.asked_for(conn, by, on_behalf_of)
        batch = Batch(
            batch_id=f"b{secrets.token_hex(8)}",
            process=process,
            filename=base_name(filename, "upload.csv"),
            sha256=sha256,
            path=f"{sha256}.csv",
            same_file_as=None,
            requester=by,
            on_behalf_of=on_behalf_of if asked_for else None,
            asked_for=asked_for,
            policy_hash=policy.hash,
            status="receiving",
            total=0,
            ignored_columns=[],
            created_at=datetime.now(UTC),
        )
        known = self._known(policy, by, on_behalf_of)

        async def answers(question: str, value: Any) -> Any:
            match question:
                case "opened":
                    await self._starter.launcher.reach()
                    await asyncio.to_thread(keep, self._folder, batch.path, data)
                    await self._starter.keep(policy)
                    async with self._db.write() as conn:
                        await batches.receive(conn, Batch.model_validate({**batch.model_dump(), **value}))
                    # An erasure may just have deleted the same bytes: see `store.cases.erased_files`.
                    await asyncio.to_thread(keep_missing, self._folder, batch.path, data)
                case "rows":
                    rows = [PlannedRow.model_validate(row) for row in value]
                    async with self._db.write() as conn:
                        await batches.add_rows(conn, batch.batch_id, rows)
                case _:
                    return await known(question, value)

        async def forget() -> None:
            async with self._db.write() as conn:
                await batches.delete_unfinished(conn, [batch.batch_id])

        try:
            found = await self._pool.run(
                "take",
                data,
                by,
                {**self._reading(process, mapping, opening), **about_rows},
                answers,
                forget,
            )
            batch = await self._taken(batch, found, taking)
        except BaseException:
            with suppress(DatabaseUnavailable):  # else the sweep removes the batch
                await forget()
            raise
        # From here on the batch is stored: the sweep completes it after any failure.
        if await self._starter.launcher.launch_batch(batch):
            with suppress(DatabaseUnavailable):
                async with self._db.write() as conn:
                    await batches.mark_running(conn, [batch.batch_id])
                    batch.status = "running"
        return BatchReport(**{**found, **batch.model_dump(exclude=_INTERNAL)})

    async def _taken(self, batch: Batch, found: Mapping[str, Any], taking: Taking | None) -> Batch:
        """Note in one transaction that all rows of the file are stored, and return the batch."""
        async with self._db.write() as conn:
            about = {name: found[name] for name in ("blank", "ignored_columns", "format", "mapping", "skipped")}
            about |= {"total": found["rows"]["total"], "status": "starting", "created_at": datetime.now(UTC)}
            about["same_file_as"] = await batches.same_file(conn, batch.process, batch.sha256, batch.requester)
            batch = batch.model_copy(update=about)
            await batches.finish_receiving(conn, batch)
            if self._starter.keys:
                await self._starter.keys.begin(conn, [f"batch:{batch.batch_id}"])
            if taking is not None:
                await taking(conn, batch.batch_id)
        return batch

    async def look(
        self,
        process: str,
        data: bytes,
        by: str,
        mapping: GivenMapping | None = None,
        opening: Mapping[str, str] = _FOUND,
    ) -> Look:
        """Return a preview of a file of one process. Raises the same errors as `dry_run`."""
        found = await self._pool.run("look", data, by, self._reading(process, mapping, opening))
        return Look(**{**found, "sheets": tuple(found["sheets"]), "notes": tuple(found["notes"])})

    async def process_of(self, data: bytes, by: str) -> str:
        """Return the process that the headings of a file match, or SEVERAL. Raises UnreadableFile."""
        return str(await self._pool.run("process_of", data, by, {}))

    async def bad_rows(
        self, batch_id: str, data: bytes, read_as: Mapping[str, Any], outcomes: Sequence[RowOutcome], by: str
    ) -> bytes:
        """Return the rows of a batch with these outcomes as CSV, each with its error.

        The cells are as in the file, but masked fields are masked.
        """
        async with self._db.read() as conn:
            batch = await batches.get(conn, batch_id)
        about = {"process": batch.process if batch else SEVERAL, "mapping": batch.mapping if batch else None}
        after = dict.fromkeys(outcomes, 0)

        async def errors(_question: str, _value: Any) -> list[tuple[int, str]]:
            for outcome in outcomes:
                async with self._db.read() as conn:
                    rows = await batches.rows(conn, batch_id, outcome, after=after[outcome], limit=CHUNK)
                if rows:
                    after[outcome] = rows[-1].line
                    return [(row.line, "; ".join(map(str, row.errors)) or row.says or outcome) for row in rows]
            return []

        async def from_the_start() -> None:
            after.update(dict.fromkeys(outcomes, 0))

        return bytes(await self._pool.run("bad_rows", data, by, {"read_as": read_as, **about}, errors, from_the_start))

    async def reach(self) -> None:
        """Raise TemporalUnavailable if Temporal does not answer, so that files cannot be uploaded now."""
        await self._starter.launcher.reach()

    async def report(self, batch_id: str) -> BatchReport | None:
        """Return the current report of a batch; None when the id is unknown."""
        async with self._db.read() as conn:
            batch = await batches.get(conn, batch_id)
            if batch is None:
                return None
            counts = await batches.counts(conn, batch_id)
            return BatchReport(
                **batch.model_dump(exclude=_INTERNAL),
                rows=counts,
                lines_read=counts.total + batch.skipped + batch.blank,
                cases=await batch_cases.counts_by_status(conn, batch_id),
                errors=await batches.rows(conn, batch_id, "invalid", limit=PREVIEW),
                duplicates=await batches.duplicates(conn, batch_id, PREVIEW),
                resubmittable=await batches.resubmittable(conn, batch_id),
            )

    @property
    def policy(self) -> Policy:
        """Return the policy for new cases."""
        return self._starter.policy(None)

    def _policy(self, process: str) -> Policy:
        return self._starter.policy(None if process == SEVERAL else process)

    async def _about(
        self, process: str, policy: Policy, by: str, resubmit: bool, on_behalf_of: str | None = None
    ) -> dict[str, Any]:
        """Return what a parser process must know to classify rows.

        Raises NotARequester if the person may not start cases of the process, or, for SEVERAL, of any process.
        """
        scope = await scope_now(self._db, policy, by, on_behalf_of)
        if process != SEVERAL or not scope.starts:
            check_may_start(policy, process, scope)
        return {"policy": policy.text, "by": by, "resubmit": resubmit, "starts": scope.starts}

    def _reading(self, process: str, mapping: GivenMapping | None, opening: Mapping[str, str]) -> dict[str, Any]:
        return {"process": process, "mappings": self._mappings, "given": mapping, "opening": dict(opening)}

    def _known(self, policy: Policy, by: str, on_behalf_of: str | None = None) -> Answers:
        """Return a function that answers the questions of a parser process about stored data."""
        names = NamesCheck(self._db, policy, by, on_behalf_of)

        async def answers(question: str, value: Any) -> Any:
            match question:
                case "known":
                    async with self._db.read() as conn:
                        return {name: await batches.existing_cases(conn, name, keys) for name, keys in value.items()}
                case "there":
                    return await names.there(value)
                case "everybody":
                    return await names.everybody(value)
                case "not_to_choose":
                    return await names.not_to_choose(*value)
            raise LookupError(f"a parser asks for '{question}'")

        return answers
