"""Mails that are no notices: what a step of a process writes to somebody who need not be a person of Holdgate."""

from channels.channel import Channel, Outgoing, RefusedForGood, TryLater
from channels.message import Text
from domain.errors import Trouble


class MailNotSent(Trouble):
    """It can be tried again."""


class MailRefused(Trouble):
    """Trying again is in vain: operators mend the address, or go on without the mail."""


class Mailer:
    """Sends plain text through a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def send(self, message_id: str, to: str, subject: str, text: str) -> None:
        """Return once the other side has taken it. Raises MailNotSent and MailRefused, whose words lack the address."""
        mail = Outgoing(message_id=message_id, person=to, name=to, address=to, text=Text(subject, text, html=""))
        try:
            await self._channel.send(mail)
        except TryLater as error:
            raise MailNotSent(f"The mail could not be sent: {error}.") from None
        except RefusedForGood as error:
            raise MailRefused(f"The mail server does not take this mail: {error}.", permanent=True) from None
