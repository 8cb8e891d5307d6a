"""`make bench`: measure Holdgate beside the bare engine. With a name first, another benchmark: see `COMMANDS`."""

import sys
from collections.abc import Callable, Sequence

from core.exit import leave
from scripts.bench import compare, dashboard, growth, inbox, lists, plot

COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "compare": compare.run,
    "growth": growth.run,
    "plot": plot.run,
    "inbox": inbox.run,
    "dashboard": dashboard.run,
    "lists": lists.run,
}
"""The benchmarks by name. Without a name, `compare` runs."""


def main(arguments: list[str]) -> int:
    """Run the benchmark that the first argument names, with the other arguments."""
    name = arguments.pop(0) if arguments and not arguments[0].startswith("-") else "compare"
    if name not in COMMANDS:
        sys.stderr.write(f"there is no benchmark '{name}'; benchmarks are {', '.join(COMMANDS)}\n")
        return 2
    COMMANDS[name](arguments)
    return 0


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
