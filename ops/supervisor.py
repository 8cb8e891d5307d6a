"""Keep a few child processes running: start, watch, restart with backoff, give up, stop in order, end orphans.

Holdgate has its own supervisor because no maintained one fits. honcho ends the run when one child dies. supervisord and
circus continue without a child that keeps dying. None of these supervisors reports the new pid of a restarted child
when the child answers.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

from core.atomic_write import write_private
from store.db.private_files import PRIVATE

log = logging.getLogger(__name__)

T = TypeVar("T")

LAST_LINES = 20
PROBE_EVERY = 0.1
KILLED_WITHIN = 5.0
"""The maximum seconds to wait for the end of a killed process."""


@dataclass(frozen=True)
class Program:
    """The description of one child process that the supervisor keeps running."""

    name: str
    command: tuple[str, ...] | Callable[[], tuple[str, ...]]
    """The command, started without a shell or a wrapper, so that the pid is that of the real process.

    A function is called before each start, so that free ports are chosen again.
    """
    healthy: Callable[[int], Awaitable[bool]]
    """A function that returns True if the process with this pid answers. The supervisor calls this function again until
    it returns True."""
    environment: Mapping[str, str] | None = None
    umask: int = PRIVATE
    """The umask of the process. By default, only the owner can read the files that the program creates."""
    grace: float = 5.0
    """The number of seconds between SIGTERM and SIGKILL when the program is stopped."""


@dataclass(frozen=True)
class Pace:
    """The delays and limits of the supervisor; times are in seconds."""

    first_delay: float = 0.2
    longest_delay: float = 5.0
    settled: float = 30.0
    """A child that ran at least for this time restarts with the first delay."""
    fruitless: int = 5
    """The run ends if a child dies this number of times in a row and never answers in between."""
    deaths: int = 15
    window: float = 180.0
    """The run ends if a child dies `deaths` times within this time, even if it answers in between."""


class KeepsDying(Exception):
    """Raised if a child process ends again and again, or does not answer in time. `lines` has the end of its log."""

    safe_to_log = True

    def __init__(self, name: str, why: str, lines: list[str]) -> None:
        super().__init__(f"{name} {why}")
        self.name = name
        self.lines = lines


class Supervisor:
    """Runs programs and records them in `run.json`, so that a later run can end those of a killed run.

    `on_healthy` is called with the child's name when a new process of it answers for the first time.
    """

    def __init__(self, folder: Path, *, on_healthy: Callable[[str], None], pace: Pace | None = None) -> None:
        self._record = folder / "run.json"
        self._logs = folder / "log"
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._on_healthy = on_healthy
        self._pace = pace or Pace()
        self._children: dict[str, _Child] = {}

    @property
    def names(self) -> set[str]:
        """Return the names of the programs that were started."""
        return set(self._children)

    @property
    def pids(self) -> dict[str, int]:
        """Return the pid of each child process that answers, by name."""
        return {name: child.pid for name, child in self._children.items() if child.healthy.is_set() and child.pid}

    def start(self, program: Program) -> None:
        """Start a program and keep it running. Programs stop in the reverse order."""
        path = self._logs / f"{program.name}.log"
        if path.exists():
            path.replace(path.with_suffix(".log.1"))
        self._children[program.name] = _Child(program, path, self._pace, self._write, self._on_healthy)

    def restart(self, *names: str) -> None:
        """Restart these programs now, without waiting for the delay after a death.

        A restart does not count as a death.
        """
        for name in names:
            self._children[name].restart()

    async def until_healthy(self, *names: str, within: float) -> None:
        """Wait until these child processes answer.

        Raises KeepsDying if one of the processes keeps dying, or does not answer in time.
        """

        async def answer() -> None:
            for name in names:
                await self._children[name].healthy.wait()

        try:
            async with asyncio.timeout(within):
                await self.unless_dying(answer())
        except TimeoutError:
            silent = next(name for name in names if not self._children[name].healthy.is_set())
            raise KeepsDying(
                silent,
                f"did not answer within {within:g} s",
                self._children[silent].last_lines(),
            ) from None

    async def unless_dying(self, wanted: Awaitable[T]) -> T:
        """Wait for `wanted`, which needs running child processes, and return its result.

        Raises KeepsDying if a child process keeps dying.
        """
        future = asyncio.ensure_future(wanted)
        try:
            lives = [child.life for child in self._children.values()]
            await asyncio.wait([future, *lives], return_when=asyncio.FIRST_COMPLETED)
            for life in lives:
                if life.done():
                    life.result()
            return await future
        finally:
            future.cancel()

    async def watch(self) -> None:
        """Run until a child keeps dying. Raises KeepsDying."""
        await self.unless_dying(asyncio.Event().wait())

    async def stop(self) -> None:
        """Stop all child processes, the last started first, and delete the file that records their pids."""
        for child in reversed(self._children.values()):
            await child.stop()
        self._children.clear()
        self._record.unlink(missing_ok=True)

    def _write(self) -> None:
        entries = [child.identity for child in self._children.values() if child.identity]
        write_private(self._record, json.dumps(entries, indent=2))


class _Child:
    """One program and its current process."""

    def __init__(
        self, program: Program, path: Path, pace: Pace, changed: Callable[[], None], on_healthy: Callable[[str], None]
    ) -> None:
        self._program = program
        self._log = path
        self._pace = pace
        self._changed = changed
        self._on_healthy = on_healthy
        self._process: asyncio.subprocess.Process | None = None
        self.identity: dict[str, Any] | None = None
        self.healthy = asyncio.Event()
        self._wanted_anew = asyncio.Event()
        self.life = asyncio.create_task(self._live(), name=program.name)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def _live(self) -> None:
        name, pace = self._program.name, self._pace
        delay, fruitless = pace.first_delay, 0
        deaths: deque[float] = deque(maxlen=pace.deaths)
        while True:
            started = time.monotonic()
            process = await self._spawn()
            probing = asyncio.create_task(self._probe(process.pid))
            try:
                code = await process.wait()
            finally:
                probing.cancel()
            _kill_group(process.pid)
            answered = self.healthy.is_set()
            self.healthy.clear()
            if self._wanted_anew.is_set():
                self._wanted_anew.clear()
                delay, fruitless = pace.first_delay, 0
                continue
            now = time.monotonic()
            deaths.append(now)
            fruitless = 0 if answered else fruitless + 1
            if fruitless >= pace.fruitless:
                raise KeepsDying(
                    name,
                    f"stopped {fruitless} times before it answered",
                    self.last_lines(),
                )
            if len(deaths) == pace.deaths and now - deaths[0] < pace.window:
                raise KeepsDying(
                    name,
                    f"stopped {len(deaths)} times in {now - deaths[0]:.0f} s",
                    self.last_lines(),
                )
            if now - started > pace.settled:
                delay = pace.first_delay
            log.warning("%s (pid %d) %s; it is started again in %.1f s", name, process.pid, _ending(code), delay)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._wanted_anew.wait()
            self._wanted_anew.clear()
            delay = min(delay * 2, pace.longest_delay)

    async def _spawn(self) -> asyncio.subprocess.Process:
        # A session of its own: Ctrl-C in the terminal reaches only the supervisor, which then stops programs in order.
        command = self._program.command
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(command() if callable(command) else command),
                env=self._program.environment,
                umask=self._program.umask,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        self.identity = _identity(self._program.name, self._process.pid)
        self._changed()
        return self._process

    async def _probe(self, pid: int) -> None:
        while True:
            if await self._program.healthy(pid):
                break
            await asyncio.sleep(PROBE_EVERY)
        self.healthy.set()
        self._on_healthy(self._program.name)

    def restart(self) -> None:
        self._wanted_anew.set()
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    async def stop(self) -> None:
        self.life.cancel()
        await asyncio.gather(self.life, return_exceptions=True)
        self.healthy.clear()
        process = self._process
        if process is None:
            return
        with contextlib.suppress(TimeoutError, ProcessLookupError):
            process.terminate()
            async with asyncio.timeout(self._program.grace):
                await process.wait()
        if process.returncode is None:
            log.warning("%s did not stop within %g s and is killed", self._program.name, self._program.grace)
        _kill_group(process.pid)
        await process.wait()

    def last_lines(self) -> list[str]:
        with contextlib.suppress(OSError):
            return self._log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return []


def reap(folder: Path) -> list[str]:
    """End the child processes of a killed supervisor, which `run.json` in `folder` lists.

    Return the ended processes as `name (pid n)`.

    Only processes with the recorded start time and command are ended, because the system may have given the pid to
    another process.
    """
    orphans = list(_orphans(folder / "run.json"))
    for _, process in reversed(orphans):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs([process for _, process in orphans], timeout=KILLED_WITHIN)
    for process in alive:
        _kill_group(process.pid)
    psutil.wait_procs(alive, timeout=KILLED_WITHIN)
    (folder / "run.json").unlink(missing_ok=True)
    return [f"{name} (pid {process.pid})" for name, process in orphans]


def _orphans(record: Path) -> Iterator[tuple[str, psutil.Process]]:
    try:
        entries = json.loads(record.read_text())
    except (OSError, ValueError):  # there was no earlier run, or a power failure cut its file
        return
    for entry in entries:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(entry["pid"])
            if abs(process.create_time() - entry["created"]) < 1 and process.cmdline() == entry["command"]:
                yield entry["name"], process


def _identity(name: str, pid: int) -> dict[str, Any] | None:
    try:
        process = psutil.Process(pid)
        return {"name": name, "pid": pid, "created": process.create_time(), "command": process.cmdline()}
    except psutil.Error:  # the process has ended already
        return None


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _ending(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
