"""Branches of a procedure: steps, gates and child cases that run side by side, and how they stop together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from temporalio import workflow

from domain.status import Status
from workflows.engine.endings import BranchStops, CaseEnds
from workflows.engine.state import CaseRun

_PROCEDURE: ContextVar[int] = ContextVar("procedure", default=0)
"""The count of ended procedures when this branch began. The asyncio tasks that a procedure starts inherit
this count."""


class Branches:
    """Counts the branches that are running, and stops all of them before an effect of the case is undone."""

    def __init__(self, run: CaseRun) -> None:
        self._run = run

    @contextmanager
    def branch(self) -> Iterator[None]:
        """Count a step, gate or child case as running until the block ends."""
        self._run.active_branches += 1
        try:
            yield
        finally:
            self._run.active_branches -= 1

    def stop_condition(self) -> Callable[[], bool]:
        """Return a function that returns True if the branch of the caller has to stop.

        The branch has to stop if the case is cancelled before its rollback, or if the procedure in which the branch
        began has ended.
        """
        run, began = self._run, _PROCEDURE.get()
        return lambda: (run.forward and run.cancellation is not None) or began != run.procedure

    async def raise_if_stopped(self) -> None:
        """Raise CaseEnds if the case is cancelled before its rollback, BranchStops if the procedure of the branch has
        ended.

        Call this method after every step: the activity of a cancelled step may have succeeded all the same. A
        cancellation that has arrived counts, also if its signature is still being verified.
        """
        run = self._run
        await run.signals.caught_up()
        if run.forward and run.cancellation is not None:
            raise CaseEnds(Status.CANCELLED, f"Cancelled by {run.cancellation.by.id}: {run.cancellation.reason}")
        if _PROCEDURE.get() != run.procedure:
            raise BranchStops

    async def stop_all(self) -> None:
        """Tell all branches of the procedure to stop, and wait until none of them is running.

        Without this wait a step could run while its undo runs.
        """
        run = self._run
        run.procedure += 1
        _PROCEDURE.set(run.procedure)
        await workflow.wait_condition(lambda: run.active_branches == 0)
