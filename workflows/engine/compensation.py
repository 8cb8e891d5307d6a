"""Compensation: undo the effects of a case, newest first. If an undo fails, operators decide."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError

from domain.status import Outcome, Status, Verdict
from domain.undo import PlannedUndo
from workflows.engine.failures import Failure, failure_of, options_of, pause_after
from workflows.engine.human_tasks import HumanTasks
from workflows.engine.results import UnreadableResult, read_result
from workflows.engine.state import CaseRun

UNDO_VERDICTS = (Verdict.RETRY, Verdict.SKIP, Verdict.DONE_BY_HAND)
"""The verdicts that operators can give on a failed undo: a rollback cannot be rolled back."""


class Compensation:
    """Runs the undos of a case."""

    def __init__(
        self, run: CaseRun, tasks: HumanTasks, on_failure: Callable[[Failure], None] = lambda _failure: None
    ) -> None:
        """Set `on_failure`, which is called with each failed attempt, before the next one and before operators are
        asked.

        `on_failure` may raise.
        """
        self._run = run
        self._tasks = tasks
        self._on_failure = on_failure

    async def recover(self) -> None:
        """Add undos that only the database knows, of steps that this Workflow has forgotten.

        A Workflow forgets a local step if the Workflow task that ran the step was lost, and then somebody decided
        differently than before. A Workflow that was reset in Temporal forgets all steps after the point of the reset.
        """
        run = self._run
        run.saga.recover(await run.journal.stored_plan())

    async def roll_back(self, reason: str) -> None:
        """Undo all effects of the case. If an undo fails, wait for operators: only their decision can leave out the
        undo.

        If the database already has an end of the case, raise AlreadyEnded before anything is undone. The database can
        have an end when a cancellation arrives after the end was written to the database and before Temporal's history
        shows the write. People may have read this end already.
        """
        run = self._run
        run.forward = False
        run.set_status(Status.ROLLING_BACK)
        plan = [undo.summary for undo in run.saga.plan()]
        data = {"reason": reason, "plan": plan, "undos": [undo.undo for undo in run.saga.plan()]}
        run.journal.note("rollback_started", f"Rolling back. {reason}", data)
        await run.write()
        await self.undo_all()

    async def undo_all(self) -> None:
        """Undo all effects of the case, newest first. This method does not end the case."""
        run = self._run
        while undo := run.saga.newest():
            await self._undo(undo)
            run.saga.settle(undo)
            await run.write()

    async def _undo(self, undo: PlannedUndo) -> None:
        """Undo one step. If all attempts of the undo fail, operators decide."""
        run = self._run
        options = options_of(run.case, undo.undo)
        attempt, began = 1, workflow.now()
        while True:
            run.show(undo.summary)
            try:
                sent = await workflow.execute_activity(
                    undo.undo,
                    undo.call,
                    result_type=RawValue,
                    summary=undo.summary,
                    start_to_close_timeout=options.time_limit,
                    # Repeated here and not by the server, so that the timeline shows each attempt.
                    retry_policy=RetryPolicy(maximum_attempts=1),
                )
                did_something = read_result(undo.undo, sent)
            except (ActivityError, UnreadableResult) as error:
                failure = failure_of(error, options)
            else:
                if await self._is_undone(undo, did_something):
                    return
                attempt, began = 1, workflow.now()
                continue
            self._on_failure(failure)
            pause = pause_after(options, failure, attempt, workflow.now() - began)
            if pause is not None:
                await self._wait_before_next(undo, failure, attempt, pause)
                attempt += 1
                continue
            failure = replace(failure, attempts=attempt)
            gate = await self._tasks.intervene(undo.undo, failure, verdicts=UNDO_VERDICTS, undoing=True)
            if gate.outcome is not Outcome.RETRY:
                self.note_settled(undo, gate.outcome)
                return
            attempt, began = 1, workflow.now()

    async def _wait_before_next(self, undo: PlannedUndo, failure: Failure, attempt: int, pause: timedelta) -> None:
        self._run.journal.note(
            "undo_attempt_failed",
            f"{undo.summary}: attempt {attempt} failed. {failure.said}",
            {"what": undo.summary, "attempt": attempt, **failure.facts(undo.undo)},
        )
        await self._run.write()
        await workflow.sleep(pause, summary=f"before attempt {attempt + 1}: {undo.summary}")

    async def _is_undone(self, undo: PlannedUndo, did_something: Any) -> bool:
        """Record that an undo has run. Return False if operators want the undo to run again.

        `did_something` is the return value of the undo: False if there was nothing to undo. For a step that was done by
        hand, operators must decide, unless its undo returned True.
        """
        run = self._run
        if undo.by_hand and did_something is not True:
            said = f"{undo.summary}: the step was done by hand ({undo.by_hand}), so people must undo it, too."
            cause = "The step was done by hand, so people must undo it, too."
            facts = {"step": undo.undo, "failure": "DoneByHand", "cause": cause}
            before = run.status
            verdicts = (Verdict.DONE_BY_HAND, Verdict.SKIP, Verdict.RETRY)
            gate = await self._tasks.open_intervention(said, facts, verdicts, endless=True)
            await self._tasks.wait_at([gate], Status.NEEDS_INTERVENTION)
            run.set_status(before)
            if gate.outcome is Outcome.RETRY:
                return False
            self.note_settled(undo, gate.outcome)
            return True
        if did_something is False:  # An undo that returns None always had an effect.
            said = "there was nothing to undo"
        else:
            said = "done"
            run.undone.append(undo.summary)
        undone = did_something is not False
        data = {"what": undo.summary, "undo": undo.undo, "key": undo.call.key, "undone": undone}
        run.journal.note("undo_done", f"{undo.summary}: {said}", data)
        return True

    def note_settled(self, undo: PlannedUndo, outcome: Outcome | None) -> None:
        """Record that operators skipped an undo or did it by hand."""
        by_hand = outcome is Outcome.DONE_BY_HAND
        if by_hand:
            self._run.undone.append(f"{undo.summary} (by hand)")
        said = "done by hand" if by_hand else "left out"
        data = {"what": undo.summary, "undo": undo.undo, "key": undo.call.key, "by_hand": by_hand}
        self._run.journal.note("undo_settled", f"{undo.summary}: {said}", data)
