"""What a way to reach a person has to offer: one method, and two ways to fail."""

from dataclasses import dataclass
from typing import Protocol

from channels.message import Text


class TryLater(Exception):
    """It could not be sent now. `str()` says why, without the address."""


class RefusedForGood(Exception):
    """This will not be taken however often it is tried. `str()` says why, without the address."""


@dataclass(frozen=True)
class Outgoing:
    """One message on its way to one person."""

    message_id: str
    """The same at each attempt, so that a second copy can be told from a second message."""
    person: str
    name: str
    address: str | None
    """Never None for a channel that needs one."""
    text: Text


class Channel(Protocol):
    """One way to reach a person."""

    @property
    def name(self) -> str:
        """As the settings call it."""

    @property
    def needs_address(self) -> bool:
        """Whether it reaches only people who have an e-mail address."""

    async def send(self, message: Outgoing) -> None:
        """Return once the other side has taken it. Raises TryLater or RefusedForGood."""
