"""The interface of a channel, which sends messages, and the two exceptions that a channel raises."""

from dataclasses import dataclass
from typing import Protocol

from channels.message import MessageText


class TryLater(Exception):
    """Raised if the message cannot be sent now, but perhaps later.

    The text of the exception says why, and does not contain the address of the person.
    """


class RefusedForGood(Exception):
    """Raised if the receiver would refuse the message at every attempt.

    The text of the exception says why, and does not contain the address of the person.
    """


@dataclass(frozen=True)
class Outgoing:
    """One message to be sent to one person."""

    message_id: str
    """The id is the same at each attempt, so that two copies of one message can be recognised."""
    person: str
    name: str
    address: str | None
    """The email address of the person. The address is never None for a channel whose `needs_address` is True."""
    text: MessageText


class Channel(Protocol):
    """A channel that sends messages to people."""

    @property
    def name(self) -> str:
        """Return the name of the channel in `HOLDGATE_CHANNELS`."""

    @property
    def needs_address(self) -> bool:
        """Return True if the channel reaches only people who have an email address."""

    async def send(self, message: Outgoing) -> None:
        """Send the message, and return after the receiving system has accepted it.

        Raises TryLater or RefusedForGood.
        """
