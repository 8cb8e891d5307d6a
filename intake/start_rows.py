"""Start the cases of an uploaded file: its valid rows in file order, also after any interruption.

The progress is in SQL, not in memory: a row is open while its outcome is `valid`, and its outcome changes once. When
the case of a row exists and names this batch, an earlier attempt has created it and then stopped.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import ValidationError
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from cases.differences import differing
from cases.rollback import ChangedMeanwhile, NotRollable, Rollbacks
from cases.submit import NoPolicy, Starter
from cases.workflow_starter import BATCH_PRIORITY, StoredCase, TemporalUnavailable, settle
from domain.base import FieldProblem
from domain.batch import BatchInput, BatchNote, BatchResult
from domain.case import CaseEvent
from domain.errors import Trouble
from domain.ids import case_id_for
from domain.input_errors import problems_of
from domain.messages import Cancellation
from domain.proof.envelope import SignedText
from domain.status import Status
from intake.classify_rows import changes
from store.audit import audit_log
from store.cases import batch_cases, batches, cases, proofs, requesters
from store.cases.batches import BatchRow, Change, PlannedRow, RowOutcome
from store.cases.cases import CaseRow, NewCaseRow
from store.db.database import Database
from workflows.registry import UnknownProcess

CHUNK = 50
"""The maximum number of rows that are started in one transaction.

Such a transaction takes a few hundredths of a second, so that an import does not delay decisions.
"""
ROWS_PER_CALL = 1_000
"""The number of rows after which one call of `Importer.run` returns to its Workflow."""
PATIENCE = 5.0
"""How many seconds an import waits for cases of the batch to reach a gate or an end.

After this time the next rows start in any case, so that blocked cases do not stop a batch.
"""

log = logging.getLogger(__name__)


_STORED = set(BatchInput.model_fields) - {"orders", "asked"}
"""The fields of a start input that are the same as in the row of the batch."""


class OtherStart(Trouble):
    """Raised if somebody started the Workflow of a batch in Temporal with an input that Holdgate did not store."""


class BatchPace(NamedTuple):
    """How fast the cases of one batch are started."""

    in_flight: int = 50
    """How many cases of a batch can be on their way to a gate or an end, before the import waits.

    With thousands at once, a worker evicts each case from its cache before the next step and must replay it. Single
    cases would also wait longer.
    """
    per_second: float | None = None
    """The maximum number of cases that are started per second. None: as fast as cases reach their gates."""
    patience: float = PATIENCE

    @property
    def chunk(self) -> int:
        """Return how many rows are started together: at most 50, at most half of `in_flight`, and at most the rows of
        one second.
        """
        return min(CHUNK, max(1, self.in_flight // 2), max(1, int(self.per_second or CHUNK)))


class Importer:
    """Starts the cases of batches, and rolls them back."""

    def __init__(self, db: Database, client: Client, starter: Starter, pace: BatchPace = BatchPace()) -> None:  # noqa: B008
        self._db, self._client, self._starter, self._pace = db, client, starter, pace
        self._rollbacks = Rollbacks(db, client, starter)

    async def run(self, batch: BatchInput, progress: Callable[[int], None]) -> BatchResult:
        """Start a case for each of the next open rows; call `progress` with the number done.

        Raises TemporalUnavailable or DatabaseUnavailable; after one of these errors, the caller must call `run` again.
        Raises OtherStart if Holdgate did not start the batch with this input.
        """
        await self._check_start(batch)
        done, begun = 0, asyncio.get_running_loop().time()
        while done < ROWS_PER_CALL:
            async with self._db.read() as conn:
                rows = await batches.next_rows(conn, batch.batch_id, self._pace.chunk)
            if not rows:
                return await self._completed(batch.batch_id)
            await _to_the_end(self._import(rows, batch))
            done += len(rows)
            progress(done)
            await self._make_room(batch)
            if self._pace.per_second:
                await asyncio.sleep(begun + done / self._pace.per_second - asyncio.get_running_loop().time())
        async with self._db.read() as conn:
            return BatchResult(batch_id=batch.batch_id, rows=await batches.counts(conn, batch.batch_id), left=True)

    async def _check_start(self, batch: BatchInput) -> None:
        """Raise OtherStart unless Holdgate stored this batch with this start input."""
        async with self._db.read() as conn:
            stored = await batches.get(conn, batch.batch_id)
        if stored is None or stored.model_dump(include=_STORED) != batch.model_dump(include=_STORED):
            raise OtherStart(f"Holdgate did not start batch {batch.batch_id} with this input.", permanent=True)

    async def note(self, note: BatchNote) -> BatchResult:
        """Store the effect of an order to pause, resume or cancel.

        If the batch is cancelled, close the batch, and store the reason for its open rows.
        """
        order = note.order
        event = CaseEvent(
            event_id=f"batch/{note.batch_id}/{order.id}/{note.status}",
            case_id="",
            at=datetime.now(UTC),
            kind=f"batch_{note.status}",
            actor=order.by.id,
            summary=f"Batch {note.batch_id} {_SAID[note.status]}: {order.reason}",
            data={"batch_id": note.batch_id, "reason": order.reason, "rollback_started": order.rollback_started},
        )
        async with self._db.write() as conn:
            if note.status == "cancelling":
                await batches.reopen(conn, note.batch_id)
                await batches.fail_unstarted(conn, note.batch_id, f"cancelled by {order.by.id} before it was started")
            if note.status == "cancelled":
                await batches.close(conn, note.batch_id, "cancelled", datetime.now(UTC))
            else:
                await batches.set_status(conn, note.batch_id, note.status)
            await audit_log.append(conn, [event])
            if order.proof:  # An order of Temporal itself has no signature.
                signed = SignedText.of(order, self._client.namespace, note.workflow_id)
                await proofs.add(conn, [signed], None)
            return BatchResult(batch_id=note.batch_id, rows=await batches.counts(conn, note.batch_id))

    async def roll_back(self, note: BatchNote, progress: Callable[[int], None]) -> int:
        """Ask each case of a cancelled batch to stop and undo its steps, newest first; completed cases only if the
        order says so.

        Return the number of cases that have neither started to undo nor ended: call again for these cases. A completed
        case that cannot be rolled back stays as it is, and its audit log says why.

        Raises TemporalUnavailable and DatabaseUnavailable.
        """
        left = seen = 0
        before: CaseRow | None = None
        while True:
            async with self._db.read() as conn:
                found = await batch_cases.undoable(conn, note.batch_id, before, CHUNK)
            if not found:
                return left
            for case in found:
                left += await self._undo(case, note)
            seen += len(found)
            progress(seen)
            before = found[-1]

    async def _undo(self, case: CaseRow, note: BatchNote) -> bool:
        """Tell one case to roll back. Return True if the case must be checked again."""
        order = note.order
        reason = f"the upload was cancelled: {order.reason}"
        if case.status is Status.COMPLETED:
            if not order.completed_too:
                return False
            try:
                await self._rollbacks.ask(case, order.by.id, reason)
            except ChangedMeanwhile:
                return True
            except (NotRollable, NoPolicy, UnknownProcess) as why:
                log.warning("case %s of a cancelled batch stays as it is: %s", case.case_id, why)
                await self._record_not_rolled_back(case, note, str(why))
                return False
            return True
        if case.status is Status.STARTING:  # the sweep starts it in a moment
            return True
        cancellation = Cancellation(
            id=f"{case.case_id}/cancel/{note.batch_id}", by=order.by, reason=reason, at=datetime.now(UTC)
        )
        try:
            await self._client.get_workflow_handle(case.conductor).signal("cancel_case", cancellation)
        except RPCError as wrong:
            if wrong.status is not RPCStatusCode.NOT_FOUND:  # else the case has just ended
                raise TemporalUnavailable(wrong.message) from wrong
        # A case that needs operators can wait for days, and has received the request.
        return case.status is not Status.NEEDS_INTERVENTION

    async def _record_not_rolled_back(self, case: CaseRow, note: BatchNote, why: str) -> None:
        """Write to the audit log of the case, once, why a cancelled batch leaves the completed case as it is."""
        event = CaseEvent(
            event_id=f"{case.case_id}/not-rolled-back/{note.batch_id}",
            case_id=case.case_id,
            at=datetime.now(UTC),
            kind="rollback_called_off",
            actor=note.order.by.id,
            summary=f"Upload {note.batch_id} was cancelled, but this case was not rolled back: {why}",
            data={"reason": why, "batch_id": note.batch_id},
        )
        async with self._db.write() as conn:
            await audit_log.append(conn, [event])

    async def _make_room(self, batch: BatchInput) -> None:
        """Wait until fewer cases of the batch are on their way to a gate or an end, at most `patience` seconds."""
        try:
            async with asyncio.timeout(self._pace.patience):
                while True:
                    async with self._db.read() as conn:
                        moving = await batch_cases.count_running(conn, batch.batch_id)
                    if moving <= self._pace.in_flight - self._pace.chunk:
                        return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            return

    async def _import(self, rows: Sequence[PlannedRow], batch: BatchInput) -> None:
        ended: list[BatchRow] = []
        prepared: list[tuple[NewCaseRow, CaseEvent]] = []
        lines: dict[str, PlannedRow] = {}
        earlier = await self._asked_for_earlier(rows, batch)
        for row in rows:
            try:
                prepared.append(self._prepared(row, batch, earlier.get(row.resubmits or "", ())))
            except _Changed as why:
                ended.append(_ended(row, "failed", errors=why.problems))
            else:
                lines[prepared[-1][0].case_id] = row
        async with self._db.write() as conn:
            there = await cases.insert_many(conn, prepared)
            if self._starter.keys:
                await self._starter.keys.begin(conn, [case_id for case_id, existing in there.items() if not existing])
            for new, _ in prepared:
                if new.resubmits and there[new.case_id] is None:
                    await cases.link_next_round(conn, new)
        to_start: list[StoredCase] = []
        for new, _ in prepared:
            row, case = lines[new.case_id], there.get(new.case_id)
            if case and case.batch_id != batch.batch_id:
                ended.append(self._duplicate(row, case, batch.requester))
            elif case and case.status != Status.STARTING:
                ended.append(_ended(row, "started", case.case_id))
            else:
                to_start.append(case or new)
        launch = await self._starter.launcher.launch(to_start)
        ended += [_ended(lines[case.case_id], "started", case.case_id) for case in launch.started]
        ended += [
            _ended(lines[case_id], "failed", case_id, errors=[FieldProblem(column=None, message=reason)])
            for case_id, reason in launch.refused.items()
        ]
        # One transaction, so that a case and its row always agree.
        async with self._db.write() as conn:
            await settle(conn, launch)
            await batches.settle(conn, batch.batch_id, ended)
        if launch.waiting:
            raise TemporalUnavailable(f"{len(launch.waiting)} cases wait for Temporal")

    async def _asked_for_earlier(self, rows: Sequence[PlannedRow], batch: BatchInput) -> Mapping[str, Sequence[str]]:
        """Return, by id of the cases that rows submit again, the people who count as requester of these cases.

        Return nothing if a person uploaded the file: then nobody else counts as requester.
        """
        ids = [row.resubmits for row in rows if row.resubmits] if batch.asked_for else []
        if not ids:
            return {}
        async with self._db.read() as conn:
            return await requesters.asked_for(conn, ids)

    def _prepared(
        self, row: PlannedRow, batch: BatchInput, asked_before: Sequence[str]
    ) -> tuple[NewCaseRow, CaseEvent]:
        """Return the new case of a row and its first audit event.

        `asked_before` are the people who count as requester of the case that the row submits again.

        Raises _Changed if the row can no longer be started.
        """
        if row.input is None:
            raise _Changed("an earlier version of Holdgate imported this row: upload the file again")
        try:
            process = self._starter.process(row.process)
        except UnknownProcess as wrong:
            raise _Changed(str(wrong)) from wrong
        try:
            parsed = process.input.model_validate(row.input)
        except ValidationError as wrong:
            # The row was valid when the file was uploaded: the input model has changed since.
            raise _Changed(*problems_of(wrong, process.shown_input(row.input))) from wrong
        return self._starter.prepare(
            process,
            row.reference,
            parsed,
            by=batch.requester,
            on_behalf_of=batch.on_behalf_of,
            asked_for=list(dict.fromkeys([*batch.asked_for, *asked_before])),
            policy_hash=batch.policy_hash,
            priority=row.priority or BATCH_PRIORITY,
            start_at=row.start_at,
            round_=_round(row),
            resubmits=row.resubmits,
            batch_id=batch.batch_id,
        )

    def _duplicate(self, row: PlannedRow, case: CaseRow, requester: str) -> BatchRow:
        process = self._starter.process(row.process)
        if case.requester != requester:
            return _ended(row, "duplicate", case_id_for(process.name, row.reference))
        if case.erased_at is not None:  # there is nothing to compare with
            return _ended(row, "duplicate", case.case_id)
        parsed = process.input.model_validate(row.input)
        return _ended(
            row,
            "duplicate",
            case.case_id,
            differs=differing(case.input, parsed),
            changes=changes(process, case.input, parsed),
        )

    async def _completed(self, batch_id: str) -> BatchResult:
        async with self._db.write() as conn:
            if await batches.get(conn, batch_id) is None:
                raise Trouble("The upload does not exist. Upload the file in Holdgate.", permanent=True)
            await batches.close(conn, batch_id, "completed", datetime.now(UTC))
            return BatchResult(batch_id=batch_id, rows=await batches.counts(conn, batch_id))


_SAID = {"running": "resumed", "paused": "paused", "cancelling": "is being cancelled", "cancelled": "cancelled"}


class _Changed(Exception):
    """Raised if a row can no longer be started as it was stored."""

    def __init__(self, *problems: FieldProblem | str) -> None:
        super().__init__(*problems)
        self.problems = [
            FieldProblem(column=None, message=each) if isinstance(each, str) else each for each in problems
        ]


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Finish the work even if this call is cancelled, so that a chunk of rows is always started completely."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _round(row: PlannedRow) -> int:
    """Return the number of the round that a row requests, from the end of its case id; 1 without a number."""
    return int(row.case_id.rpartition("~")[2]) if row.resubmits and row.case_id else 1


def _ended(
    row: BatchRow,
    outcome: RowOutcome,
    case_id: str | None = None,
    *,
    differs: Sequence[str] = (),
    changes: Sequence[Change] = (),
    errors: Sequence[FieldProblem] = (),
) -> BatchRow:
    return BatchRow(
        line=row.line,
        reference=row.reference,
        outcome=outcome,
        case_id=case_id,
        differs=list(differs),
        changes=list(changes),
        errors=list(errors),
    )
