"""Checks before programs are started. Each error is one line that says what the user must change."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from core.errors import Mistake

LOCK = "up.lock"


def make_folder(var: Path) -> None:
    """Create the folder HOLDGATE_VAR, or raise Mistake if the folder cannot be created or written."""
    try:
        var.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = var / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Mistake(
            f"the folder {var} cannot be written ({error.strerror}): set HOLDGATE_VAR to a folder that you can write"
        ) from error


@contextmanager
def only_one(var: Path) -> Iterator[None]:
    """Lock the folder until the block ends, because two runs on the same state would damage the state.

    Raises Mistake if another run has the lock.

    The kernel releases the lock when the process ends.
    """
    with (var / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise Mistake(
                f"Holdgate is already running on {var} (pid {file.read().strip() or 'unknown'}): "
                "stop it first, or set HOLDGATE_VAR to another folder"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def check_ports(wanted: Sequence[tuple[str, str, int]]) -> None:
    """Check that each (setting, host, port) is free, and that no port is named twice.

    Raises Mistake for the first port that is not free.
    """
    with ExitStack() as held:
        for setting, host, port in wanted:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
            # Servers set this option too: connections that are closing do not count.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host, port))
                listener.listen()
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    reason, remedy = (
                        f"port {port} is taken",
                        f"stop the program that listens there, or set {setting} to a free port",
                    )
                else:
                    reason, remedy = (
                        f"nothing can listen on {host}:{port} ({error.strerror})",
                        f"change HOLDGATE_HOST or {setting}",
                    )
                raise Mistake(f"{reason}: {remedy}") from error
