"""Hash passwords with a limit on parallel work. One hash costs 50 ms and 64 MB, and any client can cause one."""

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from api.http.problems import unavailable

T = TypeVar("T")

AT_ONCE = max(1, (os.cpu_count() or 1) // 2)
"""Half of the processors. The others answer people who are signed in."""
MOST_WAITING = 20
"""Tries that wait for their turn, about a second of work each. Further clients are asked to try again."""

_workers = ThreadPoolExecutor(AT_ONCE, "hashing")
"""A pool of its own. In the pool that reads files, sign-ins would delay all other work."""
_under_way = 0


@contextmanager
def turn() -> Iterator[None]:
    """Count one sign-in while the block runs. Raises Problem 503 if too many sign-ins are already counted."""
    global _under_way
    if _under_way >= AT_ONCE + MOST_WAITING:
        raise unavailable("Too many people are signing in at the moment. Try again in a moment.")
    _under_way += 1
    try:
        yield
    finally:
        _under_way -= 1


async def off_the_loop(work: Callable[..., T], *args: object) -> T:
    """Hash a password, or check a hash, in a thread of the pool."""
    return await asyncio.get_running_loop().run_in_executor(_workers, work, *args)
