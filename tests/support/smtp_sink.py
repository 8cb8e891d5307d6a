"""A real SMTP server that stores received mail, and can be slow, refuse recipients, or be down."""

import asyncio
import ssl
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from tests.support.installed_app import free_port


@dataclass(frozen=True)
class Mail:
    """One mail as it arrived."""

    at: float
    """`time.monotonic()`."""
    to: str
    sender: str
    content: EmailMessage
    encrypted: bool

    @property
    def message_id(self) -> str:
        return str(self.content["Message-ID"])

    @property
    def subject(self) -> str:
        return str(self.content["Subject"])

    @property
    def plain(self) -> str:
        part = self.content.get_body(("plain",))
        assert part is not None
        return str(part.get_content())

    @property
    def html(self) -> str:
        part = self.content.get_body(("html",))
        assert part is not None
        return str(part.get_content())


@dataclass
class Sink:
    """`with Sink() as sink:`. It listens on `port`; stopped and started again it keeps what it has."""

    port: int = field(default_factory=free_port)
    pause_s: float = 0.0
    """How long it takes to answer once it has a mail."""
    replies: dict[str, str] = field(default_factory=dict)
    """By address, what it says instead of taking mail for it."""
    sender_reply: str | None = None
    """What it says instead of taking mail from anybody."""
    answer: str = "250 OK"
    """What it says to a mail. It keeps only what it takes."""
    tls: ssl.SSLContext | None = None
    tls_at_once: bool = False
    login: tuple[str, str] | None = None
    logins: int = 0
    """How often somebody tried."""
    _mails: list[Mail] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _controller: Controller | None = None

    @property
    def mails(self) -> list[Mail]:
        """Everything that arrived, in order."""
        with self._lock:
            return list(self._mails)

    def to(self, address: str) -> list[Mail]:
        return [mail for mail in self.mails if mail.to == address]

    def start(self) -> None:
        options: dict[str, Any] = {}
        if self.tls:
            options["ssl_context" if self.tls_at_once else "tls_context"] = self.tls
        if self.login:
            # Without TLS it is a careless server, which takes a password in the clear.
            safe = self.tls is not None
            options |= {"authenticator": self._authenticate, "auth_required": safe, "auth_require_tls": safe}
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)
        self._controller.start()

    def stop(self) -> None:
        if self._controller:
            self._controller.stop()
            self._controller = None

    def __enter__(self) -> "Sink":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def until(self, count: int, within: float = 20.0) -> list[Mail]:
        """The mails, as soon as there are so many; fails when there are not in time."""
        deadline = time.monotonic() + within
        while len(self.mails) < count:
            assert time.monotonic() < deadline, f"{len(self.mails)} of {count} mails: {[m.subject for m in self.mails]}"
            await asyncio.sleep(0.02)
        return self.mails

    # ------------------------------------------------------------------------------------------------------- handlers

    async def handle_MAIL(
        self, _server: Any, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if self.sender_reply:
            return self.sender_reply
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, _server: Any, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address in self.replies:
            return self.replies[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        content = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(content, EmailMessage)
        if self.answer.startswith("250"):
            with self._lock:
                for address in envelope.rcpt_tos:
                    mail = Mail(
                        time.monotonic(),
                        address,
                        envelope.mail_from or "",
                        content,
                        self.tls_at_once or session.ssl is not None,
                    )
                    self._mails.append(mail)
        await asyncio.sleep(self.pause_s)
        return self.answer

    def _authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword) and self.login
        self.logins += 1
        known = (given.login.decode(), given.password.decode()) == self.login
        return AuthResult(success=known, handled=False)


def sent_at(mail: Mail) -> datetime:
    """Its `Date`."""
    moment: datetime = mail.content["Date"].datetime
    return moment
