"""The sample process after careless changes, in a module of its own: the sandbox loads this module for each case."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.batch import BatchInput, BatchResult
    from domain.case import CaseInput, CaseResult
    from domain.rollback import RollbackInput
    from tests.support.errands import ErrandRequest, Errands, Weighed
    from tests.support.sample_processes import ErrandProcess, LocalProcess
    from workflows.rollback import RollbackWorkflow


@workflow.defn(name="errand")
class Reordered(ErrandProcess):
    """It packs before it fetches."""

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.send_parcel)

    async def send_parcel(self, request: ErrandRequest) -> Weighed | None:
        await self.step(Errands.pack, request, undo=Errands.unpack)
        weighed = await self.step(Errands.fetch, request, undo=Errands.bring_back)
        await self.gate("approval", facts=weighed)
        return weighed


@workflow.defn(name="local")
class ReorderedLocal(LocalProcess):
    """It packs before it fetches, both as local steps."""

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.send_parcel)

    async def send_parcel(self, request: ErrandRequest) -> Weighed | None:
        await self.step(Errands.pack, request, undo=Errands.unpack, local=True)
        weighed = await self.step(Errands.fetch, request, undo=Errands.bring_back, local=True)
        await self.gate("approval", facts=weighed)
        return weighed


@workflow.defn(name="errand")
class OtherGate(ErrandProcess):
    """It stops at another gate."""

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.send_parcel)

    async def send_parcel(self, request: ErrandRequest) -> Weighed | None:
        weighed = await self.step(Errands.fetch, request, undo=Errands.bring_back)
        await self.step(Errands.pack, request, undo=Errands.unpack)
        await self.gate("second", facts=weighed)
        return weighed


@workflow.defn(name="errand")
class Ungated(ErrandProcess):
    """It has no gate. The message of the SDK does not say what the code does instead."""

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.send_parcel)

    async def send_parcel(self, request: ErrandRequest) -> Weighed | None:
        weighed = await self.step(Errands.fetch, request, undo=Errands.bring_back)
        await self.step(Errands.pack, request, undo=Errands.unpack)
        await self.step(Errands.send, request, undo=Errands.recall)
        return weighed


@workflow.defn(name="errand")
class Broken(ErrandProcess):
    """It has a defect after its first step."""

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.send_parcel)

    async def send_parcel(self, request: ErrandRequest) -> Weighed | None:
        await self.step(Errands.fetch, request, undo=Errands.bring_back)
        raise ValueError(f"no scales for {request.parcel}")


class Addressed(ErrandRequest):
    """An input with a new field that older cases do not have."""

    address: str


@workflow.defn(name="errand")
class Demanding(ErrandProcess):
    @workflow.run
    async def run(self, case: CaseInput[Addressed]) -> CaseResult:  # type: ignore[override]
        return await self.conduct(case, self.send_parcel)


@workflow.defn(name="errand")
class Guarded(ErrandProcess):
    """Reordered, but for cases that begin with it only: the right way."""

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.send_parcel)

    async def send_parcel(self, request: ErrandRequest) -> Weighed | None:
        if not workflow.patched("pack-first"):
            return await super().send_parcel(request)
        await self.step(Errands.pack, request, undo=Errands.unpack)
        return await self.step(Errands.fetch, request, undo=Errands.bring_back)


@workflow.defn(name="rollback")
class Unasked(RollbackWorkflow):
    """It undoes at once what directors would have to approve."""

    @workflow.run
    async def run(self, rollback: RollbackInput) -> CaseResult:
        return await super().run(rollback)

    async def _ask(self) -> None:
        """Nobody."""


@workflow.defn(name="batch")
class OtherImport:
    """Its step has another name."""

    @workflow.run
    async def run(self, batch: BatchInput) -> BatchResult:
        result: BatchResult = await workflow.execute_activity(
            "import_all", batch, start_to_close_timeout=timedelta(hours=1), result_type=BatchResult
        )
        return result
