"""Carrying a taken file through: its valid rows become cases, in file order, however often this is interrupted.

What is done lies in SQL, not in memory: a row is worked on while its outcome is `valid`, and leaves that once. A row
whose case is there already is this batch's own if the case names this batch: then an earlier attempt died in between.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from intake.launch import BATCH_PRIORITY, StoredCase, TemporalUnavailable, settle
from intake.rows import Row, UnreadableFile
from intake.start import Starter, UnknownProcess, differing
from store import batches, cases
from store.batches import BatchRow, RowOutcome
from store.cases import NewCase
from store.database import Database
from workflows.models import BatchInput, BatchResult, CaseEvent, Problem, Status, case_id_for

CHUNK = 50
"""Rows in one transaction: a few hundredths of a second, so that an import never keeps a decision waiting."""
ROOM = 50
"""Cases of a batch that may be on their way to a gate or an end while more are started. A worker that is handed
thousands at once forgets each before its next step, replays it, and gets slower the more there are; and single cases
wait behind them."""
PATIENCE = 5.0
"""Seconds after which the next rows are started all the same: cases that stand still must not stop a batch."""


class Importer:
    """Starts the cases of batches."""

    def __init__(self, db: Database, starter: Starter, folder: Path, patience: float = PATIENCE) -> None:
        self._db = db
        self._patience = patience
        self._starter = starter
        self._folder = folder

    async def run(self, batch: BatchInput, progress: Callable[[int], None]) -> BatchResult:
        """Start a case for each row that is still to be started; `progress` hears how many are done.

        A file that is gone or was changed ends its rows as failed. Raises TemporalUnavailable or DatabaseUnavailable
        when it should be called again.
        """
        try:
            rows = await self._rows(batch)
        except (FileNotFoundError, UnreadableFile, UnknownProcess) as wrong:
            return await self._close(batch, "failed", f"the stored file cannot be imported: {wrong}")
        async with self._db.read() as conn:
            waiting = await batches.waiting_lines(conn, batch.batch_id)
        for done in range(0, len(waiting), CHUNK):
            chunk = [rows[line] for line in waiting[done : done + CHUNK]]
            await self._import(chunk, batch)
            progress(done + len(chunk))
            await self._make_room(batch)
        return await self._close(batch, "completed")

    async def _make_room(self, batch: BatchInput) -> None:
        """Wait until few of the batch's cases are on their way."""
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    async with self._db.read() as conn:
                        if await cases.on_their_way(conn, batch.batch_id) < ROOM:
                            return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            return

    async def _rows(self, batch: BatchInput) -> dict[int, Row]:
        """The rows by line. Raises FileNotFoundError or UnreadableFile when the file that was taken is not there."""

        def load() -> dict[int, Row]:
            data = (self._folder / batch.path).read_bytes()
            if hashlib.sha256(data).hexdigest() != batch.sha256:
                raise UnreadableFile("format", "its content is not what was uploaded")
            return {row.line: row for row in self._starter.sheet(batch.process, data).rows}

        return await asyncio.to_thread(load)

    async def _import(self, rows: Sequence[Row], batch: BatchInput) -> None:
        prepared = [self._prepared(row, row.input, batch) for row in rows if row.input]
        async with self._db.write() as conn:
            there = await cases.insert_many(conn, prepared)
        new = {case.case_id: case for case, _ in prepared}
        ended: list[BatchRow] = []
        lines: dict[str, Row] = {}
        to_start: list[StoredCase] = []
        for row in rows:
            case_id = case_id_for(row.process or batch.process, row.reference)
            case = there.get(case_id)
            if row.input is None:
                # It was valid when the file was taken: the input model has changed since.
                ended.append(_ended(row, "failed", errors=row.errors))
            elif case and case.batch_id != batch.batch_id:
                ended.append(_ended(row, "duplicate", case.case_id, differs=differing(case.input, row.input)))
            elif case and case.status != Status.STARTING:
                ended.append(_ended(row, "started", case.case_id))
            else:
                lines[case_id] = row
                to_start.append(case or new[case_id])
        launch = await self._starter.launcher.launch(to_start)
        ended += [_ended(lines[case.case_id], "started", case.case_id) for case in launch.started]
        ended += [
            _ended(lines[case_id], "failed", case_id, errors=[Problem(column=None, message=reason)])
            for case_id, reason in launch.refused.items()
        ]
        # One transaction, so that a case and its row never tell different stories.
        async with self._db.write() as conn:
            await settle(conn, launch)
            await batches.settle(conn, batch.batch_id, ended)
        if launch.waiting:
            raise TemporalUnavailable(f"{len(launch.waiting)} cases wait for Temporal")

    def _prepared(self, row: Row, parsed: BaseModel, batch: BatchInput) -> tuple[NewCase, CaseEvent]:
        return self._starter.prepare(
            self._starter.process(row.process or batch.process),
            row.reference,
            parsed,
            by=batch.requester,
            policy_hash=batch.policy_hash,
            priority=row.priority or BATCH_PRIORITY,
            start_at=row.start_at,
            batch_id=batch.batch_id,
        )

    async def _close(self, batch: BatchInput, status: Literal["completed", "failed"], reason: str = "") -> BatchResult:
        async with self._db.write() as conn:
            if reason:
                await batches.fail_waiting(conn, batch.batch_id, reason)
            await batches.close(conn, batch.batch_id, status, datetime.now(UTC))
            return BatchResult(batch_id=batch.batch_id, rows=await batches.counts(conn, batch.batch_id))


def _ended(
    row: Row,
    outcome: RowOutcome,
    case_id: str | None = None,
    *,
    differs: Sequence[str] = (),
    errors: Sequence[Problem] = (),
) -> BatchRow:
    return BatchRow(
        line=row.line,
        reference=row.reference,
        outcome=outcome,
        case_id=case_id,
        differs=list(differs),
        errors=list(errors),
    )
