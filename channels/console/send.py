"""Notices as text on the worker's own output: to look at, and for a start without a mail server."""

import sys
from typing import TextIO

from channels.channel import Outgoing


class Console:
    """Prints each message. What notices say of people and cases is then in the log."""

    name = "console"
    needs_address = False

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output or sys.stdout

    async def send(self, message: Outgoing) -> None:
        """Print it in one piece."""
        text = message.text
        head = f"---- notice to {message.person}: {text.subject} "
        self._output.write(f"\n{head:-<100}\n\n{text.plain}{'-' * 100}\n\n")
        self._output.flush()
