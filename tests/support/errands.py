"""The errands of the processes for tests of the engine: the request, the steps, and their receiver.

The receiver honours idempotency keys as a real one must, counts what took effect, and can be told to fail. The sandbox
does not import this module again for each Workflow.
"""

import asyncio
from collections import defaultdict

from pydantic import BaseModel
from temporalio import activity

from domain.errors import Refused, Trouble
from domain.step import StepCall


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
        await self._linger(call, name)
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
        await self._linger(call, name)
        assert call.undoes is not None
        if self._keys.get(call.undoes) == "done":
            self._keys[call.undoes] = "undone"
            self.effects[call.case_id].append(name)
        return self._keys.setdefault(call.undoes, "void") == "undone"

    async def _linger(self, call: StepCall[ErrandRequest], name: str) -> None:
        while (call.case_id, name) in self.slow and not self.released.is_set():
            activity.heartbeat()
            await asyncio.sleep(0.05)

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
