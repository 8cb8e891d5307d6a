"""Find the program that runs a local Temporal server."""

import shutil
import sysconfig
from pathlib import Path

from core.errors import Mistake


def temporal_binary() -> Path:
    """Return the path of the `temporal` program: beside this Python, else on PATH. Raises Mistake if there is none."""
    installed = Path(sysconfig.get_path("scripts")) / "temporal"
    found = installed if installed.exists() else shutil.which("temporal")
    if not found:
        raise Mistake(
            "there is no program `temporal` on PATH: install config/requirements/runtime.txt, or set "
            "TEMPORAL_ADDRESS to the address of a server"
        )
    return Path(found)
