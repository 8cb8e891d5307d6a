"""Cases that a case asks for, one after the other or side by side, and waits for."""

from datetime import timedelta

from pydantic import BaseModel
from temporalio import workflow

from activities.engine.child_cases import Child, ChildCases
from domain.case import CaseResult
from domain.ids import child_reference
from domain.status import Status
from domain.step import ChildRequest
from workflows.branches import Branches
from workflows.desk import CaseEnds


class SubCases(Branches):
    """Asks for cases of other processes."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: dict[str, int] = {}

    async def case(self, kind: str, process: str, request: BaseModel) -> CaseResult | None:
        """Ask for a case of another process, `kind` as people say it, and wait until it has ended.

        It belongs to the same requester and has a reference made from this case's. One that is not completed ends this
        case, too; and this one's end, until then, cancels it. What it completed stays when this case is rolled back.
        None where it could not be asked for and operators have skipped it.
        """
        with self._branch():
            return await self._sub_case(kind, process, request)

    async def _sub_case(self, kind: str, process: str, request: BaseModel) -> CaseResult | None:
        name = ChildCases.ask_for_case.__name__
        number = self._keys.get(name, 0) + 1
        asked = ChildRequest(
            kind=kind,
            process=process,
            reference=child_reference(self._started.process, self._started.reference, number, self._started.round),
            input=request.model_dump(mode="json"),
        )
        # Several may wait side by side, so each forgets what is its own, by its key.
        undo_key = f"{self._key(name, number)}/undo"
        child = await self._ask_for(asked)
        if child is None:
            return None
        result = await self._end_of(child.case_id, kind)
        self._saga.forget(undo_key)
        said = f"{kind.capitalize()}: {result.status.value.replace('_', ' ')}. {result.reason}"
        self._journal.note("child_ended", said, {"case_id": child.case_id, "status": result.status.value})
        if result.status is not Status.COMPLETED:
            kept = (Status.REJECTED, Status.EXPIRED)
            raise CaseEnds(result.status if result.status in kept else Status.FAILED, said)
        return result

    async def _end_of(self, case_id: str, kind: str) -> CaseResult:
        """Wait for the end of a case, of which it tells; and look now and then, in case it could not."""
        await self._write()
        self._show(f"Waits for the {kind} {case_id}")
        pause, halts = timedelta(minutes=1), self._halting()
        while case_id not in self._ended:
            self._stop_if_cancelled()
            try:
                await workflow.wait_condition(
                    lambda: case_id in self._ended or halts(),
                    timeout=pause,
                    timeout_summary=f"before looking for the end of {case_id}",
                )
            except TimeoutError:
                ended = await workflow.execute_activity_method(
                    ChildCases.end_of_case, case_id, start_to_close_timeout=timedelta(seconds=10)
                )
                pause = min(2 * pause, timedelta(hours=6))
                if ended is not None:
                    return ended
        return self._ended[case_id]

    async def _ask_for(self, asked: ChildRequest) -> Child | None:
        """Start a case, as a step of this one. None where operators have skipped it."""
        raise NotImplementedError

    def _key(self, name: str, count: int) -> str:
        return f"{self._started.case_id}/{name}" + (f"#{count}" if count > 1 else "")
