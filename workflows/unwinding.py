"""Undoing what a case did: newest first, attempt by attempt, and with people where an undo fails."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from domain.status import Outcome, Status, Verdict
from domain.step import StepOptions
from domain.undo import PlannedUndo
from workflows.failures import Failure, failure_of, pause_after
from workflows.waiting import Waiting

STEP_TIMEOUT = timedelta(seconds=10)
"""Of one attempt. With the ten attempts of StepOptions, a step is tried for about a minute: longer than a restart of a
database, shorter than a reviewer's patience."""
UNDO_VERDICTS = (Verdict.RETRY, Verdict.SKIP, Verdict.DONE_BY_HAND)
"""A rollback under way is not rolled back again, and an undo goes by what its step was given: nothing can be mended."""


class Unwinding(Waiting):
    """Undoes steps."""

    def __init__(self) -> None:
        super().__init__()
        self._undone: list[str] = []

    def _options(self, name: str, default: StepOptions | None = None) -> StepOptions:
        """How often a step or an undo is tried: by the policy, or else by the process."""
        found = self._started.steps.get(name) or default or StepOptions()
        return found if found.time_limit else found.model_copy(update={"time_limit": STEP_TIMEOUT})

    async def _roll_back(self, reason: str) -> None:
        """Undo everything that was done. An undo that fails waits for operators; none is left out.

        Raises EndStands before anything is undone if the record holds the end of the case already: a cancellation came
        between the record and Temporal's history, and people have been told the end.
        """
        self._forward = False
        self._set_status(Status.ROLLING_BACK)
        plan = [undo.summary for undo in self._saga.plan()]
        self._journal.note("rollback_started", f"Rolling back. {reason}", {"plan": plan})
        await self._write()
        await self._unwind()

    async def _unwind(self) -> None:
        while undo := self._saga.newest():
            await self._undo(undo)
            self._saga.settle(undo)
            await self._write()

    async def _undo(self, undo: PlannedUndo) -> None:
        """Undo one step. Where it cannot be undone, operators say what becomes of it."""
        options = self._options(undo.undo)
        attempt, began = 1, workflow.now()
        while True:
            self._show(undo.summary)
            try:
                anything = await workflow.execute_activity(
                    undo.undo,
                    undo.call,
                    summary=undo.summary,
                    start_to_close_timeout=options.time_limit,
                    # Tried again from here and not by the server, so that each attempt is told in the timeline.
                    retry_policy=RetryPolicy(maximum_attempts=1),
                )
            except ActivityError as error:
                failure = failure_of(error, options)
            else:
                if await self._was_undone(undo, anything):
                    return
                attempt, began = 1, workflow.now()
                continue
            self._undo_refused(failure)
            if workflow.patched("undo-attempts"):  # cases of older code left the attempts to the server
                pause = pause_after(options, failure, attempt, workflow.now() - began)
                if pause is not None:
                    await self._try_again(undo, failure, attempt, pause)
                    attempt += 1
                    continue
                failure = replace(failure, attempts=attempt)
            gate = await self._mend(undo.undo, failure, verdicts=UNDO_VERDICTS, undoing=True)
            if gate.outcome is not Outcome.RETRY:
                self._settled(undo, gate.outcome)
                return
            attempt, began = 1, workflow.now()

    async def _try_again(self, undo: PlannedUndo, failure: Failure, attempt: int, pause: timedelta) -> None:
        self._journal.note(
            "undo_attempt_failed",
            f"{undo.summary}: attempt {attempt} failed. {failure.said}",
            {"attempt": attempt, **failure.facts(undo.undo)},
        )
        await self._write()
        await workflow.sleep(pause, summary=f"before attempt {attempt + 1}: {undo.summary}")

    def _undo_refused(self, failure: Failure) -> None:
        """The receiver does not let something be undone; operators are asked, unless the rollback can be called off."""

    async def _was_undone(self, undo: PlannedUndo, anything: Any) -> bool:
        """The undo has run, and `anything` is False where there was nothing. False: it is wanted once more."""
        if undo.by_hand and anything is not True:
            said = f"{undo.summary}: the step was done by hand ({undo.by_hand}), so people must undo it, too."
            facts = {"step": undo.undo, "cause": "The step was done by hand, so people must undo it, too."}
            before = self._status
            gate = await self._intervention(
                said, facts, (Verdict.DONE_BY_HAND, Verdict.SKIP, Verdict.RETRY), endless=True
            )
            await self._wait_at([gate], Status.NEEDS_INTERVENTION)
            self._set_status(before)
            if gate.outcome is Outcome.RETRY:
                return False
            self._settled(undo, gate.outcome)
            return True
        if anything is False:  # an undo that answers nothing always did something
            said = "there was nothing to undo"
        else:
            said = "done"
            self._undone.append(undo.summary)
        self._journal.note("undo_done", f"{undo.summary}: {said}", {"undo": undo.undo, "key": undo.call.key})
        return True

    def _settled(self, undo: PlannedUndo, outcome: Outcome | None) -> None:
        """Operators have settled an undo without the receiver."""
        if outcome is Outcome.DONE_BY_HAND:
            self._undone.append(f"{undo.summary} (by hand)")
        said = "done by hand" if outcome is Outcome.DONE_BY_HAND else "left out"
        self._journal.note("undo_settled", f"{undo.summary}: {said}", {"undo": undo.undo, "key": undo.call.key})
