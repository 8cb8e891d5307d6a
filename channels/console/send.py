"""Name or print notifications in the worker's output, for a demo or while there is no mail server."""

import logging
import sys
from typing import TextIO

from channels.channel import Outgoing

log = logging.getLogger("holdgate.notices")


class Console:
    """The channel that logs the id of each message or, with `texts`, prints the message to the worker's output.

    With `texts`, the output contains names of people, data of cases, and one-time links.
    """

    name = "console"
    needs_address = False

    def __init__(self, output: TextIO | None = None, *, texts: bool = False) -> None:
        self._output = output or sys.stdout
        self._texts = texts

    async def send(self, message: Outgoing) -> None:
        """Print the message with one call, so that other output does not come in between; or log its id."""
        if not self._texts:
            reader = "somebody outside Holdgate" if message.person == message.address else message.person
            log.info("notices: message %s for %s has no mail channel", message.message_id, reader)
            return
        head = f"---- notice to {message.person}: {message.text.subject} "
        self._output.write(f"\n{head:-<100}\n\n{message.text.plain}{'-' * 100}\n\n")
        self._output.flush()
