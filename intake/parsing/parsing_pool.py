"""Run parser processes (`intake/parsing/parser_process.py`), and answer their questions.

There are two queues, so that small files do not wait for large ones. In each queue people take turns, so that the sixth
file of one person comes after the first file of another.
"""

import asyncio
import atexit
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from domain.base import FieldProblem
from intake.mapping.column_mapping import WrongMapping
from intake.parsing.parser_process import ANSWER, DEFECT, HEADER, OUT_OF_MEMORY, QUESTION, RAW
from intake.tables.table import UnreadableFile
from workflows.registry import PROCESSES, UnknownProcess

SMALL = 128 * 1024
"""The maximum number of bytes of a file that goes into the queue of small files."""
PATIENCE = 1800.0
"""The number of seconds after which a parser process that has not ended is stopped."""
MOST_WAITING, MOST_WAITING_OF_ONE = 200, 20
"""How many files can wait in a queue: files of all people, and files of one person."""

_ROOT = Path(__file__).parents[2]
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH")
"""The environment variables that a parser gets. Other environment variables can hold secrets."""

Answers = Callable[[str, Any], Awaitable[Any]]
"""A function that answers the questions of a parser. The function gets the name of a question and its value."""


class ParserLimits(NamedTuple):
    """The resources that one parser process can use."""

    cpu_seconds: int
    memory: int
    """The number of bytes of memory that a parser can use, in addition to the memory of the loaded code."""
    niceness: int


LARGE = ParserLimits(cpu_seconds=180, memory=768 * 1024**2, niceness=10)
"""The limits for a file in the queue of large files. 100,000 rows take about 15 seconds.

`niceness` gives pages and decisions a higher priority than such a file.
"""
QUICK = LARGE._replace(cpu_seconds=10, niceness=0)
"""The limits for a file in the queue of small files.

A file that needs more time is read again in the queue of large files.
"""


class LineTooLong(Exception):
    """Raised if too many files wait to be read. `str()` is a sentence for the person whose file is refused."""


class ParserEnded(Exception):
    """Raised if something outside Holdgate has ended the parser process twice, or if reading takes longer than half an
    hour.
    """


class ParserFailed(RuntimeError):
    """Raised if the code of a parser has a defect. The text names the error and its places, but not its message."""

    safe_to_log = True


class _Ended(Exception):
    """Raised if a parser process has ended without a result.

    The exit code is negative if a signal ended the process, and None if the exit code is unknown.
    """

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class ParsingPool:
    """Runs parser processes.

    At the same time, the pool runs one parser fewer than the machine has processors (at least one), and one more parser
    for small files.
    """

    def __init__(
        self, processes: Mapping[str, Any] = PROCESSES, *, large: ParserLimits = LARGE, quick: ParserLimits = QUICK
    ) -> None:
        self._processes = processes
        most = max(1, len(os.sched_getaffinity(0)) - 1 if hasattr(os, "sched_getaffinity") else 1)
        self._large, self._small = _Line(most, large), _Line(1, quick)

    async def run(
        self,
        job: str,
        data: bytes,
        by: str,
        arguments: Mapping[str, Any],
        answers: Answers | None = None,
        again: Callable[[], Awaitable[None]] | None = None,
    ) -> Any:
        """Run a job of `intake.parsing.parse_jobs` with the file of the person `by`, and return its result.

        `again` undoes the effects of the answers, before the job starts again. Raises the errors of the job,
        UnreadableFile if the file needs too much time or memory, LineTooLong, ParserEnded, and the errors of `answers`.
        """
        lines = [self._small, self._large] if len(data) <= SMALL else [self._large]
        killed = False
        while True:
            line = lines[0]
            try:
                async with line.turn(by):
                    return await self._once(job, data, answers or _no_answer, line.limits, arguments)
            except _Ended as ended:
                if ended.exit_code == -signal.SIGXCPU:
                    if len(lines) == 1:
                        raise _beyond(f"more than {line.limits.cpu_seconds} seconds of the processor") from ended
                    lines.pop(0)
                elif ended.exit_code in _CRASHES:
                    raise _beyond("more memory than is allowed, or stopped the program that reads files") from ended
                elif killed:
                    raise ParserEnded("reading the file was interrupted twice: send the file again") from ended
                else:
                    killed = True
            if again is not None:
                await again()

    async def _once(
        self, job: str, data: bytes, answers: Answers, limits: ParserLimits, arguments: Mapping[str, Any]
    ) -> Any:
        parser = start_template(self._processes).fork()
        try:
            async with asyncio.timeout(PATIENCE) as patience:
                order = {"job": job, "arguments": arguments, "limits": limits._asdict()}
                await parser.send(pickle.dumps(order), data)
                while True:
                    kind, payload = await parser.receive()
                    if kind != QUESTION:
                        return payload if kind == RAW else _result(kind, json.loads(payload))
                    question, value = json.loads(payload)
                    await parser.send(pickle.dumps(await answers(question, value)))
        except TimeoutError as late:
            if not patience.expired():
                raise
            raise ParserEnded("reading the file takes too long at the moment: send the file again later") from late
        finally:
            parser.close()


async def _no_answer(question: str, _value: Any) -> Any:
    raise LookupError(f"a parser asks for '{question}'")


_CRASHES = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE)


def _beyond(what: str) -> UnreadableFile:
    return UnreadableFile("limit", f"reading this file takes {what}: split the file, or save it as 'CSV UTF-8'")


def _result(kind: int, said: Any) -> Any:
    if kind == ANSWER:
        return said
    match said["what"]:
        case "unreadable":
            raise UnreadableFile(said["kind"], said["message"], said["line"])
        case "mapping":
            raise WrongMapping([FieldProblem.model_validate(each) for each in said["problems"]])
        case "process":
            raise UnknownProcess(said["message"])
        case what if what == OUT_OF_MEMORY:
            raise _beyond("more memory than is allowed")
        case what if what == DEFECT:
            raise ParserFailed(f"a parser failed:\n{said['message']}")
    raise RuntimeError(f"a parser says {said['what']!r}")


# ------------------------------------------------------------------------------------------------------------ the lines


class _Line:
    """A queue that lets a few files be read at the same time.

    The next file is one of the person of whom the fewest files are being read; of several such people, the one whose
    last turn was the longest time ago.
    """

    def __init__(self, most: int, limits: ParserLimits) -> None:
        self.limits = limits
        self._most = most
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._running: Counter[str] = Counter()
        self._served: dict[str, int] = {}
        self._turns = 0

    @asynccontextmanager
    async def turn(self, who: str) -> AsyncIterator[None]:
        """Wait until a file of the person `who` may be read. Raises LineTooLong if too many files wait."""
        if self._running.total() >= self._most:
            await self._wait(who)
        else:
            self._serve(who)
        try:
            yield
        finally:
            self._running[who] -= 1
            self._next()

    async def _wait(self, who: str) -> None:
        waiting = sum(map(len, self._waiting.values()))
        own = self._waiting.setdefault(who, deque())
        if len(own) >= MOST_WAITING_OF_ONE or waiting >= MOST_WAITING:
            files = f"{len(own)} of your files" if len(own) >= MOST_WAITING_OF_ONE else f"{waiting} files"
            raise LineTooLong(f"{files} wait to be read: wait until they are read, then send this file again")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        own.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the turn came in this moment
                self._running[who] -= 1
            self._next()
            raise

    def _serve(self, who: str) -> None:
        self._turns += 1
        self._running[who] += 1
        self._served[who] = self._turns

    def _next(self) -> None:
        waiting = {who: deque(turn for turn in turns if not turn.done()) for who, turns in self._waiting.items()}
        self._waiting = {who: turns for who, turns in waiting.items() if turns}
        self._running = +self._running
        if not self._waiting:
            self._served = {who: self._served[who] for who in self._running}
        elif self._running.total() < self._most:
            who = min(self._waiting, key=lambda each: (self._running[each], self._served.get(each, 0)))
            self._serve(who)
            self._waiting[who].popleft().set_result(None)


# ---------------------------------------------------------------------------------------------------------- the parsers


class _Parser:
    """The connection to one parser process."""

    def __init__(self, template: "_Template", talk: socket.socket, end: socket.socket) -> None:
        self._template, self._talk, self._end = template, talk, end
        for each in (talk, end):
            each.setblocking(False)
        self._loop = asyncio.get_running_loop()

    async def send(self, *payloads: bytes) -> None:
        """Send frames to the parser. Raises _Ended if the parser has ended."""
        try:
            for payload in payloads:
                await self._loop.sock_sendall(self._talk, HEADER.pack(len(payload), 0))
                await self._loop.sock_sendall(self._talk, payload)
        except ConnectionError as gone:
            raise _Ended(await self._exit_code()) from gone

    async def receive(self) -> tuple[int, bytes]:
        """Return the kind and payload of the next frame. Raises _Ended if the parser has ended."""
        try:
            size, kind = HEADER.unpack(await self._exactly(HEADER.size))
            return kind, await self._exactly(size)
        except (EOFError, ConnectionError) as gone:
            raise _Ended(await self._exit_code()) from gone

    async def _exactly(self, size: int) -> bytes:
        received = bytearray(size)
        view, place = memoryview(received), 0
        while place < size:
            if not (count := await self._loop.sock_recv_into(self._talk, view[place:])):
                raise EOFError
            place += count
        return bytes(received)

    async def _exit_code(self) -> int | None:
        # Negative for a signal; None when the template has ended with the parser.
        with suppress(ConnectionError):
            said = await self._loop.sock_recv(self._end, 16)
            if said:
                return int(said)
        self._template.stop()
        return None

    def close(self) -> None:
        """Close the connection. The template kills a parser that still runs."""
        self._talk.close()
        self._end.close()


@dataclass
class _Template:
    """The connection to the template, the process that forks parsers.

    All event loops of this process share one template.
    """

    process: "subprocess.Popen[bytes]"
    control: socket.socket

    @classmethod
    def start(cls, folders: Sequence[Path]) -> "_Template":
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "intake.parsing.parser_process", str(theirs.fileno()), *map(str, folders)],
                cwd=_ROOT,
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C must not end the template; it ends with this process
            )
        return cls(process, ours)

    def fork(self) -> _Parser:
        """Fork a parser, as soon as the template is ready."""
        (ours, theirs), (end, told) = socket.socketpair(), socket.socketpair()
        parser = _Parser(self, ours, end)
        # An error here means that the template has just ended; the caller sees it as the end of the parser.
        with theirs, told, suppress(ConnectionError):
            socket.send_fds(self.control, [b"1"], [theirs.fileno(), told.fileno()])
        return parser

    def stop(self) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()


_templates: dict[tuple[Path, ...], _Template] = {}


def start_template(processes: Mapping[str, Any] = PROCESSES) -> _Template:
    """Start the template for parsers of these processes, unless it runs.

    The template needs seconds to import all code, so it is started before the first file arrives.
    """
    folders = tuple(sorted(process.folder for process in processes.values() if process.folder))
    if (running := _templates.get(folders)) and running.process.poll() is not None:
        _templates.pop(folders).stop()
    if folders not in _templates:
        _templates[folders] = _Template.start(folders)
    return _templates[folders]


@atexit.register
def _stop_templates() -> None:
    while _templates:
        _templates.popitem()[1].stop()
