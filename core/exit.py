"""End a process that has used a Temporal client, with the right exit code."""

import logging
import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """Print all output, then end the process at once with this exit code.

    Otherwise the threads of the Temporal SDK can abort the interpreter while it shuts down, and the exit code is 134.
    Such an abort happened one time in three right after a call (github.com/temporalio/sdk-python/issues/300).
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
