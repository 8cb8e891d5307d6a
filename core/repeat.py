"""Repeat a piece of background work until it is told to end. Worker jobs and live updates use this loop."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress


async def repeat(
    step: Callable[[], Awaitable[bool]],
    pause: Callable[[float], float],
    failed: str,
    *,
    log: logging.Logger,
    over: asyncio.Event | None = None,
) -> None:
    """Repeat a step until `over` is set, or until cancelled. A failure is logged as `failed`, and tried again.

    `step` returns True if there is more to do at once. If `step` returns False or fails, `pause` returns the seconds to
    wait, given the seconds that the step took.
    """
    over = over or asyncio.Event()
    while not over.is_set():
        began, more = time.monotonic(), False
        try:
            more = await step()
        except Exception:  # any error is logged, and the next round tries again
            log.exception(failed)
        if not more:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause(time.monotonic() - began)):
                    await over.wait()
