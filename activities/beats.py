"""The sign of life of a step that takes long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio import activity

BEAT_EVERY = 1.0
"""Seconds between two heartbeats."""


@asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """Tell the server that the step is alive, until the block ends."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(BEAT_EVERY)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
