"""Remember the revision of each task that the command line has shown, so that people decide what they saw.

The revisions are in the file `shown.json`, in the folder HOLDGATE_VAR. If this file cannot be written, `./holdgate
decide` shows the task and asks before each decision.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

FILE = "shown.json"
MOST = 2000
"""The number of tasks whose revisions are kept: those that were shown last."""


def remember(folder: Path, tasks: Iterable[Mapping[str, Any]]) -> None:
    """Store the revisions of tasks that were just shown."""
    seen = {str(task["task_id"]): int(task["revision"]) for task in tasks if task["status"] == "open"}
    if not seen:
        return
    kept = {task: revision for task, revision in _all(folder).items() if task not in seen} | seen
    part = folder / f".{FILE}.part"
    with suppress(OSError):
        part.write_text(json.dumps(dict(list(kept.items())[-MOST:])), encoding="utf-8")
        part.replace(folder / FILE)


def revision_of(folder: Path, task: str) -> int | None:
    """Return the revision of this task that was shown last; None if the task was never shown."""
    return _all(folder).get(task)


def _all(folder: Path) -> dict[str, int]:
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return {str(task): int(revision) for task, revision in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
