"""End a process that has used a Temporal client."""

import logging
import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """Print all output, then end the process at once with this exit code.

    The SDK's threads can outlive the interpreter and abort it during shutdown, one time in three right after a call
    (github.com/temporalio/sdk-python/issues/300). The exit code would then be 134.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
