"""The input and the steps of `my_process`, each step with its undo. Replace `Book` by your real receiver."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path

from pydantic import ConfigDict, Field
from temporalio import activity

from plugins import Day, Message, Refused, StepCall


class MyProcessRequest(Message):
    """The input of a case: the body of an HTTP request, or a row of a CSV.

    The requester reads the errors of this model.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    purpose: str = Field(min_length=1, max_length=200, description="The purpose.", examples=["Train to Leeds"])
    amount: Decimal = Field(
        gt=0, le=100_000, max_digits=8, decimal_places=2, description="The amount.", examples=["184.50"]
    )
    needed_by: Day = Field(description="The day when you need the amount.", examples=["2031-03-17"])
    note: str = Field(default="", max_length=500, description="A note for the reviewers.")


class Book:
    """The receiver of the effects: an SQLite file with one row for each key.

    A key takes effect once, even if a call is repeated. Your own service must do the same: store the key with the
    effect, in one transaction or as an idempotency key.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "book.db"
        with self._writing() as db:
            db.execute("CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, state TEXT, said TEXT)")

    def do(self, key: str, said: str) -> None:
        """Carry out the effect of this key once. Raises Refused if the undo of the key came first."""
        with self._writing() as db:
            db.execute("INSERT INTO entries VALUES (?, 'done', ?) ON CONFLICT DO NOTHING", (key, said))
            (state,) = db.execute("SELECT state FROM entries WHERE key = ?", (key,)).fetchone()
        if state != "done":
            raise Refused("This step was undone before it took effect.")

    def undo(self, undoes: str) -> bool:
        """Undo the effect of a key, or, if the key was not used, make the key void.

        Return True if the key had an effect.
        """
        with self._writing() as db:
            db.execute("INSERT INTO entries VALUES (?, 'void', '') ON CONFLICT DO NOTHING", (undoes,))
            db.execute("UPDATE entries SET state = 'undone' WHERE key = ? AND state = 'done'", (undoes,))
            (state,) = db.execute("SELECT state FROM entries WHERE key = ?", (undoes,)).fetchone()
        return bool(state == "undone")

    def entries(self) -> dict[str, str]:
        """Return the state of each key: `done`, `undone` or `void`."""
        with self._writing() as db:
            return dict(db.execute("SELECT key, state FROM entries"))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction, which is committed when the block ends without an error."""
        with closing(sqlite3.connect(self._path, timeout=5, isolation_level="IMMEDIATE")) as db, db:
            yield db


class MyProcessSteps:
    """The steps of `my_process`. Names of activities are unique among all processes."""

    def __init__(self, book: Book) -> None:
        self._book = book

    @activity.defn
    async def reserve_my_process(self, call: StepCall[MyProcessRequest]) -> None:
        """Set the amount aside."""
        await asyncio.to_thread(self._book.do, call.key, f"reserved {call.input.amount}")

    @activity.defn
    async def free_my_process(self, call: StepCall[MyProcessRequest]) -> bool:
        """Undo `reserve_my_process`."""
        return await asyncio.to_thread(self._book.undo, call.undone)

    @activity.defn
    async def confirm_my_process(self, call: StepCall[MyProcessRequest]) -> None:
        """Book the amount for good."""
        await asyncio.to_thread(self._book.do, call.key, f"confirmed {call.input.amount}")

    @activity.defn
    async def withdraw_my_process(self, call: StepCall[MyProcessRequest]) -> bool:
        """Undo `confirm_my_process`."""
        return await asyncio.to_thread(self._book.undo, call.undone)
