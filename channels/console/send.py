"""Print notifications to the worker's output, for a demo or while there is no mail server."""

import sys
from typing import TextIO

from channels.channel import Outgoing


class Console:
    """The channel that prints each message to the worker's output.

    With this channel, the worker's output contains names of people and data of cases.
    """

    name = "console"
    needs_address = False

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output or sys.stdout

    async def send(self, message: Outgoing) -> None:
        """Print the message with one call, so that other output does not come in between."""
        text = message.text
        head = f"---- notice to {message.person}: {text.subject} "
        self._output.write(f"\n{head:-<100}\n\n{text.plain}{'-' * 100}\n\n")
        self._output.flush()
