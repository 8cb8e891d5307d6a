"""The public names for tests of a process: `trial` starts a server, a database and a worker for one process."""

from plugins.testing.server import Handle
from plugins.testing.trial import ProcessHarness, trial

__all__ = ["Handle", "ProcessHarness", "trial"]
