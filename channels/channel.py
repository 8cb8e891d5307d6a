"""The interface of a channel: one method and two exceptions."""

from dataclasses import dataclass
from typing import Protocol

from channels.message import MessageText


class TryLater(Exception):
    """The message could not be sent now. `str()` says why, without the address."""


class RefusedForGood(Exception):
    """The message will be refused at every attempt. `str()` says why, without the address."""


@dataclass(frozen=True)
class Outgoing:
    """One message on its way to one person."""

    message_id: str
    """The same at each attempt, so that a reader can tell a second copy from a second message."""
    person: str
    name: str
    address: str | None
    """Never None for a channel that needs an address."""
    text: MessageText


class Channel(Protocol):
    """A channel that sends messages to people."""

    @property
    def name(self) -> str:
        """Return the name of the channel in the settings."""

    @property
    def needs_address(self) -> bool:
        """Return True if the channel reaches only people who have an email address."""

    async def send(self, message: Outgoing) -> None:
        """Send the message, and return after the receiver has taken it. Raises TryLater or RefusedForGood."""
