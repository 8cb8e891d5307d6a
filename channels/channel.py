"""The interface of a channel, which sends messages, and the exceptions that a channel raises."""

from dataclasses import dataclass
from typing import Protocol

from channels.message import MessageText


class NotSent(Exception):
    """The base class of the two reasons why a message was not sent.

    The text says why, and does not contain the address of the person. `code` is the code of the receiving system, if
    it gave one. Logs contain the code and not the text, because the text can quote the message.
    """

    def __init__(self, why: str, code: int | None = None) -> None:
        super().__init__(why)
        self.code = code


class TryLater(NotSent):
    """Raised if the message cannot be sent now, but perhaps later."""


class RefusedForGood(NotSent):
    """Raised if the receiver would refuse the message at every attempt."""


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
