"""Child cases: other cases that a case starts, one after the other or side by side, and waits for."""

from datetime import timedelta

from pydantic import BaseModel
from temporalio import workflow

from activities.engine.child_cases import ChildCases
from domain.case import CaseResult
from domain.ids import child_reference
from domain.refusals import Refusal, RefusalCode
from domain.status import Status
from domain.step import ChildRequest
from workflows.engine.branches import Branches
from workflows.engine.endings import CaseEnds
from workflows.engine.journal import RECORD_RETRIES, RECORD_THRESHOLD, RECORD_TIMEOUT
from workflows.engine.messages import Messages
from workflows.engine.state import CaseRun
from workflows.engine.steps import Steps, step_key, undo_key


class ChildCaseRequests:
    """Starts child cases and waits until they have ended."""

    def __init__(self, run: CaseRun, branches: Branches, steps: Steps, messages: Messages) -> None:
        self._run = run
        self._branches = branches
        self._steps = steps
        self._messages = messages

    async def ask(self, kind: str, process: str, request: BaseModel) -> CaseResult | None:
        """Start a child case and wait until it has ended, as `CaseWorkflow.case` describes."""
        with self._branches.branch():
            run, case = self._run, self._run.case
            name = ChildCases.ask_for_case.__name__
            number = run.step_counts.get(name, 0) + 1
            asked = ChildRequest(
                kind=kind,
                process=process,
                reference=child_reference(case.process, case.reference, number, case.round),
                input=request.model_dump(mode="json"),
            )
            child = await self._steps.run_step(ChildCases.ask_for_case, asked, undo=ChildCases.withdraw_case)
            if child is None:
                return None
            run.show(f"Waits for the {kind} {child.case_id}")
            result = await self._end_of(child.case_id)
            # By its key, because several child cases may run side by side.
            run.saga.forget(undo_key(step_key(case.case_id, name, number)))
            said = f"{kind.capitalize()}: {result.status.value.replace('_', ' ')}. {result.reason}"
            data = {"case_id": child.case_id, "kind": kind, "status": result.status.value, "rule_at": result.rule_at}
            data["reason"] = result.reason
            run.journal.note("child_ended", said, data)
            if result.status is not Status.COMPLETED:
                kept = (Status.REJECTED, Status.EXPIRED)
                raise CaseEnds(result.status if result.status in kept else Status.FAILED, said)
            return result

    async def _end_of(self, case_id: str) -> CaseResult:
        """Wait until a child case has ended, and return its result, as the database has it.

        The child case sends a Signal when it has ended. This Signal has no signature, and it can be lost. So the
        database is read after the Signal, and also without it: first after a minute, then less and less often, at last
        every six hours. Raises CaseEnds or BranchStops if this case must stop.
        """
        run, ended = self._run, self._run.ended_children
        pause, must_stop = timedelta(minutes=1), self._branches.stop_condition()
        await run.write()
        while True:
            await self._branches.raise_if_stopped()
            if run.journal.unwritten:
                await run.write()
            try:
                await workflow.wait_condition(
                    lambda: case_id in ended or must_stop() or run.journal.unwritten,
                    timeout=pause,
                    timeout_summary=f"before looking for the end of {case_id}",
                )
                if case_id not in ended:
                    continue
            except TimeoutError:
                pause = min(2 * pause, timedelta(hours=6))
            result = await workflow.execute_local_activity_method(
                ChildCases.end_of_case,
                case_id,
                activity_id="end of case",
                start_to_close_timeout=RECORD_TIMEOUT,
                local_retry_threshold=RECORD_THRESHOLD,
                retry_policy=RECORD_RETRIES,
                summary=f"the end of {case_id}",
            )
            if result is not None:
                return result
            if case_id in ended:
                ended.discard(case_id)
                said = f"The database has no end of {case_id}, so the case that sends this message has not ended."
                self._messages.message_refused("case_ended", Refusal(RefusalCode.UNSIGNED, said), "")
