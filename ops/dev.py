"""`make dev`: worker and gateway start again when their code is saved. Temporal and all state stay."""

from collections.abc import Iterable
from pathlib import Path

from watchfiles import Change, PythonFilter, awatch

from core.settings import ROOT
from ops.supervisor import Pace, Supervisor

PATIENT = Pace(longest_delay=3600.0, fruitless=1_000_000, deaths=1_000_000)
"""Code that does not start is no reason to end: it waits, ever longer, and no longer than until the next save."""
APART = frozenset({"tests", "scripts"})
"""What neither worker nor gateway reads."""


class _Code(PythonFilter):
    """Files of these folders and of the root. Watched from above: editors replace files, which ends a watch on one."""

    def __init__(self, folders: Iterable[Path]) -> None:
        super().__init__(extra_extensions=[".html", ".txt"])
        self._folders = {str(folder) for folder in folders}

    def __call__(self, change: Change, path: str) -> bool:
        """Whether this change is of code that worker or gateway read."""
        inside = Path(path).parent == ROOT or any(path.startswith(f"{folder}/") for folder in self._folders)
        return inside and super().__call__(change, path)


async def restart_on_save(supervisor: Supervisor, own: Path | None) -> None:
    """Watch the rooms, and the folder of somebody's own processes, and restart worker and gateway after each save."""
    rooms = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name not in APART]
    watched = [ROOT, own] if own else [ROOT]
    async for changes in awatch(*watched, watch_filter=_Code([*rooms, *watched[1:]])):
        names = sorted({path.removeprefix(f"{ROOT}/") for _, path in changes})
        print(f"saved {', '.join(names)}: worker and gateway start again", flush=True)
        supervisor.restart("worker", "gateway")
