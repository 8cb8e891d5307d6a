"""Carrying an uploaded file through, on the queue for bulk work."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from temporalio import activity

from workflows.models import BatchInput, BatchResult

BEAT_EVERY = 1.0
"""Seconds between two heartbeats. They go on while a large file is read, before the first row is done."""


class BatchImporter(Protocol):
    """What starts the cases of a batch; may be called again after any interruption."""

    async def run(self, batch: BatchInput, progress: Callable[[int], None]) -> BatchResult: ...


class Imports:
    """Imports of files."""

    def __init__(self, importer: BatchImporter) -> None:
        self._importer = importer

    @activity.defn
    async def import_rows(self, batch: BatchInput) -> BatchResult:
        """Start a case for each valid row. The heartbeat carries how many rows this attempt has done."""
        done = 0

        def progress(rows: int) -> None:
            nonlocal done
            done = rows

        async def beat() -> None:
            while True:
                activity.heartbeat(done)
                await asyncio.sleep(BEAT_EVERY)

        beating = asyncio.create_task(beat())
        try:
            return await self._importer.run(batch, progress)
        finally:
            beating.cancel()
