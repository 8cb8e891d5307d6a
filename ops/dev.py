"""`make dev`: worker and gateway start again when their code is saved. Temporal and all state stay."""

from pathlib import Path

from watchfiles import PythonFilter, awatch

from ops.supervisor import Pace, Supervisor
from settings import ROOT

PATIENT = Pace(longest_delay=3600.0, fruitless=1_000_000, deaths=1_000_000)
"""Code that does not start is no reason to end: it waits, ever longer, and no longer than until the next save."""
APART = frozenset({"tests", "bench"})
"""What neither worker nor gateway reads."""


async def restart_on_save(supervisor: Supervisor) -> None:
    """Watch the rooms for ever and restart worker and gateway after each save."""
    rooms = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name not in APART]
    saved = PythonFilter(extra_extensions=[".html", ".json"])
    async for changes in awatch(*rooms, *ROOT.glob("*.py"), watch_filter=saved):
        names = sorted({str(Path(path).relative_to(ROOT)) for _, path in changes})
        print(f"saved {', '.join(names)}: worker and gateway start again", flush=True)
        supervisor.restart("worker", "gateway")
