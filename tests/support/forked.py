"""Run modules of Holdgate as `python -m` does, without the second that the imports of each process take."""

import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support.installed_app import ROOT

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["alembic.command", "api.app", "ops.start_programs", "plugins.workers", __name__])


class Ended(NamedTuple):
    """What a process left behind."""

    returncode: int
    stdout: str
    stderr: str


def run(module: str, *arguments: str, environment: Mapping[str, str], timeout: float = 60) -> Ended:
    """Run a module until its process ends. Raises AssertionError when that takes longer than the timeout in seconds.

    The process is forked from one that has imported most of Holdgate. It has no process beside it, so a test that
    looks for what is left running finds what the module started.
    """
    with tempfile.TemporaryDirectory(prefix="holdgate-forked-") as folder:
        out, err = Path(folder, "stdout"), Path(folder, "stderr")
        process = _CONTEXT.Process(target=_become, args=(module, arguments, dict(environment), str(out), str(err)))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise AssertionError(f"{module} did not end in {timeout} s:\n{out.read_text()}\n{err.read_text()}")
        code = process.exitcode
        process.close()
        assert code is not None
        return Ended(code, out.read_text(), err.read_text())


def _become(module: str, arguments: tuple[str, ...], environment: dict[str, str], out: str, err: str) -> None:
    """Be this module, in the fork."""
    for path, stream in ((out, sys.stdout), (err, sys.stderr)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, stream.fileno())
        os.close(file)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
