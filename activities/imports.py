"""Carrying an uploaded file through, on the queue for bulk work."""

from collections.abc import Callable
from typing import Protocol

from temporalio import activity

from activities.beats import beating
from workflows.models import BatchInput, BatchResult


class BatchImporter(Protocol):
    """What starts the cases of a batch; may be called again after any interruption."""

    async def run(self, batch: BatchInput, progress: Callable[[int], None]) -> BatchResult: ...


class Imports:
    """Imports of files."""

    def __init__(self, importer: BatchImporter) -> None:
        self._importer = importer

    @activity.defn
    async def import_rows(self, batch: BatchInput) -> BatchResult:
        """Start a case for each valid row. The heartbeat carries how many rows this attempt has done.

        It goes on while a large file is read, before the first row is done.
        """
        done = 0

        def progress(rows: int) -> None:
            nonlocal done
            done = rows

        async with beating(lambda: done):
            return await self._importer.run(batch, progress)
