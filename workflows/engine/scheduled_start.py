"""The scheduled start of a case: wait until its time, or until a person starts the case early."""

from contextlib import suppress
from datetime import timedelta

from temporalio import workflow

from domain.messages import StartNow
from domain.moments import moment_text, until
from domain.permissions import check_people
from domain.refusals import Refusal, RefusalCode
from domain.status import Status
from workflows.engine.branches import Branches
from workflows.engine.state import CaseRun


class ScheduledStart:
    """Waits for the start of a case, and answers requests to start it early."""

    def __init__(self, run: CaseRun, branches: Branches) -> None:
        self._run = run
        self._branches = branches

    async def wait(self) -> None:
        """Wait until a scheduled case starts; return at once for any other case. Raises CaseEnds if the case is
        cancelled.

        The timer is in the Workflow: Temporal's start delay cannot be ended early.
        """
        run = self._run
        start_at = run.case.start_at
        if start_at is None or run.status is not Status.SCHEDULED:
            return
        run.show(f"Starts at {moment_text(start_at)}")
        await run.signals.caught_up()
        while not (run.cancellation is not None or run.start_now is not None):
            if (left := until(start_at, workflow.now())) == timedelta(0):
                run.journal.note("case_started", "The scheduled time has come")
                break
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: run.cancellation is not None or run.start_now is not None,
                    timeout=left,
                    timeout_summary="the scheduled start",
                )
            await run.signals.caught_up()
        await self._branches.raise_if_stopped()
        run.set_status(Status.RUNNING)
        await run.write()
        await self._branches.raise_if_stopped()

    def check(self, asked: StartNow) -> None:
        """Raise Refusal if the case does not wait for its time, was cancelled or started early, or if a service account
        asks. Change nothing.
        """
        run = self._run
        check_people(asked.by, None)
        if run.start_now is not None and run.start_now.id == asked.id:
            return
        waits = run.case.start_at is not None and run.status is Status.SCHEDULED
        if not waits or run.start_now is not None or run.cancellation is not None:
            raise Refusal(
                RefusalCode.NOT_SCHEDULED,
                "You cannot start this case early: it was already started or cancelled.",
            )

    def start(self, asked: StartNow) -> Status:
        """Start the case now and return its new status. A second call changes nothing."""
        run = self._run
        if run.start_now is None:
            run.start_now = asked
            planned = moment_text(run.case.start_at) if run.case.start_at else ""
            said = f"Started by {asked.by.id} before its time, {planned}"
            data = {"early": True, "planned": planned, "via": asked.via, "message_id": asked.id}
            run.journal.store_proof(asked)
            run.journal.note("case_started", said, data, actor=asked.by.id)
        return Status.RUNNING

    def submit(self, asked: StartNow) -> None:
        """Start the case now if it is still scheduled, for a request whose sender does not wait for an answer."""
        with suppress(Refusal):
            self.check(asked)
            self.start(asked)
