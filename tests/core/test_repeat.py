"""The loop of background work: how it pauses and how it ends."""

import asyncio
import logging

from core.repeat import repeat

LOG = logging.getLogger("holdgate.worker")


async def test_a_loop_ends_when_it_is_over_and_does_not_pause_while_there_is_more() -> None:
    over, left = asyncio.Event(), [False, True, True]

    async def step() -> bool:
        if len(left) == 1:
            over.set()
        return left.pop()

    await asyncio.wait_for(repeat(step, lambda _: 60.0, "could not look", log=LOG, over=over), 5)
    assert left == []


async def test_the_pause_depends_on_how_long_the_step_took() -> None:
    over, took = asyncio.Event(), list[float]()

    async def step() -> bool:
        await asyncio.sleep(0.05)
        return False

    def pause(seconds: float) -> float:
        took.append(seconds)
        over.set()
        return 60.0

    await asyncio.wait_for(repeat(step, pause, "could not look", log=LOG, over=over), 5)
    assert len(took) == 1 and took[0] >= 0.05
