"""Code of the sample process with a defect, as a deployment may bring it."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.case import CaseInput, CaseResult
    from tests.support.sample_processes import ErrandProcess, ErrandRequest, Errands, Weighed


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
class ReorderedErrand(ErrandProcess):
    """Pack first: the history of cases that have begun does not fit."""

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.send_parcel)

    async def send_parcel(self, request: ErrandRequest) -> Weighed:
        await self.step(Errands.pack, request, undo=Errands.unpack)
        raise KeyError(request.parcel)
