"""Steps of a case: register the undo, run the activity, and decide what follows if it fails."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, FailureError

from activities.engine.records import NotRecorded
from domain.base import FieldChange
from domain.status import Outcome, Status, Verdict
from domain.step import StepCall, StepOptions
from domain.undo import PlannedUndo
from domain.wording import Words
from workflows.engine.branches import Branches
from workflows.engine.endings import CaseEnds, NextRound
from workflows.engine.failures import Failure, failure_of, failure_of_local_step, options_of, retry_policy
from workflows.engine.human_tasks import HumanTasks
from workflows.engine.journal import RECORD_PAUSE, RECORD_TIMEOUT, Taken
from workflows.engine.results import read_result, result_type
from workflows.engine.state import CaseRun

RequestT = TypeVar("RequestT", bound=BaseModel)
ResultT = TypeVar("ResultT")

LOCAL_THRESHOLD = timedelta(milliseconds=400)
"""Shorter than the default pause after the first attempt, so that a local step that has failed waits on a timer.
Otherwise an outage of the database would hold the Workflow task, and with it every query and update."""

STEP_VERDICTS = (Verdict.RETRY, Verdict.SKIP, Verdict.DONE_BY_HAND, Verdict.ROLL_BACK)
"""The verdicts of operators on a failed step."""


class Steps:
    """Runs the steps of a case."""

    def __init__(self, run: CaseRun, branches: Branches, tasks: HumanTasks, words: Words) -> None:
        self._run = run
        self._branches = branches
        self._tasks = tasks
        self._words = words

    async def run_step(
        self,
        activity: Callable[[Any, StepCall[RequestT]], Awaitable[ResultT]],
        request: RequestT,
        *,
        skipped: ResultT | None = None,
        undo: Callable[[Any, StepCall[RequestT]], Awaitable[Any]] | None = None,
        uses: Callable[..., Any] | None = None,
        heartbeat: timedelta | None = None,
        options: StepOptions | None = None,
        local: bool = False,
    ) -> ResultT | None:
        """Run one step as `CaseWorkflow.step` describes. Raises CaseEnds, NextRound, BranchStops or ValueError."""
        if local and heartbeat is not None:
            raise ValueError(f"{activity.__name__}: a local step sends no heartbeats: leave out `local` or `heartbeat`")
        with self._branches.branch():
            run, name = self._run, activity.__name__
            call, options = self._call(name, request), options_of(run.case, name, options)
            planned = self._planned(name, undo.__name__, call, uses.__name__ if uses else None) if undo else None
            if planned is not None:
                run.saga.register(planned)
                call = call.model_copy(update={"undo": planned.undo, "uses": planned.uses})
            local = local and options.fits_local
            # The first step waits until the database has confirmed that Holdgate started this case with this input.
            # The next gate writes a gate that was passed. But the attempts of a step may take long, so write it now.
            # Write the undo of a local step before the step: Temporal learns of the step only after it has ended, and
            # until then only the database knows that it may have taken effect.
            record: Taken | None = None
            if run.passed_unwritten or not run.journal.known or (local and planned is not None):
                run.passed_unwritten = False
                if local:
                    record = run.journal.take(run.status)
                else:
                    await run.write()
            if run.attributes_late and not local:
                run.set_status(run.status)
            must_stop = self._branches.stop_condition()
            while True:
                await self._branches.raise_if_stopped()
                run.show(self._words.step(name, request))
                handle = self._start(activity, call, options, heartbeat, local=local, record=record)
                await workflow.wait_condition(lambda: handle.done() or must_stop())  # noqa: B023
                if not handle.done():
                    handle.cancel()
                try:
                    sent = await handle
                    result: ResultT = sent if local else read_result(name, sent, result_type(activity))
                except (asyncio.CancelledError, FailureError) as error:
                    if record is not None:
                        run.journal.put_back(record)
                        record = None
                    await self._branches.raise_if_stopped()
                    if not isinstance(error, FailureError):  # A local step was cancelled between two attempts.
                        raise
                    if isinstance(error, ApplicationError) and error.type == NotRecorded.__name__:
                        # On a timer, so that queries and updates are answered between two attempts that hang.
                        await workflow.sleep(RECORD_PAUSE, summary="the database did not answer")
                        await run.write()
                        continue
                    failure = failure_of_local_step(error, options) if local else failure_of(error, options)
                    if await self._retries(name, failure, options, planned):
                        continue
                    return skipped  # Operators skipped the step or did it by hand.
                if record is not None:
                    run.journal.known = True
                self._note_done(name, call, result, planned)
                await self._branches.raise_if_stopped()
                return result

    def _start(
        self,
        activity: Callable[[Any, StepCall[RequestT]], Awaitable[ResultT]],
        call: StepCall[RequestT],
        options: StepOptions,
        heartbeat: timedelta | None,
        *,
        local: bool,
        record: Taken | None,
    ) -> workflow.ActivityHandle[Any]:
        """Start the attempts of a step and return their handle. `record` is written before a local step runs.

        Nobody can complete a local step by hand, so its result is what the step returned. The result of any other step
        is a RawValue, which `read_result` reads.
        """
        # An undo must never run beside the step that it undoes.
        to_the_end = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
        if local:
            limit = options.time_limit
            if record is not None and limit is not None:
                call, limit = call.model_copy(update={"record_first": record.json}), limit + RECORD_TIMEOUT
            return workflow.start_local_activity_method(
                activity,
                call,
                activity_id=f"step {activity.__name__}",  # `./holdgate replay` finds a changed step by its id.
                summary=self._run.doing,
                start_to_close_timeout=limit,
                local_retry_threshold=LOCAL_THRESHOLD,
                retry_policy=retry_policy(options),
                cancellation_type=to_the_end,
            )
        return workflow.start_activity(
            activity.__name__,
            call,
            result_type=RawValue,
            summary=self._run.doing,
            start_to_close_timeout=options.time_limit,
            schedule_to_close_timeout=options.retry_for,
            heartbeat_timeout=heartbeat,
            retry_policy=retry_policy(options),
            cancellation_type=to_the_end,
        )

    def _note_done(self, name: str, call: StepCall[Any], result: Any, planned: PlannedUndo | None) -> None:
        run = self._run
        if planned is not None:
            run.saga.done(planned.call.key)
        data = result.model_dump(mode="json") if isinstance(result, BaseModel) else None
        plan = planned.view.model_dump() if planned else None
        did = {"step": name, "what": run.doing, "key": call.key, "result": data, "undo": plan}
        run.journal.note("step_done", f"{run.doing}: done", did)

    def _call(self, name: str, request: RequestT) -> StepCall[RequestT]:
        """Return the input of a step with its idempotency key."""
        case, counts = self._run.case, self._run.step_counts
        count = counts[name] = counts.get(name, 0) + 1
        return StepCall[RequestT](
            case_id=case.case_id,
            reference=case.reference,
            requester=case.requester,
            policy_hash=case.policy_hash,
            key=step_key(case.case_id, name, count),
            at=workflow.now(),
            input=request,
        )

    def _planned(self, step: str, undo: str, call: StepCall[Any], uses: str | None) -> PlannedUndo:
        """Return the undo of a step that is about to run."""
        undo_call = StepCall[Any](**{**dict(call), "key": undo_key(call.key), "undoes": call.key})
        return PlannedUndo(
            step=step,
            undo=undo,
            summary=self._words.step(undo, call.input),
            call=undo_call,
            uses=self._run.saga.key_of(uses) if uses else None,
        )

    # ------------------------------------------------------------------------------------------------- failures, rounds

    async def _retries(self, name: str, failure: Failure, options: StepOptions, planned: PlannedUndo | None) -> bool:
        """Return True if a step that has failed for good is tried again, as operators decide.

        Raises CaseEnds if the failure ends the case, NextRound if operators changed the input.
        """
        run = self._run
        if failure.refused:
            facts = {"what": run.doing, **failure.facts(name)}
            run.journal.note("step_refused", f"{run.doing}: refused. {failure.said}", facts)
            raise CaseEnds(Status.FAILED, failure.said)
        if options.then != "intervene":
            said = f"{run.doing}: failed. {failure.said}{failure.tried}"
            run.journal.note("step_failed", said, {"what": run.doing, **failure.facts(name)})
            again = options.resubmit_after if options.then == "resubmit" else None
            raise CaseEnds(Status.FAILED, said, resubmit_after=again)
        before = run.case.input
        gate = await self._tasks.intervene(name, failure, verdicts=STEP_VERDICTS, editable=True)
        answer = gate.task.decisions[-1]
        if gate.outcome is Outcome.RETRY and (changes := run.changes_between(before, run.case.input)):
            # Findings and approvals belong to the earlier input. A person who changed the input must not approve it.
            note_round(run, changes)
            run.submitters += [view.by for view in gate.task.decisions]
            raise NextRound
        if gate.outcome is Outcome.DONE_BY_HAND and planned is not None:
            run.saga.done(planned.call.key, by_hand=f"{answer.by}: {answer.comment}")
        return gate.outcome is Outcome.RETRY


def note_round(run: CaseRun, changes: list[FieldChange]) -> None:
    """Record that the next round of a case begins, with these changes of the input."""
    run.round += 1
    run.changes = changes
    changed = ", ".join(change.field for change in changes) or "nothing"
    run.journal.note(
        "round_started",
        f"Round {run.round}: {changed} changed",
        {"round": run.round, "changes": [change.model_dump(mode="json") for change in changes]},
    )


def step_key(case_id: str, name: str, count: int) -> str:
    """Return the idempotency key of the `count`th call of a step: `<case_id>/<step>`, with `#2` for the second."""
    return f"{case_id}/{name}" + (f"#{count}" if count > 1 else "")


def undo_key(key: str) -> str:
    """Return the idempotency key of the undo of a step."""
    return f"{key}/undo"
