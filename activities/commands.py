"""Commands that read or run what somebody else wrote: within limits, and without the worker's environment."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from activities import limited


async def run(
    command: Sequence[str],
    output: IO[bytes],
    *,
    where: Path,
    home: Path,
    seconds: float,
    memory: int,
    file_size: int,
    errors: int = asyncio.subprocess.DEVNULL,
) -> int | None:
    """Run a command and write what it prints to `output`; answers its exit code, None if it did not end in time.

    `seconds` are of the clock and of the processor, sizes in bytes; `home` is its home and holds what it writes for a
    while. Whatever it leaves running ends with it.
    """
    # Nothing of the worker's environment, which holds its secrets.
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
    }
    limits = [str(int(seconds) + 1), str(memory), str(file_size)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", limited.__file__, *limits, *command),
        cwd=where,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(seconds):
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        # The whole group: it may leave children behind.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
