"""The way out of a process that has used a Temporal client."""

import logging
import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End the process at once with this exit code, after everything printed is out.

    The SDK's threads may outlive the interpreter and abort it while it winds up, one time in three right after a call
    (github.com/temporalio/sdk-python/issues/300), which would turn a clear exit code into 134.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
