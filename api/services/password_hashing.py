"""Hash passwords, only a few at a time. One hash takes 50 ms and 64 MB of memory, and any client can cause a hash."""

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from api.http.problems import unavailable

T = TypeVar("T")

AT_ONCE = max(1, (os.cpu_count() or 1) // 2)
"""The most hashes at the same time: one for every second processor.

The other processors answer people who are signed in.
"""
MOST_WAITING = 20
"""The most sign-ins that wait for a hash, in addition to the `AT_ONCE` whose hashes run.

Further clients get an error (503), and can try again.
"""

_workers = ThreadPoolExecutor(AT_ONCE, "hashing")
"""The threads that compute hashes.

These threads are separate from those that read files, so that sign-ins do not delay other work.
"""
_under_way = 0


@contextmanager
def turn() -> Iterator[None]:
    """Count one sign-in while the block runs. Raises Problem 503 if too many sign-ins are already counted."""
    global _under_way
    if _under_way >= AT_ONCE + MOST_WAITING:
        raise unavailable("Too many passwords are being checked at the moment. Try again in a moment.")
    _under_way += 1
    try:
        yield
    finally:
        _under_way -= 1


async def off_the_loop(work: Callable[..., T], *args: object) -> T:
    """Hash a password, or check a hash, in a thread of the pool."""
    return await asyncio.get_running_loop().run_in_executor(_workers, work, *args)
