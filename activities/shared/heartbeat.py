"""Send heartbeats to Temporal during steps that take long."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from temporalio import activity

BEAT_EVERY = 1.0
"""The number of seconds between two heartbeats."""


@asynccontextmanager
async def beating(detail: Callable[[], object] | None = None) -> AsyncIterator[None]:
    """Send heartbeats, with `detail` if there is one, until the block ends."""

    async def beat() -> None:
        while True:
            activity.heartbeat(*([detail()] if detail else []))
            await asyncio.sleep(BEAT_EVERY)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
