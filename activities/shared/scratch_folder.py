"""Folders for a while, which do not outlive their process, whatever ends it.

What is scanned or checked may hold secrets, so no copy may lie about. A folder is locked by the process that uses it.
The lock goes with the process, `kill -9` included, and the next one that wants a folder removes those that nobody has
locked.
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
    """An empty folder below `home`, which only these have to itself; gone when the block ends."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    door = _opened(home)
    try:
        fcntl.flock(door, fcntl.LOCK_EX)  # a folder that was made and is not locked yet looks as if it was left behind
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


async def to_the_end(work: Callable[..., T], *args: object) -> T:
    """Do it in a thread, and wait for its end even when cancelled: a thread that went on would write into a folder that
    is being removed."""
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
        except FileNotFoundError:  # its process has just removed it
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
