"""A process of five steps for tests that kill its worker. Its effects are in a file, which survives a kill."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from domain.case import CaseInput, CaseResult
    from domain.errors import Refused
    from domain.step import StepCall
    from domain.wording import Words
    from workflows.engine.case import CaseWorkflow

NUMBERS = ("one", "two", "three", "four", "five")
POLICY = "".join(f'[five.steps.{name}]\ntime_limit = "2s"\n' for each in NUMBERS for name in (each, f"undo_{each}"))
"""A step whose worker was killed is missed after 2 s and not after 10."""


class FiveRequest(BaseModel):
    """Which step is refused. An odd one has taken effect all the same, as a receiver whose answer is late may have."""

    fails_at: int


class Receiver:
    """Honours keys, and keeps what took effect in its order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._turn() as db:
            db.execute("CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, state TEXT NOT NULL)")
            db.execute("CREATE TABLE IF NOT EXISTS effects (n INTEGER PRIMARY KEY, case_id TEXT, name TEXT)")

    def do(self, call: StepCall[FiveRequest], name: str) -> None:
        """One effect for each key; a key that an undo occupied has none."""
        with self._turn() as db:
            state = db.execute("SELECT state FROM keys WHERE key = ?", (call.key,)).fetchone()
            if state is None:
                db.execute("INSERT INTO keys VALUES (?, 'done')", (call.key,))
                db.execute("INSERT INTO effects (case_id, name) VALUES (?, ?)", (call.case_id, name))
            elif state[0] != "done":
                raise Refused("This step was undone before it was done.")

    def undo(self, call: StepCall[FiveRequest], name: str) -> bool:
        """Undo once; a key never used is voided."""
        with self._turn() as db:
            state = db.execute("SELECT state FROM keys WHERE key = ?", (call.undoes,)).fetchone()
            if state is None:
                db.execute("INSERT INTO keys VALUES (?, 'void')", (call.undoes,))
                return False
            if state[0] == "done":
                db.execute("UPDATE keys SET state = 'undone' WHERE key = ?", (call.undoes,))
                db.execute("INSERT INTO effects (case_id, name) VALUES (?, ?)", (call.case_id, name))
            return bool(state[0] != "void")

    def effects(self, case_id: str) -> list[str]:
        """What took effect, in order."""
        with self._turn() as db:
            return [name for (name,) in db.execute("SELECT name FROM effects WHERE case_id = ? ORDER BY n", (case_id,))]

    @contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=10, isolation_level=None)
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        finally:
            db.close()


def five_steps(receiver: Receiver) -> list[Callable[..., Any]]:
    """The five steps and their undos."""

    def pair(number: int, name: str) -> list[Callable[..., Any]]:
        @activity.defn(name=name)
        async def do(call: StepCall[FiveRequest]) -> None:
            fails = call.input.fails_at == number
            if not fails or number % 2:
                receiver.do(call, name)
            if fails:
                raise Refused(f"Step {name} is not allowed.")

        @activity.defn(name=f"undo_{name}")
        async def undo(call: StepCall[FiveRequest]) -> bool:
            return receiver.undo(call, f"undo_{name}")

        return [do, undo]

    return [each for number, name in enumerate(NUMBERS, 1) for each in pair(number, name)]


class Five:
    """For the Workflow: the names and types of the activities."""

    async def one(self, call: StepCall[FiveRequest]) -> None: ...
    async def undo_one(self, call: StepCall[FiveRequest]) -> None: ...
    async def two(self, call: StepCall[FiveRequest]) -> None: ...
    async def undo_two(self, call: StepCall[FiveRequest]) -> None: ...
    async def three(self, call: StepCall[FiveRequest]) -> None: ...
    async def undo_three(self, call: StepCall[FiveRequest]) -> None: ...
    async def four(self, call: StepCall[FiveRequest]) -> None: ...
    async def undo_four(self, call: StepCall[FiveRequest]) -> None: ...
    async def five(self, call: StepCall[FiveRequest]) -> None: ...
    async def undo_five(self, call: StepCall[FiveRequest]) -> None: ...


for _name in NUMBERS:
    activity.defn(getattr(Five, _name))


@workflow.defn(name="five")
class FiveProcess(CaseWorkflow):
    """Five steps in a row."""

    words = Words(
        summary="Five steps",
        title="Five steps of which {fails_at} fails",
        key_fields=("fails_at",),
        labels={"fails_at": "Fails at"},
        steps={name: f"Do {name}" for name in NUMBERS},
        undos={f"undo_{name}": f"Undo {name}" for name in NUMBERS},
        gates={},
    )

    @workflow.run
    async def run(self, case: CaseInput[FiveRequest]) -> CaseResult:
        return await self.conduct(case, self.walk)

    async def walk(self, request: FiveRequest) -> None:
        await self.step(Five.one, request, undo=Five.undo_one)
        await self.step(Five.two, request, undo=Five.undo_two)
        await self.step(Five.three, request, undo=Five.undo_three)
        await self.step(Five.four, request, undo=Five.undo_four)
        await self.step(Five.five, request, undo=Five.undo_five)
