"""A batch: start the cases of one uploaded file.

The batch ends when all these cases are started, not when they have ended.

1. Start the cases of the next rows, a chunk at a time, on the task queue for bulk work.
2. When somebody pauses the batch, finish the rows that are under way and wait.
3. When somebody cancels the batch, start no more rows and, if the order says so, roll back the started cases.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.engine.batch_rows import Imports
    from domain.batch import BatchAct, BatchInput, BatchNote, BatchOrder, BatchResult
    from domain.messages import Actor
    from domain.names import BULK_TASK_QUEUE
    from domain.permissions import check_own_case, check_people
    from domain.refusals import Refusal
    from workflows.engine.read_messages import GuardedWorkflow, not_ours, reads_signed_signal
    from workflows.engine.results import ended_by_hand, read_result, result_type
    from workflows.engine.signatures import unsigned
    from workflows.engine.signed_signals import SignedSignals

ArgumentT = TypeVar("ArgumentT")
ResultT = TypeVar("ResultT")

CHUNKS_PER_RUN = 50
"""After this number of chunks the Workflow continues as new.

With 100,000 rows in one history, a replay would read thousands of events.
"""
CHUNK_TIMEOUT = timedelta(hours=6)
"""The timeout of one chunk, which is longer than any chunk takes.

An attempt that hangs ends by its heartbeat timeout.
"""
NOTE_TIMEOUT = timedelta(minutes=1)
HEARTBEAT_TIMEOUT = timedelta(seconds=8)
"""The longest time between two heartbeats of a chunk. After this time Temporal notices that a worker was killed."""
RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=10))
"""The number of attempts is not limited: finished rows stay finished, and an outage of SQL or Temporal ends at some
time.
"""
FIRST_LOOK, LAST_LOOK = timedelta(seconds=5), timedelta(minutes=5)
"""The first and the longest pause between two checks of cases that have to roll back. Each pause is twice the one
before."""
MAX_REFUSED = 100
"""The maximum number of refused messages that the Workflow keeps until a worker has written them to the audit log."""


@workflow.defn(name="batch")
class BatchWorkflow(GuardedWorkflow):
    """Starts a case for each valid row of one file."""

    def __init__(self) -> None:
        self.signals = SignedSignals()
        self._orders: list[BatchOrder] = []
        self._asked: set[str] = set()
        self._requester = ""
        self.refused: list[tuple[str, Refusal]] = []
        """Refused messages, which `cases/reconcile/refused_messages.py` writes to the audit log."""

    @workflow.run
    async def run(self, batch: BatchInput) -> BatchResult:
        if workflow.info().workflow_id not in (batch_id := f"batch:{batch.batch_id}", f"{batch_id}~cancel"):
            raise not_ours(f"Its input is for {batch_id}, but this Workflow has another id.")
        self._requester = batch.requester
        await self._take_over(batch)
        for _ in range(CHUNKS_PER_RUN):
            await self.signals.caught_up()
            if cancel := self._cancel:
                return await self._end(batch, cancel)
            if self._paused:
                await self._pause(batch)
                continue
            result = await self._start_rows(batch)
            if result is None:
                continue
            workflow.set_current_details(f"{result.rows.started:,} of {result.rows.valid:,} rows are started.")
            if not result.left:
                await self.signals.caught_up()  # A refused order must reach the audit log.
                return result
        await workflow.wait_condition(workflow.all_handlers_finished)
        if cancel := self._cancel:
            return await self._end(batch, cancel)
        last = [self._paused] if self._paused else []
        workflow.continue_as_new(batch.model_copy(update={"orders": last, "asked": sorted(self._asked)}))

    # --------------------------------------------------------------------------------------------------------- orders

    async def _take_over(self, batch: BatchInput) -> None:
        """Accept the orders in the start input that have a valid signature, before the orders that came as Signals.

        Anybody with write access to the namespace can start this Workflow, with any orders.
        """
        self._asked |= set(batch.asked)
        for order in reversed(batch.orders):
            async with self.signals.verified(order) as fault:
                if fault is not None:
                    self.message_refused("order", unsigned(fault), "")
                elif self._is_allowed(order):
                    self._asked.add(order.id)
                    self._orders.insert(0, order)

    @workflow.signal(description="Pause, resume or cancel the import")
    @reads_signed_signal
    def order(self, order: BatchOrder) -> None:
        """Accept an order to pause, resume or cancel the batch.

        If an order with the same id was accepted before, do nothing.
        """
        if order.id not in self._asked and self._is_allowed(order):
            self._asked.add(order.id)
            self._orders.append(order)

    def _is_allowed(self, order: BatchOrder) -> bool:
        """Return True unless a service account orders something about an upload that it has not started itself, or
        wants completed cases to be rolled back. Such an order is recorded as refused.
        """
        try:
            check_own_case(order.by, self._requester)
            if order.completed_too:
                check_people(order.by, None)
        except Refusal as no:
            self.message_refused("order", no, order.by.id)
            return False
        return True

    def message_refused(self, message: str, refusal: Refusal, claimed: str) -> None:  # noqa: ARG002
        """Keep the data of a refused Signal in `refused`.

        A job of the worker writes these data to the audit log, because a batch does not write events itself.
        """
        self.refused = [*self.refused[-MAX_REFUSED + 1 :], (message, refusal)]

    @property
    def _cancel(self) -> BatchOrder | None:
        return next((order for order in self._orders if order.act is BatchAct.CANCEL), None)

    @property
    def _paused(self) -> BatchOrder | None:
        """Return the last order to pause the batch; None if the batch is not paused."""
        last = next((order for order in reversed(self._orders) if order.act is not BatchAct.CANCEL), None)
        return last if last and last.act is BatchAct.PAUSE else None

    # ----------------------------------------------------------------------------------------------------------- rows

    async def _start_rows(self, batch: BatchInput) -> BatchResult | None:
        """Start the cases of one chunk of rows, and return the counts of the batch.

        Return None if an order stopped the chunk before its end, or somebody ended it by hand in Temporal.
        """
        chunk = _started(
            Imports.import_rows,
            batch,
            start_to_close_timeout=CHUNK_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"import {batch.filename[:100]}",
        )
        try:
            await workflow.wait_condition(lambda: chunk.done() or bool(self._cancel or self._paused))
        except asyncio.CancelledError:
            self._cancelled_in_temporal()
        if not chunk.done():
            chunk.cancel()
        try:
            return await _result(Imports.import_rows, chunk)
        except FailureError as error:
            if not (is_cancelled_exception(error) or ended_by_hand(error)):
                raise
            return None

    async def _pause(self, batch: BatchInput) -> None:
        pause = self._paused
        assert pause is not None
        await self._note(batch, "paused", pause)
        try:
            await workflow.wait_condition(lambda: self._paused is None or self._cancel is not None)
        except asyncio.CancelledError:
            self._cancelled_in_temporal()
        if self._cancel is None:
            resume = next(order for order in reversed(self._orders) if order.act is BatchAct.RESUME)
            await self._note(batch, "running", resume)

    async def _end(self, batch: BatchInput, cancel: BatchOrder) -> BatchResult:
        """Start no more rows. Roll back the cases that were started, if the order says so."""
        await self._note(batch, "cancelling", cancel)
        pause = FIRST_LOOK
        while cancel.rollback_started:
            left = await _run(
                Imports.roll_back_cases,
                self._noted(batch, "cancelling", cancel),
                start_to_close_timeout=CHUNK_TIMEOUT,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                summary="ask its cases to undo what they did",
            )
            if not left:
                break
            await workflow.sleep(pause, summary=f"{left} cases have not begun to undo")
            pause = min(pause * 2, LAST_LOOK)
        return await self._note(batch, "cancelled", cancel)

    async def _note(self, batch: BatchInput, status: str, order: BatchOrder) -> BatchResult:
        workflow.set_current_details(f"{status.capitalize()}: asked by {order.by.id}, because: {order.reason}")
        return await _run(
            Imports.note_order,
            self._noted(batch, status, order),
            start_to_close_timeout=NOTE_TIMEOUT,
            summary=f"{status}, by {order.by.id}"[:200],
        )

    def _noted(self, batch: BatchInput, status: str, order: BatchOrder) -> BatchNote:
        its = {"batch_id": batch.batch_id, "workflow_id": workflow.info().workflow_id}
        return BatchNote.model_validate({**its, "status": status, "order": order})

    def _cancelled_in_temporal(self) -> None:
        self._orders.append(
            BatchOrder(
                id="temporal",
                act=BatchAct.CANCEL,
                by=Actor(id="temporal"),
                reason="cancelled in Temporal",
                at=workflow.now(),
            )
        )


async def _run(
    activity: Callable[[Imports, ArgumentT], Awaitable[ResultT]], argument: ArgumentT, **more: Any
) -> ResultT:
    """Run an activity and return its result. The activity runs again if somebody ended it by hand in Temporal."""
    while True:
        try:
            return await _result(activity, _started(activity, argument, **more))
        except FailureError as error:
            if not ended_by_hand(error):
                raise


def _started(
    activity: Callable[[Imports, ArgumentT], Awaitable[ResultT]], argument: ArgumentT, **more: Any
) -> workflow.ActivityHandle[RawValue]:
    return workflow.start_activity(
        activity.__name__, argument, result_type=RawValue, task_queue=BULK_TASK_QUEUE, retry_policy=RETRIES, **more
    )


async def _result(
    activity: Callable[[Imports, ArgumentT], Awaitable[ResultT]], handle: workflow.ActivityHandle[RawValue]
) -> ResultT:
    result: ResultT = read_result(activity.__name__, await handle, result_type(activity))
    return result
