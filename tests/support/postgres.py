"""A real PostgreSQL server for tests, in a temporary folder, on a free port, removed after the test run."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg

MISSING = "PostgreSQL is not here: apt-get install postgresql"
"""Why tests are skipped when `programs` finds nothing."""

_START_SECONDS = 30.0


class Postgres:
    """A running server. `stop` and `start` make an outage."""

    def __init__(self, programs: Path, folder: Path, port: int) -> None:
        self._programs = programs
        self._folder = folder
        self._port = port
        self._process: subprocess.Popen[str] | None = None

    def url(self, database: str = "postgres") -> str:
        """The URL of one of its databases."""
        return f"postgresql://holdgate@127.0.0.1:{self._port}/{database}"

    def create(self, template: str = "template1") -> str:
        """A new database, copied from another one to which nobody is connected, and its name."""
        name = f"t{uuid4().hex}"
        # To copy the files costs half as much as to write each page to the log, because nothing waits for the disk.
        self._administer(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        return name

    def drop(self, database: str) -> None:
        """Remove a database, also from under those who are connected to it."""
        self._administer(f'DROP DATABASE "{database}" WITH (FORCE)')

    def start(self) -> None:
        """Start the server and return when it answers."""
        log = (self._folder / "log").open("ab")
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data")]
        for setting in (
            "listen_addresses=127.0.0.1",
            f"port={self._port}",
            f"unix_socket_directories={self._folder}",
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "max_connections=100",
        ):
            command += ["-c", setting]
        with log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, text=True, **_as_somebody())
        self._process = process
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text()}") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server, and cut all connections."""
        if self._process is not None:
            self._process.send_signal(2)  # SIGINT: a fast shutdown
            self._process.wait(_START_SECONDS)
            self._process = None

    def pause(self) -> None:
        """Stop all its processes where they are: clients stay connected and get no answer."""
        for process in self._processes():
            process.suspend()

    def resume(self) -> None:
        """Let the paused processes go on."""
        for process in self._processes():
            process.resume()

    def _processes(self) -> list[psutil.Process]:
        assert self._process is not None
        first = psutil.Process(self._process.pid)
        return [first, *first.children(recursive=True)]

    def _administer(self, statement: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`: on PATH, or where Debian hides them; None when they are not here."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


@contextmanager
def server() -> Iterator[Postgres]:
    """A server for the block. Ask `programs` first."""
    found = programs()
    if found is None:
        raise RuntimeError(MISSING)
    with tempfile.TemporaryDirectory(prefix="holdgate-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        owner = _as_somebody()
        if owner:
            os.chown(folder, owner["user"], owner["group"])
        initdb = [str(found / "initdb"), "-D", str(folder / "data"), "-U", "holdgate", "-A", "trust", "--no-sync"]
        made = subprocess.run(
            [*initdb, "-E", "UTF8", "--locale=C.UTF-8"], cwd=folder, capture_output=True, text=True, **owner
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")
        postgres = Postgres(found, folder, _free_port())
        try:
            postgres.start()
            yield postgres
        finally:
            postgres.stop()


def _as_somebody() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: who runs it then, as arguments for `subprocess`."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
