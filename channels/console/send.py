"""Print notifications to the worker's output, for a demo or while there is no mail server."""

import sys
from typing import TextIO

from channels.channel import Outgoing


class Console:
    """The channel that prints each message to the worker's output.

    Without `texts`, only the id of the message and the id of the person are printed, because the worker's output is
    a log. With `texts`, the output contains names of people, data of cases, and one-time links.
    """

    name = "console"
    needs_address = False

    def __init__(self, output: TextIO | None = None, *, texts: bool = False) -> None:
        self._output = output or sys.stdout
        self._texts = texts

    async def send(self, message: Outgoing) -> None:
        """Print the message with one call, so that other output does not come in between."""
        if not self._texts:
            reader = "somebody outside Holdgate" if message.person == message.address else message.person
            self._output.write(f"notice {message.message_id} to {reader}; HOLDGATE_LOG_TEXTS=on prints the text\n")
        else:
            head = f"---- notice to {message.person}: {message.text.subject} "
            self._output.write(f"\n{head:-<100}\n\n{message.text.plain}{'-' * 100}\n\n")
        self._output.flush()
