"""Processes for tests of the engine. Most have three steps, each with its undo, and one gate before the last step."""

import asyncio
from datetime import timedelta

from temporalio import workflow

# The sandbox imports this file again for each Workflow, but not these modules: they are deterministic and large.
with workflow.unsafe.imports_passed_through():
    from activities.approval.request import ApprovalRequest
    from domain.case import CaseInput, CaseResult
    from domain.wording import Words
    from tests.support.errands import ErrandRequest, Errands, Weighed
    from workflows.engine.case import CaseWorkflow


@workflow.defn(name="errand")
class ErrandProcess(CaseWorkflow):
    """Fetch, pack, ask, send."""

    words = Words(
        summary="Run an errand",
        title="Send {parcel}",
        key_fields=("parcel", "value"),
        labels={"parcel": "Parcel", "value": "Value"},
        steps={
            "fetch": "Fetch {parcel}",
            "pack": "Pack {parcel}",
            "send": "Send {parcel}",
        },
        undos={
            "bring_back": "Bring back {parcel}",
            "unpack": "Unpack {parcel}",
            "recall": "Recall {parcel}",
        },
        gates={"approval": "May {parcel} be sent?", "second": "Really?"},
    )

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.send_parcel)

    async def send_parcel(self, request: ErrandRequest) -> Weighed | None:
        weighed = await self.step(Errands.fetch, request, undo=Errands.bring_back)
        await self.step(Errands.pack, request, undo=Errands.unpack)
        request = await self.gate("approval", request, facts=weighed)
        await self.gate("second", facts=weighed)
        await self.step(Errands.send, request, undo=Errands.recall)
        return weighed


@workflow.defn(name="local")
class LocalProcess(CaseWorkflow):
    """Fetch, pack, ask, send: the errand with local steps."""

    words = ErrandProcess.words

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.send_parcel)

    async def send_parcel(self, request: ErrandRequest) -> Weighed | None:
        weighed = await self.step(Errands.fetch, request, undo=Errands.bring_back, local=True)
        await self.step(Errands.pack, request, undo=Errands.unpack, local=True)
        request = await self.gate("approval", request, facts=weighed)
        await self.gate("second", facts=weighed)
        await self.step(Errands.send, request, undo=Errands.recall, local=True)
        return weighed


@workflow.defn(name="fork")
class ForkProcess(CaseWorkflow):
    """Ask, then fetch or pack by the value, ask again, and send without an undo; all steps are local."""

    words = ErrandProcess.words

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.choose)

    async def choose(self, request: ErrandRequest) -> None:
        request = await self.gate("approval", request)
        if request.value < 500:
            await self.step(Errands.fetch, request, undo=Errands.bring_back, local=True)
        else:
            await self.step(Errands.pack, request, undo=Errands.unpack, local=True)
        await self.gate("second")
        await self.step(Errands.send, request, local=True)


@workflow.defn(name="pair")
class PairProcess(CaseWorkflow):
    """Fetch, ask two at once, send."""

    words = ErrandProcess.words

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.send_parcel)

    async def send_parcel(self, request: ErrandRequest) -> Weighed | None:
        weighed = await self.step(Errands.fetch, request, undo=Errands.bring_back)
        await self.gates("approval", "second", facts=weighed, first_no_ends_all=request.parcel != "wait for all")
        await self.step(Errands.send, request, undo=Errands.recall)
        return weighed


@workflow.defn(name="siblings")
class SiblingsProcess(CaseWorkflow):
    """Have two other cases approved side by side, beside an errand, then send."""

    words = ErrandProcess.words

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.ask_twice)

    async def ask_twice(self, request: ErrandRequest) -> None:
        await self.step(Errands.fetch, request, undo=Errands.bring_back)
        first, second = (ApprovalRequest(title=title, candidates=["managers"]) for title in ("first", "second"))
        await asyncio.gather(
            self.case("first opinion", "approval", first),
            self.case("second opinion", "approval", second),
            self.step(Errands.pack, request, undo=Errands.unpack, heartbeat=timedelta(seconds=5)),
        )
        await self.step(Errands.send, request, undo=Errands.recall)


@workflow.defn(name="asking")
class AskingProcess(CaseWorkflow):
    """Fetch, have another case approved, send."""

    words = ErrandProcess.words

    @workflow.run
    async def run(self, case: CaseInput[ErrandRequest]) -> CaseResult:
        return await self.conduct(case, self.ask_and_send)

    async def ask_and_send(self, request: ErrandRequest) -> None:
        await self.step(Errands.fetch, request, undo=Errands.bring_back)
        wanted = ApprovalRequest(title=f"May {request.parcel} be sent?", candidates=["managers"])
        await self.case("second opinion", "approval", wanted)
        await self.step(Errands.send, request, undo=Errands.recall)
