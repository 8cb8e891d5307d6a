"""Temporary folders that are deleted at their end, or by the next process that needs one if their process was killed.

Scanned or checked files may hold secrets, so no copy may stay on the disk. The process that uses a folder holds a lock
on it. The lock ends with the process, also after `kill -9`, and the next process removes folders without a lock.
"""

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def scratch(home: Path) -> Iterator[Path]:
    """Yield an empty folder below `home` for this block only, and delete the folder at its end."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    door = _opened(home)
    try:
        fcntl.flock(door, fcntl.LOCK_EX)  # A new folder that is not locked yet would look like a leftover.
        _sweep(home)
        folder = Path(tempfile.mkdtemp(dir=home))
        mine = _opened(folder)
        fcntl.flock(mine, fcntl.LOCK_EX)
    finally:
        os.close(door)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        os.close(mine)


async def run_to_the_end(work: Callable[..., T], *args: object) -> T:
    """Run a function in a thread and wait for its end, also when cancelled.

    A thread that kept running would write into a folder that is being removed.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work, *args))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def _sweep(home: Path) -> None:
    for left in home.iterdir():
        try:
            lock = _opened(left)
        except FileNotFoundError:  # Another process has just removed it.
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
