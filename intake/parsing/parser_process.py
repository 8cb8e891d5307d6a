"""Parser processes: each reads one file under limits and then ends.

`python -m intake.parsing.parser_process FD FOLDER...` is the template. The template imports everything once and forks a
parser for each file, which takes milliseconds. The environment of the template holds no secrets. A parser opens neither
the database nor Temporal: it asks over its socket, and `intake/parsing/parsing_pool.py` answers. FOLDERs hold plugins.

The template ends with the gateway or worker that started it, and a parser ends with its template.
"""

import ctypes
import gc
import importlib
import json
import os
import pickle
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.exception_places import trace

HEADER = struct.Struct("!QB")
"""The format of the header of each frame: the number of bytes of the payload, and the kind of the frame."""
QUESTION, ANSWER, REFUSED, RAW = range(4)
"""Kinds of frames of a parser: a question, a result as JSON, a refusal, a result as bytes."""
OUT_OF_MEMORY, DEFECT = "out_of_memory", "defect"
"""Kinds of refusals other than the errors that reading a file raises."""
FILES_OPEN = 32


def send(sock: socket.socket, kind: int, payload: bytes) -> None:
    """Send one frame, which is a header with the kind and length, and the payload."""
    sock.sendall(HEADER.pack(len(payload), kind))
    sock.sendall(payload)


def receive(sock: socket.socket) -> bytes:
    """Receive the payload of one frame. Raises EOFError when the connection is closed."""
    size, _ = HEADER.unpack(_exactly(sock, HEADER.size))
    return _exactly(sock, size)


def _exactly(sock: socket.socket, size: int) -> bytes:
    received = bytearray(size)
    view, place = memoryview(received), 0
    while place < size:
        if not (count := sock.recv_into(view[place:])):
            raise EOFError
        place += count
    return bytes(received)


# ------------------------------------------------------------------------------------------------------------ a parser


def parse(sock: socket.socket) -> None:
    """Read one file: receive the order and the bytes, send questions and the result."""
    from intake.mapping.column_mapping import WrongMapping
    from intake.parsing import parse_jobs
    from intake.tables.table import UnreadableFile
    from workflows.registry import UnknownProcess

    def ask(question: str, value: Any) -> Any:
        send(sock, QUESTION, json.dumps([question, value]).encode())
        # This comes from the process that started the parser, which is trusted. The other direction is JSON only.
        return pickle.loads(receive(sock))

    order: dict[str, Any] = pickle.loads(receive(sock))
    data = receive(sock)
    limit(**order["limits"])
    try:
        result = getattr(parse_jobs, order["job"])(data, ask, **order["arguments"])
        if isinstance(result, bytes):
            send(sock, RAW, result)
        else:
            send(sock, ANSWER, json.dumps(result).encode())
    except UnreadableFile as wrong:
        _refuse(sock, "unreadable", kind=wrong.kind, message=wrong.said, line=wrong.line)
    except WrongMapping as wrong:
        _refuse(sock, "mapping", problems=[each.model_dump(mode="json") for each in wrong.problems])
    except UnknownProcess as wrong:
        _refuse(sock, "process", message=str(wrong))
    except MemoryError:
        _refuse(sock, OUT_OF_MEMORY)


def _refuse(sock: socket.socket, what: str, **about: Any) -> None:
    send(sock, REFUSED, json.dumps({"what": what, **about}).encode())


def limit(cpu_seconds: int, memory: int, niceness: int) -> None:
    """Limit the resources of this process.

    If the process uses more than `cpu_seconds`, the system ends the process with SIGXCPU. If the process needs more
    than `memory` (limited only on Linux), Python raises MemoryError.

    `memory` is in bytes, in addition to the memory of the template.
    """
    os.nice(niceness)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES_OPEN, FILES_OPEN))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
    if sys.platform == "linux":  # other systems do not enforce this limit
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _end_with(parent: int) -> None:
    """Make the operating system end this process when its parent process ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


# -------------------------------------------------------------------------------------------------------- the template


def main(control: socket.socket, folders: Sequence[Path]) -> None:
    """Fork a parser for each pair of sockets that arrives on `control`: one for frames, one to report the end of the
    parser.
    """
    _load(folders)
    ended_r, ended_w = socket.socketpair()
    for each in (ended_r, ended_w):
        each.setblocking(False)
    signal.set_wakeup_fd(ended_w.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent process
    parsers: dict[int, tuple[socket.socket, socket.socket]] = {}
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(ended_r, select.POLLIN)
    gone = getattr(select, "POLLRDHUP", select.POLLHUP)
    while True:
        for fd, _event in poll.poll():
            if fd == control.fileno():
                _, fds, _, _ = socket.recv_fds(control, 1, 2)
                if not fds:
                    return
                talk, end = (socket.socket(fileno=each) for each in fds)
                pid = _fork(talk, [control, ended_r, ended_w, end, *(each for two in parsers.values() for each in two)])
                parsers[pid] = (talk, end)
                poll.register(talk, gone)
            elif fd == ended_r.fileno():
                ended_r.recv(4096)
            else:  # the caller has closed the connection
                for pid, (talk, _) in parsers.items():
                    if talk.fileno() == fd:
                        os.kill(pid, signal.SIGKILL)
                poll.unregister(fd)
        for pid, status in _ended(parsers):
            talk, end = parsers.pop(pid)
            with suppress(KeyError):  # the parser was killed, as the caller had closed the connection
                poll.unregister(talk)
            with suppress(OSError):
                end.sendall(str(os.waitstatus_to_exitcode(status)).encode())
            talk.close()
            end.close()


def _fork(talk: socket.socket, others: Sequence[socket.socket]) -> int:
    template = os.getpid()
    if pid := os.fork():
        return pid
    try:
        _end_with(template)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in others:
            each.close()
        parse(talk)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the gateway has gone
    except BaseException as defect:
        with suppress(OSError):
            _refuse(talk, DEFECT, message=trace(defect))
    finally:
        os._exit(0)


def _ended(parsers: Any) -> list[tuple[int, int]]:
    found = []
    for pid in list(parsers):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            found.append((pid, status))
    return found


def _load(folders: Sequence[Path]) -> None:
    """Import all modules that parsers need, also of plugins, which the plugin loader of the parent process has checked
    before.
    """
    gc.disable()  # nearly all that imports make stays
    from intake.parsing import parse_jobs
    from workflows.registry import register

    for folder in folders:
        if str(folder.parent) not in sys.path:
            sys.path.append(str(folder.parent))
        register(replace(importlib.import_module(folder.name).PROCESS, folder=folder))
    parse_jobs.warm_up()
    gc.enable()
    gc.collect()
    gc.freeze()  # keeps a parser's garbage collection from copying the template's memory


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), [Path(each) for each in sys.argv[2:]])
