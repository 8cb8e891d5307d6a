"""Taking a file: the dry run and the real start are the same code, which judges every row by what is stored now.

Processes of their own read, classify and forecast files (`intake/parsing/parse_jobs.py`), and ask here what is stored.

A taken file is kept byte by byte under the hash of its content, its rows lie in SQL, and a Workflow carries them
through; `Starter.sweep` starts the Workflow of a batch whose process died before it could. So a 202 survives.
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
from cases.submit import PolicySource, Starter
from core.file_storage import base_name, keep
from domain.batch import BatchCounts
from intake.mapping.mapping_choice import SEVERAL, GivenMapping, MappingChoice
from intake.parsing.parse_jobs import CHUNK, PREVIEW
from intake.parsing.parsing_pool import Answers, ParsingPool
from intake.read_file import Look
from policy.model import Policy
from store.cases import batches, cases
from store.cases.batches import AsyncConnection, Batch, BatchRow, BatchStatus, PlannedRow, RowOutcome
from store.db.database import Database, DatabaseUnavailable
from workflows.registry import PROCESSES, Process

Taking = Callable[[AsyncConnection, str], Awaitable[None]]
"""Something else to be written when a file is taken, or to be raised: connection and id of the batch."""

_FOUND: Mapping[str, str] = MappingProxyType({})
"""How a file is opened, where nobody says so."""
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
        """Say what `start` would do, and do nothing.

        Raises UnknownProcess, NoPolicy, UnreadableFile, WrongMapping, LineTooLong, ParserEnded and DatabaseUnavailable.
        """
        policy = self._policy(process)
        found = await self._pool.run(
            "dry_run",
            data,
            by,
            {**self._reading(process, mapping, opening), "policy": policy.text, "by": by, "resubmit": resubmit},
            self._known(policy, by),
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
    ) -> BatchReport:
        """Keep the file, store its rows and start the Workflow that imports them; `by` requests all its cases.

        `taking` is part of the transaction that takes the file, with the id of its batch; what it raises stops it.
        Raises UnknownProcess, NoPolicy, UnreadableFile, WrongMapping, LineTooLong, ParserEnded, TemporalUnavailable,
        DatabaseUnavailable and OSError (the upload folder cannot be written); after any of these nothing was taken.
        """
        policy = self._policy(process)
        sha256 = hashlib.sha256(data).hexdigest()
        batch = Batch(
            batch_id=f"b{secrets.token_hex(8)}",
            process=process,
            filename=base_name(filename, "upload.csv"),
            sha256=sha256,
            path=f"{sha256}.csv",
            same_file_as=None,
            requester=by,
            policy_hash=policy.hash,
            status="receiving",
            total=0,
            ignored_columns=[],
            created_at=datetime.now(UTC),
        )
        known = self._known(policy, by)

        async def answers(question: str, value: Any) -> Any:
            match question:
                case "opened":
                    await self._starter.launcher.reach()
                    await asyncio.to_thread(keep, self._folder, batch.path, data)
                    await self._starter.keep(policy)
                    async with self._db.write() as conn:
                        await batches.receive(conn, Batch.model_validate({**batch.model_dump(), **value}))
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
                {**self._reading(process, mapping, opening), "policy": policy.text, "by": by, "resubmit": resubmit},
                answers,
                forget,
            )
            batch = await self._taken(batch, found, taking)
        except BaseException:
            with suppress(DatabaseUnavailable):  # else the sweep forgets it
                await forget()
            raise
        # From here on the file is taken: whatever fails now is left to the sweep.
        if await self._starter.launcher.launch_batch(batch):
            with suppress(DatabaseUnavailable):
                async with self._db.write() as conn:
                    await batches.mark_running(conn, [batch.batch_id])
                    batch.status = "running"
        return BatchReport(**{**found, **batch.model_dump(exclude=_INTERNAL)})

    async def _taken(self, batch: Batch, found: Mapping[str, Any], taking: Taking | None) -> Batch:
        """Store, in one moment, that all rows of a file are taken."""
        async with self._db.write() as conn:
            about = {name: found[name] for name in ("blank", "ignored_columns", "format", "mapping", "skipped")}
            about |= {"total": found["rows"]["total"], "status": "starting", "created_at": datetime.now(UTC)}
            about["same_file_as"] = await batches.same_file(conn, batch.process, batch.sha256, batch.requester)
            batch = batch.model_copy(update=about)
            await batches.finish_receiving(conn, batch)
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
        """Look at a file of one process before it is read. Raises as `dry_run` does."""
        found = await self._pool.run("look", data, by, self._reading(process, mapping, opening))
        return Look(**{**found, "sheets": tuple(found["sheets"]), "notes": tuple(found["notes"])})

    async def process_of(self, data: bytes, by: str) -> str:
        """What a file is of that nobody says it of: one process, by its headings, or several. Raises UnreadableFile."""
        return str(await self._pool.run("process_of", data, by, {}))

    async def bad_rows(
        self, batch_id: str, data: bytes, read_as: Mapping[str, Any], outcomes: Sequence[RowOutcome], by: str
    ) -> bytes:
        """The rows of a batch of these outcomes as they stood in its file, as CSV, each behind what is wrong."""
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

        return bytes(await self._pool.run("bad_rows", data, by, {"read_as": read_as}, errors, from_the_start))

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

    def _policy(self, process: str) -> Policy:
        return self._starter.policy(None if process == SEVERAL else process)

    def _reading(self, process: str, mapping: GivenMapping | None, opening: Mapping[str, str]) -> dict[str, Any]:
        return {"process": process, "mappings": self._mappings, "given": mapping, "opening": dict(opening)}

    def _known(self, policy: Policy, by: str) -> Answers:
        """Answers what a parser must know of what is stored."""
        names = NamesCheck(self._db, policy, by)

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
