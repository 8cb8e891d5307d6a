"""What the tests of a process import: `trial`, a server with a database and a worker for one process."""

from plugins.testing.server import Handle
from plugins.testing.trial import ProcessHarness, trial

__all__ = ["Handle", "ProcessHarness", "trial"]
