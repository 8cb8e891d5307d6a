"""Mails that are not notifications: a step of a process writes to an address outside Holdgate."""

from channels.channel import Channel, Outgoing, RefusedForGood, TryLater
from channels.message import MessageText
from domain.errors import Trouble


class MailNotSent(Trouble):
    """The mail was not sent. A later attempt can succeed."""


class MailRefused(Trouble):
    """The mail was refused for good. Operators correct the address, or skip the step."""


class Mailer:
    """A sender of plain text through a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def send(self, message_id: str, to: str, subject: str, text: str) -> None:
        """Send the text, and return after the receiver has taken it.

        Raises MailNotSent and MailRefused, whose texts do not contain the address.
        """
        mail = Outgoing(message_id=message_id, person=to, name=to, address=to, text=MessageText(subject, text, html=""))
        try:
            await self._channel.send(mail)
        except TryLater as error:
            raise MailNotSent(f"The mail could not be sent: {error}.") from None
        except RefusedForGood as error:
            raise MailRefused(f"The mail server does not take this mail: {error}.", permanent=True) from None
