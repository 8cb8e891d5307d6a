"""Find out whether code can run isolated on this machine, by trying it once.

Isolated means as in `sandbox.py`: another user, no network, no other process, and nothing of the disk except programs
and a copy of one folder. Isolation needs Linux 5.12 or later, and a worker that is root with the rights to make
namespaces, or an ordinary user where the machine allows user namespaces.
"""

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from activities.shared import sandbox

WHERE = "see 'Isolation' in docs/processes/deployment.md"
PYTHON = ("bin", "lib", "lib64", "include", "pyvenv.cfg")
"""The files and folders of a Python installation, or of a virtual environment, that a command needs."""
_TRIED_FOR = 20.0
"""The timeout of the trial of isolation, in seconds."""
_LOOKS = "import os, socket; assert os.getpid() < 9 and [n for _, n in socket.if_nameindex()] == ['lo']"
"""The trial command. The command checks that an isolated command sees no other processes and no network."""


def missing() -> str | None:
    """Return why code cannot run isolated here; None if code can run isolated."""
    if sys.platform != "linux":
        return f"{sys.platform} has no namespaces, which only Linux has"
    return _tried()


@cache
def _tried() -> str | None:
    status, told = os.pipe()
    with os.fdopen(status, "rb") as pipe, tempfile.TemporaryDirectory(prefix="holdgate-isolation-") as folder:
        limits = {"seconds": 10, "memory": 1 << 30, "file_size": 1 << 20, "space": 1 << 20}
        order = {"isolate": True, "status": told, "folder": str(Path(folder).resolve()), **limits, **programs()}
        try:
            tried = subprocess.run(
                [sys.executable, "-I", "-S", sandbox.__file__, json.dumps(order), sys.executable, "-I", "-c", _LOOKS],
                cwd="/",
                env=environment(Path("/tmp")),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                pass_fds=(told,),
                timeout=_TRIED_FOR,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        finally:
            os.close(told)
        said = pipe.read(1000) or tried.stderr[-1000:].strip().rpartition(b"\n")[2]
    if tried.returncode:
        return said.decode(errors="replace") or f"a command that was tried ended with {tried.returncode}"
    return None


def cannot_isolate(why: str) -> str:
    """Return a sentence that says why commands cannot be isolated here, and what to do."""
    where = f"Run workers on machines where they can isolate code, {WHERE}"
    return f"This worker cannot isolate untrusted code ({why}). {where}"


def warning(*, accepted: bool) -> str | None:
    """Return a warning for the person who starts a worker, if code cannot be isolated on this machine; otherwise None.

    `accepted` is True if approved code may run without isolation.
    """
    if (why := missing()) is None:
        return None
    what = (
        "run as this user once a release is approved" if accepted else "do not run, and their cases wait for operators"
    )
    return f"this machine cannot isolate untrusted code ({why}): checks of deployments {what}; {WHERE}"


def environment(home: Path) -> dict[str, str]:
    """Return the environment variables of a command: without those of the worker, which may hold secrets."""
    path = os.environ.get("PATH", os.defpath)
    return {
        "PATH": f"{path}:{sys.base_prefix}/bin" if path else f"{sys.base_prefix}/bin",
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
    }


@cache
def programs() -> dict[str, object]:
    """Return where Python and its packages are, if not among the programs of the system: `visible` paths, and `links`.

    The function never returns whole folders such as the home folder, because a virtual environment may be inside a
    checkout or a home folder.
    """
    named = {Path(sys.prefix), Path(sys.base_prefix)}
    folders = {each.resolve() for each in named}
    found = [path for folder in folders for part in PYTHON if (path := folder / part).exists()]
    visible = [path for path in found if not _of_system(path)]
    links = {str(each): str(each.resolve()) for each in named if each.resolve() in folders and each.resolve() != each}
    hop = Path(sys.executable)
    while hop.is_symlink():  # From the Python of a virtual environment to the Python it was made from.
        hop = Path(os.path.normpath(hop.parent / hop.readlink()))
        there = hop.parent.resolve() / hop.name
        if _of_system(there) or any(there.is_relative_to(each) for each in visible):
            continue
        if hop.is_symlink():
            links[str(hop)] = str(hop.readlink())
        elif (folder := hop.parent.parent).resolve() in folders:
            links[str(folder)] = str(folder.resolve())
    return {"visible": sorted(map(str, visible)), "links": sorted(links.items())}


def _of_system(path: Path) -> bool:
    return any(path.is_relative_to(Path("/", each)) for each in sandbox.SYSTEM)
