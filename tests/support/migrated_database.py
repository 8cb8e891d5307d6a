"""A migrated SQLite file to copy, which is cheaper than a migration for each database."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from store.db.database import migrate


@cache
def template() -> Path:
    """Return the path of a migrated file. It is made once a process. Copy it and do not change it."""
    with tempfile.NamedTemporaryFile(prefix="holdgate-template-", suffix=".db", delete=False) as file:
        path = Path(file.name)
    migrate(f"sqlite:///{path}")
    atexit.register(path.unlink, missing_ok=True)
    return path


def migrated_copy(path: Path) -> str:
    """Make a migrated SQLite file at `path` and return its URL."""
    shutil.copy(template(), path)
    return f"sqlite:///{path}"
