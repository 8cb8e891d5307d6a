"""Send mails that are not notifications: a step of a process sends a mail to an address outside Holdgate."""

from channels.channel import Channel, Outgoing, RefusedForGood, TryLater
from channels.message import MessageText
from domain.errors import Trouble


class MailNotSent(Trouble):
    """Raised if the mail was not sent, but a later attempt can succeed."""


class MailRefused(Trouble):
    """Raised if the mail server would refuse the mail at every attempt.

    Operators correct the address, or skip the step.
    """


class Mailer:
    """Sends mails of plain text to any address, through a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def send(self, message_id: str, to: str, subject: str, text: str) -> None:
        """Send the text to the address `to`, and return after the mail server has accepted the mail.

        `message_id` must be the same at each attempt. Raises MailNotSent and MailRefused, whose texts do not contain
        the address.
        """
        mail = Outgoing(message_id=message_id, person=to, name=to, address=to, text=MessageText(subject, text, html=""))
        try:
            await self._channel.send(mail)
        except TryLater as error:
            raise MailNotSent(f"The mail could not be sent: {error}.") from None
        except RefusedForGood as error:
            raise MailRefused(f"The mail server does not take this mail: {error}.", permanent=True) from None
