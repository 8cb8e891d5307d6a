"""`make dev`: restart worker and gateway when their code is saved. Temporal keeps running, and all data stay."""

from collections.abc import Iterable
from pathlib import Path

from watchfiles import Change, PythonFilter, awatch

from core.settings import ROOT
from ops.supervisor import Pace, Supervisor

NEVER_GIVE_UP = Pace(longest_delay=3600.0, fruitless=1_000_000, deaths=1_000_000)
"""The pace of restarts: code that does not start is tried again for ever, and at once after a save."""
NOT_WATCHED = frozenset({"tests", "scripts"})
"""Folders that neither worker nor gateway imports."""


class _Code(PythonFilter):
    """The filter for changed files: code in these folders, and in the root folder of the checkout.

    Folders are watched and not files, because editors replace files, which would end a watch on a file.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        super().__init__(extra_extensions=[".html", ".txt"])
        self._folders = {str(folder) for folder in folders}

    def __call__(self, change: Change, path: str) -> bool:
        """Return True if a changed file is code of the worker or the gateway."""
        inside = Path(path).parent == ROOT or any(path.startswith(f"{folder}/") for folder in self._folders)
        return inside and super().__call__(change, path)


async def restart_on_save(supervisor: Supervisor, own: Path | None) -> None:
    """Watch the code and the folder of plugins, and restart worker and gateway after each save."""
    packages = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name not in NOT_WATCHED]
    watched = [ROOT, own] if own else [ROOT]
    async for changes in awatch(*watched, watch_filter=_Code([*packages, *watched[1:]])):
        names = sorted({path.removeprefix(f"{ROOT}/") for _, path in changes})
        print(f"saved {', '.join(names)}: worker and gateway start again", flush=True)
        supervisor.restart("worker", "gateway")
