"""Send notifications by mail, through one SMTP server."""

import re
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, localtime, parseaddr
from urllib.parse import unquote, urlsplit

import aiosmtplib

from channels.channel import Outgoing, RefusedForGood, TryLater
from domain.notification import MAIL

TIMEOUT_S = 10.0
"""The most seconds to wait for each answer of the mail server."""
_PORTS = {"smtp": 587, "smtps": 465}


class Smtp:
    """The channel that sends messages by mail.

    Each message uses a new connection. With an `smtps` URL, the connection uses TLS from the start. With an `smtp` URL
    that has a user, the connection changes to TLS; if the server does not offer TLS, nothing is sent, so that no
    password is sent in clear text. With an `smtp` URL without a user, the connection uses TLS if the server offers it.
    """

    name = MAIL
    needs_address = True

    def __init__(self, url: str, sender: str) -> None:
        """Store the arguments.

        `url` is the server, such as `smtp://user:password@host:587`. `sender` is the sender of the mails, such as
        `Holdgate <holdgate@example.org>`.
        """
        where = urlsplit(url)
        self._host = where.hostname or ""
        self._port = where.port or _PORTS[where.scheme]
        self._tls = where.scheme == "smtps"
        self._user = unquote(where.username) if where.username else None
        self._password = unquote(where.password) if where.password else None
        self._sender = sender
        self._envelope_sender = parseaddr(sender)[1]

    async def send(self, message: Outgoing) -> None:
        """Send the message to the mail server.

        Raises TryLater if a later attempt can succeed, and RefusedForGood if the server refuses this mail or its
        address for good.
        """
        assert message.address is not None, "no notice is made for a person without an address"
        mail = self._mail(message, message.address)
        try:
            await aiosmtplib.send(
                mail,
                sender=self._envelope_sender,
                recipients=[message.address],
                hostname=self._host,
                port=self._port,
                username=self._user,
                password=self._password,
                use_tls=self._tls,
                start_tls=True if self._user and not self._tls else None,
                # TLS without a password is optional, so a check of the certificate adds nothing: an attacker could
                # offer no TLS.
                validate_certs=self._tls or self._user is not None,
                timeout=TIMEOUT_S,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusal = error.recipients[0]
            raise _failure(refusal.code, f"{refusal.code} {refusal.message}", message.address) from None
        except aiosmtplib.SMTPDataError as error:
            raise _failure(error.code, f"{error.code} {error.message}", message.address) from None
        except aiosmtplib.SMTPResponseException as error:  # the fault of the server or of Holdgate, not of the reader
            raise TryLater(_without(message.address, f"{error.code} {error.message}"), error.code) from None
        except (aiosmtplib.SMTPException, ssl.SSLError, OSError) as error:
            raise TryLater(_without(message.address, str(error) or type(error).__name__)) from None

    def _mail(self, message: Outgoing, address: str) -> EmailMessage:
        mail = EmailMessage(policy=SMTP)
        mail["From"] = self._sender
        mail["To"] = address
        mail["Subject"] = message.text.subject
        mail["Date"] = format_datetime(localtime())
        mail["Message-ID"] = f"<{message.message_id}@{self._envelope_sender.partition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text.plain, cte="quoted-printable")
        if message.text.html:
            mail.add_alternative(message.text.html, subtype="html", cte="quoted-printable")
        return mail


def _failure(code: int, said: str, address: str) -> TryLater | RefusedForGood:
    """Return the exception for an SMTP error code: TryLater for a 4xx code, RefusedForGood for a 5xx code."""
    return (RefusedForGood if code >= 500 else TryLater)(_without(address, said), code)


def _without(address: str, said: str) -> str:
    """Return the answer of the mail server as one line, without the address of the reader.

    Many servers repeat the address in their answer, and addresses must not be logged.
    """
    return " ".join(re.sub(re.escape(address), "the address", said, flags=re.IGNORECASE).split())[:300]
