"""Run a command within limits: `limited.py SECONDS MEMORY FILE_SIZE COMMAND...`, sizes in bytes.

The limits are set here, in a process of its own, and stay with what is run in its place; so does the alarm that ends
it, even if the worker that began it is dead by then.
"""

import os
import resource
import signal
import sys


def main(seconds: str, memory: str, file_size: str, *command: str) -> None:
    for limit, value in (
        (resource.RLIMIT_CPU, int(seconds)),
        (resource.RLIMIT_AS, int(memory)),
        (resource.RLIMIT_FSIZE, int(file_size)),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    signal.alarm(int(seconds))
    os.umask(0o077)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(*sys.argv[1:])
