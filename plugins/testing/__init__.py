"""What the tests of a process import: `trial`, a server with a database and a worker for one process."""

from plugins.testing.server import Handle
from plugins.testing.trial import Trial, trial

__all__ = ["Handle", "Trial", "trial"]
