"""Variants of the sample process: with a defect, as a deployment may bring it, or with a message handler."""

import random

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.case import CaseInput, CaseResult
    from tests.support.errands import ErrandRequest, Errands, Weighed
    from tests.support.sample_processes import ErrandProcess


@workflow.defn(name="errand")
class DefectiveErrand(ErrandProcess):
    """Fetch, and stumble."""

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.send_parcel)

    async def send_parcel(self, request: ErrandRequest) -> Weighed:
        await self.step(Errands.fetch, request, undo=Errands.bring_back)
        raise KeyError(request.parcel)


@workflow.defn(name="errand")
class DefectiveLocalErrand(ErrandProcess):
    """Fetch as a local step, and stumble before Temporal knows of it."""

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.send_parcel)

    async def send_parcel(self, request: ErrandRequest) -> Weighed:
        await self.step(Errands.fetch, request, undo=Errands.bring_back, local=True)
        raise KeyError(request.parcel)


@workflow.defn(name="errand")
class ReorderedErrand(ErrandProcess):
    """Pack first: the history of cases that have begun does not fit."""

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.send_parcel)

    async def send_parcel(self, request: ErrandRequest) -> Weighed:
        await self.step(Errands.pack, request, undo=Errands.unpack)
        raise KeyError(request.parcel)


@workflow.defn(name="errand")
class DicedErrand(ErrandProcess):
    """Ask one gate or the other: code that is not deterministic."""

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.dice)

    async def dice(self, _request: ErrandRequest) -> None:
        await self.gate("approval" if random.random() < 0.5 else "second")


@workflow.defn(name="errand")
class NotedErrand(ErrandProcess):
    """Fetch after a note has come: a process with a message handler of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._notes: list[str] = []

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.send_parcel)

    async def send_parcel(self, request: ErrandRequest) -> Weighed | None:
        await workflow.wait_condition(lambda: bool(self._notes))
        await self.gate("approval", request)
        return await self.step(Errands.fetch, request, undo=Errands.bring_back)

    @workflow.signal
    def note(self, text: str) -> None:
        """Keep a note."""
        self._notes.append(text)
