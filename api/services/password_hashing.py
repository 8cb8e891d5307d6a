"""Hashing of passwords, bounded: it costs a processor 50 ms and 64 MB each, and strangers can ask for it."""

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from api.http.problems import unavailable

T = TypeVar("T")

AT_ONCE = max(1, (os.cpu_count() or 1) // 2)
"""Half of the processors: the others answer those who are signed in."""
MOST_WAITING = 20
"""Tries that wait for their turn, about a second of work each way; more are asked to come again."""

_workers = ThreadPoolExecutor(AT_ONCE, "hashing")
"""Not the pool that files are read in: there, sign-ins would keep everybody else waiting."""
_under_way = 0


@contextmanager
def turn() -> Iterator[None]:
    """Around one try to sign in. Raises Problem 503 when too many are under way."""
    global _under_way
    if _under_way >= AT_ONCE + MOST_WAITING:
        raise unavailable("Too many people are signing in at the moment. Try again in a moment.")
    _under_way += 1
    try:
        yield
    finally:
        _under_way -= 1


async def off_the_loop(work: Callable[..., T], *args: object) -> T:
    """Hash, or check against a hash, in a thread of its own pool."""
    return await asyncio.get_running_loop().run_in_executor(_workers, work, *args)
