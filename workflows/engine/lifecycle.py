"""The life of a case's Workflow: run its procedure as a separate asyncio task, and close it.

A cancellation, by message or in Temporal, sets a field of the state, which steps and gates check. A cancellation never
interrupts a rollback or a write to the database.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

from domain.case import CaseInput, CaseResult, ChainHead
from domain.messages import Actor, Cancellation
from domain.rollback import RollbackInput
from workflows.engine.messages import TEMPORAL, Messages
from workflows.engine.read_messages import not_ours
from workflows.engine.state import CaseRun


async def run_to_end(
    run: CaseRun,
    messages: Messages,
    case: CaseInput[Any],
    procedure: Callable[[], Coroutine[Any, Any, CaseResult]],
) -> CaseResult:
    """Run the procedure of a case and return its result. A cancellation in Temporal becomes a message to the case.

    Raises ApplicationError if the id of this Workflow is not that of the case: Holdgate did not start this Workflow.
    """
    if run.workflow_id != (case.workflow_id if isinstance(case, RollbackInput) else case.case_id):
        raise not_ours(f"It says that it is {case.case_id}.")
    run.received = case
    task = asyncio.create_task(procedure())
    while not task.done():
        try:
            await workflow.wait_condition(task.done)
        except asyncio.CancelledError:
            # Temporal cancels the main task only. The procedure continues, and undoes its effects.
            messages.cancel(
                Cancellation(
                    id=f"{case.case_id}/temporal",
                    by=Actor(id=TEMPORAL),
                    reason=workflow.cancellation_reason() or "cancelled in Temporal",
                    via=TEMPORAL,
                    at=workflow.now(),
                )
            )
    return task.result()


async def close(run: CaseRun, messages: Messages, result: CaseResult, *, again: bool = False) -> CaseResult:
    """Write the end of a case, wait for its message handlers, and return the result with the head of its audit log.

    Messages that arrive meanwhile are refused, and their events are written, too. With `again` the case had this end
    before, so no second event about the end is written. Raises ApplicationError if the database never had this case.
    """
    run.forward = False
    run.set_status(result.status)
    if not again:
        undone = f"; {len(result.undone)} of its steps undone" if result.undone else ""
        data = {"status": result.status.value, "reason": result.reason, "rule_at": result.rule_at}
        run.journal.note("case_closed", f"Ended {result.status.value.replace('_', ' ')}{undone}", data)
    run.show(result.reason)
    messages.submit_early_decisions(run.early_decisions)
    messages.note_uncounted()
    head = await run.journal.write_end(run.status, result=result)
    await workflow.wait_condition(workflow.all_handlers_finished)
    while run.journal.unwritten:
        head = await run.journal.write_end(run.status)
        await workflow.wait_condition(workflow.all_handlers_finished)
    if run.case.parent:
        # A parent that has ended cannot be told, and does not wait. A parent that misses this Signal asks from time to
        # time.
        with suppress(FailureError):
            parent = workflow.get_external_workflow_handle(run.case.parent)
            await parent.signal("case_ended", result)
    return result.model_copy(update={"audit": ChainHead(count=head.count, hash=head.hash)})
