"""Run commands that read or execute untrusted files: within limits, and isolated where possible."""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from activities.shared import isolation, sandbox
from activities.shared.scratch_folder import run_to_the_end
from domain.errors import Trouble

TO_END = 5.0
"""The maximum seconds to wait until the namespaces of a command have ended. Usually this takes milliseconds."""


class NotIsolated(Trouble):
    """Raised if untrusted code was not run, because it could not be isolated."""


@dataclass(frozen=True)
class CommandLimits:
    """The limits of a command. Sizes are in bytes."""

    seconds: float
    """The maximum seconds of time of the command, and of processor time of each process."""
    memory: int
    """The maximum address space of each process."""
    file_size: int
    """The maximum size of each file that the command writes, and of its output."""
    space: int
    """The maximum size of all files that the command writes together. This limit is checked only with isolation."""


async def run(
    command: Sequence[str],
    output: IO[bytes],
    folder: Path,
    limits: CommandLimits,
    *,
    isolated: bool,
    room: Path,
    errors: int = asyncio.subprocess.DEVNULL,
) -> int | None:
    """Run a command in a copy of a folder and write its output to `output`.

    Return the exit code, the negative number of the signal that ended the command, or None after a timeout. When the
    function returns, the copy is deleted and every process of the command has ended; without isolation, only the
    processes in the process group of the command. Without isolation, the copy is in `room`, a folder for this command
    only.

    Raises NotIsolated if `isolated` is True and the sandbox could not isolate the command. If NotIsolated is raised,
    the command was not run.
    """
    if isolated:
        order = await run_to_the_end(_ordered, folder, limits)
        return await _run(command, output, Path("/"), Path("/tmp"), limits, errors, order)
    with tempfile.TemporaryDirectory(dir=room, ignore_cleanup_errors=True) as home:
        copy = Path(home, "work")
        await run_to_the_end(partial(shutil.copytree, folder, copy, symlinks=True))
        return await _run(command, output, copy, Path(home), limits, errors, {})


async def _run(
    command: Sequence[str],
    output: IO[bytes],
    where: Path,
    home: Path,
    limits: CommandLimits,
    errors: int,
    isolate: dict[str, object],
) -> int | None:
    status, told = os.pipe()
    order = {
        "isolate": bool(isolate),
        "seconds": int(limits.seconds) + 1,
        "memory": limits.memory,
        "file_size": limits.file_size,
        "status": told,
        **isolate,
    }
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", sandbox.__file__, json.dumps(order), *command),
            cwd=where,
            env=isolation.environment(home),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
            pass_fds=(told,) if isolate else (),
        )
    except BaseException:
        os.close(status)
        raise
    finally:
        os.close(told)
    code: int | None = None
    try:
        async with asyncio.timeout(limits.seconds):
            code = await process.wait()
    except TimeoutError:
        pass
    finally:
        await _end(process, isolated=bool(isolate))
        wrong = os.read(status, 1000).decode(errors="replace")  # Every process that could write to it has ended.
        os.close(status)
    if wrong:
        raise NotIsolated(f"{isolation.cannot_isolate(wrong)}.")
    return code


async def _end(process: asyncio.subprocess.Process, *, isolated: bool) -> None:
    """End a command and every process that it started; without isolation, only those in its process group."""
    if isolated and process.returncode is None:
        process.terminate()  # Ends the namespaces, and waits until all their processes have ended.
        with suppress(TimeoutError):
            async with asyncio.timeout(TO_END):
                await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _ordered(folder: Path, limits: CommandLimits) -> dict[str, object]:
    """Return the part of the order to `sandbox.py` that says how to isolate the command."""
    page = 4096
    sizes = [path.lstat().st_size for path in folder.rglob("*")]
    copied = sum((size // page + 2) * page for size in sizes)
    return {"folder": str(folder.resolve()), "space": copied + limits.space, **isolation.programs()}
