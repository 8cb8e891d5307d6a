"""A process for tests of the engine: three steps, each with its undo, and one gate before the last step.

The receiver honours idempotency keys as a real one must, counts what took effect, and can be told to fail.
"""

import asyncio
from collections import defaultdict
from datetime import timedelta

from pydantic import BaseModel
from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from activities.approval.request import ApprovalRequest
    from domain.case import CaseInput, CaseResult
    from domain.errors import Refused, Trouble
    from domain.step import StepCall
    from domain.wording import Words
    from workflows.engine.case import CaseWorkflow


class ErrandRequest(BaseModel):
    """What to fetch, and how much it is worth."""

    parcel: str = "a parcel"
    value: int = 100


class Weighed(BaseModel):
    """Facts for the gate."""

    grams: int


class DeskClosed(Trouble):
    """Nobody is at the desk of an errand."""


class Receiver:
    """Where the errands take effect."""

    def __init__(self) -> None:
        self.effects: defaultdict[str, list[str]] = defaultdict(list)
        """What took effect, in order, by case."""
        self.sent: defaultdict[str, list[int]] = defaultdict(list)
        """The values that were sent, by case."""
        self.tried: defaultdict[str, list[str]] = defaultdict(list)
        self.broken: set[tuple[str, str]] = set()
        """The cases and steps that fail until a test removes them from the set."""
        self.refusing: set[tuple[str, str]] = set()
        self.buggy: set[tuple[str, str]] = set()
        """Case and errand that fail as only a defect does."""
        self.deaf: set[tuple[str, str]] = set()
        """Case and errand that take effect, and whose answer is lost."""
        self.slow: set[tuple[str, str]] = set()
        """Case and errand that go on until they are cancelled or released."""
        self.hanging: set[tuple[str, str]] = set()
        """Case and errand that take effect, and then never end by themselves."""
        self.released = asyncio.Event()
        self._keys: dict[str, str] = {}

    async def do(self, call: StepCall[ErrandRequest], name: str) -> None:
        """One errand: at most one effect per key; a key that was undone before it was used stays unused."""
        self.tried[call.case_id].append(name)
        self._fail(call, name)
        if (call.case_id, name) in self.slow:
            while not self.released.is_set():
                activity.heartbeat()
                await asyncio.sleep(0.05)
        if self._keys.get(call.key) == "void":
            raise Refused(f"The errand {name} was undone before it was done.")
        if call.key not in self._keys:
            self._keys[call.key] = "done"
            self.effects[call.case_id].append(name)
            if name == "send":
                self.sent[call.case_id].append(call.input.value)
        if (call.case_id, name) in self.deaf:
            raise TimeoutError
        if (call.case_id, name) in self.hanging:
            await asyncio.Event().wait()

    async def undo(self, call: StepCall[ErrandRequest], name: str) -> bool:
        """Undo one errand once; a key never used is voided. Answers whether there was anything."""
        self._fail(call, name)
        assert call.undoes is not None
        if self._keys.get(call.undoes) == "done":
            self._keys[call.undoes] = "undone"
            self.effects[call.case_id].append(name)
        return self._keys.setdefault(call.undoes, "void") == "undone"

    def _fail(self, call: StepCall[ErrandRequest], name: str) -> None:
        if (call.case_id, name) in self.refusing:
            raise Refused(f"The {name} desk is closed for good.")
        if (call.case_id, name) in self.buggy:
            raise KeyError("shelf")
        if (call.case_id, name) in self.broken:
            raise DeskClosed(f"The {name} desk does not answer.")


class Errands:
    """The steps of the test process."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    @activity.defn
    async def fetch(self, call: StepCall[ErrandRequest]) -> Weighed:
        await self._receiver.do(call, "fetch")
        return Weighed(grams=call.input.value * 10)

    @activity.defn
    async def bring_back(self, call: StepCall[ErrandRequest]) -> bool:
        return await self._receiver.undo(call, "bring_back")

    @activity.defn
    async def pack(self, call: StepCall[ErrandRequest]) -> None:
        await self._receiver.do(call, "pack")

    @activity.defn
    async def unpack(self, call: StepCall[ErrandRequest]) -> bool:
        return await self._receiver.undo(call, "unpack")

    @activity.defn
    async def send(self, call: StepCall[ErrandRequest]) -> None:
        await self._receiver.do(call, "send")

    @activity.defn
    async def recall(self, call: StepCall[ErrandRequest]) -> bool:
        return await self._receiver.undo(call, "recall")


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
