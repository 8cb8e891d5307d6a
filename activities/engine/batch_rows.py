"""Activities of a batch, on the task queue for bulk work."""

from collections.abc import Callable
from typing import Protocol

from temporalio import activity

from activities.shared.heartbeat import beating
from domain.batch import BatchInput, BatchNote, BatchResult


class BatchImporter(Protocol):
    """The interface that starts the cases of a batch.

    After an interruption, each method may be called again with the same arguments.
    """

    async def run(self, batch: BatchInput, progress: Callable[[int], None]) -> BatchResult: ...
    async def note(self, note: BatchNote) -> BatchResult: ...
    async def roll_back(self, note: BatchNote, progress: Callable[[int], None]) -> int: ...


class Imports:
    """The activities of a batch."""

    def __init__(self, importer: BatchImporter) -> None:
        self._importer = importer

    @activity.defn
    async def import_rows(self, batch: BatchInput) -> BatchResult:
        """Start a case for each of the next valid rows.

        Each heartbeat contains the number of rows that this attempt has done.
        """
        progress = _Progress()
        async with beating(lambda: progress.done):
            return await self._importer.run(batch, progress)

    @activity.defn
    async def note_order(self, note: BatchNote) -> BatchResult:
        """Record that a person paused, resumed or cancelled a batch.

        If the batch was cancelled, its rows that were not started are closed.
        """
        return await self._importer.note(note)

    @activity.defn
    async def roll_back_cases(self, note: BatchNote) -> int:
        """Request the rollback of all cases that a cancelled batch has started.

        Return the number of cases whose rollback has not begun yet.
        """
        progress = _Progress()
        async with beating(lambda: progress.done):
            return await self._importer.roll_back(note, progress)


class _Progress:
    def __init__(self) -> None:
        self.done = 0

    def __call__(self, done: int) -> None:
        self.done = done
