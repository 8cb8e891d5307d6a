"""Make notifications from new audit events, and send the messages that are due, with one loop for each channel.

Only the worker that holds the lease of the outbox sends messages. If this worker stops renewing the lease, another
worker takes the lease. The text of a message is written when the message is sent. Cases do not wait for their messages.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from channels.channel import Channel, Outgoing, RefusedForGood, TryLater
from channels.message_writer import MessageWriter
from domain.notification import Letter

log = logging.getLogger("holdgate.notices")

POLL_S = 1.0
RENEW_S = 5.0
TIDY_S = 3600.0
AT_A_TIME = 8
"""The most messages that one channel sends at the same time."""
BACKOFF = timedelta(seconds=5)
"""The pause before the second attempt to send a message. The pause doubles with each further failure, up to 10 minutes.
"""
LONGEST_BACKOFF = timedelta(minutes=10)


class DueMessage(Protocol):
    """A message that must be sent now, for the first time or again."""

    @property
    def message_id(self) -> str: ...
    @property
    def attempts(self) -> int:
        """Return the number of failed attempts to send the message so far."""


class DispatcherOutbox(Protocol):
    """The methods of the store of messages (the outbox) that the dispatcher calls."""

    async def hold(self, now: datetime) -> bool:
        """Take the lease of the outbox, or renew it.

        Return True if this worker now holds the lease, False if another worker holds the lease.
        """

    async def let_go(self) -> None:
        """Give the lease of the outbox back, so that another worker can take it at once."""

    async def advance(self, now: datetime) -> bool:
        """Make notifications from new audit events, and fix the content of the messages that are due.

        Return True if more events or messages wait, so that the caller calls again at once.
        """

    async def due(self, channel: str, now: datetime, limit: int) -> Sequence[DueMessage]:
        """Return at most `limit` messages that this channel must send now."""

    async def letter(self, message_id: str) -> Letter | None:
        """Return the content of a message; None if the person who would read the message is no longer active."""

    async def sent(self, message_id: str, now: datetime) -> None: ...

    async def postponed(self, message_id: str, until: datetime, why: str) -> None: ...

    async def refused(self, message_id: str, now: datetime, why: str) -> None: ...

    async def tidy(self, now: datetime) -> bool:
        """Delete some of the messages that were sent, or found undeliverable, more than 30 days ago. Return True if
        more of these messages are left.
        """


class Dispatcher:
    """Runs the loops that send messages to people."""

    def __init__(
        self, outbox: DispatcherOutbox, channels: Sequence[Channel], writer: MessageWriter, unavailable: type[Exception]
    ) -> None:
        """Store the arguments.

        `unavailable` is the exception that the outbox raises if the database does not answer.
        """
        self._outbox = outbox
        self._channels = channels
        self._writer = writer
        self._unavailable = unavailable
        self._holding = False
        self._writing = asyncio.Lock()
        """Held while a message is read and written. A message about a large import needs 10 MB until its text is ready.
        """

    async def run(self) -> None:
        """Send messages until the task is cancelled, then give the lease of the outbox back.

        Raises only CancelledError.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_on("the lease", self._hold))
                group.create_task(self._keep_on("reading the audit log", self._advance))
                group.create_task(self._keep_on("tidying", self._tidy, TIDY_S))
                for channel in self._channels:
                    group.create_task(self._keep_on(channel.name, partial(self._send_due, channel)))
        finally:
            if self._holding:
                try:
                    await self._outbox.let_go()
                except self._unavailable as error:
                    log.warning(
                        "notices: the lease was not given back; other workers wait until the lease ends: %s", error
                    )

    async def _keep_on(self, what: str, step: Callable[[], Awaitable[bool]], pause: float | None = None) -> None:
        """Repeat a step for ever. Pause if the step fails or returns False.

        `what` names the step in the log. `pause` is in seconds; if `pause` is None, the pause is one second.
        """
        while True:
            more = False
            try:
                more = await step()
            except self._unavailable as error:
                log.warning("notices: %s waits: %s", what, error)
            except Exception:  # the next round tries again after any error
                log.exception("notices: %s failed", what)
            if not more:
                await asyncio.sleep(POLL_S if pause is None else pause)

    async def _hold(self) -> bool:
        had, self._holding = self._holding, await self._outbox.hold(datetime.now(UTC))
        if self._holding != had:
            log.info("notices: this worker %s", "sends them now" if self._holding else "leaves them to another")
        if self._holding:
            await asyncio.sleep(RENEW_S - POLL_S)
        return False

    async def _advance(self) -> bool:
        return self._holding and await self._outbox.advance(datetime.now(UTC))

    async def _tidy(self) -> bool:
        return self._holding and await self._outbox.tidy(datetime.now(UTC))

    async def _send_due(self, channel: Channel) -> bool:
        if not self._holding:
            return False
        due = await self._outbox.due(channel.name, datetime.now(UTC), AT_A_TIME)
        # Wait for all, even if one fails: a message must not be sent twice at the same time.
        ends = await asyncio.gather(*(self._send(channel, message) for message in due), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        return len(due) == AT_A_TIME

    async def _send(self, channel: Channel, due: DueMessage) -> None:
        try:
            async with self._writing:
                message = await self._written(channel, due)
            await channel.send(message)
        except self._unavailable:
            raise  # nothing was read or sent: the next round tries again
        except RefusedForGood as error:
            log.error("notices: %s refused message %s for good: %s", channel.name, due.message_id, error)
            await self._write_down(self._outbox.refused, due, datetime.now(UTC), str(error))
        except TryLater as error:
            pause = _pause_after(due)
            log.warning("notices: %s, message %s, again in %s: %s", channel.name, due.message_id, pause, error)
            await self._write_down(self._outbox.postponed, due, datetime.now(UTC) + pause, str(error))
        except Exception as error:  # a defect must not be tried every second
            log.exception("notices: %s, message %s failed", channel.name, due.message_id)
            until = datetime.now(UTC) + _pause_after(due)
            await self._write_down(self._outbox.postponed, due, until, type(error).__name__)
        else:
            await self._write_down(self._outbox.sent, due, datetime.now(UTC))

    async def _written(self, channel: Channel, due: DueMessage) -> Outgoing:
        """Return the message with its text. Raises RefusedForGood if nobody can receive the message."""
        letter = await self._outbox.letter(due.message_id)
        if letter is None or (channel.needs_address and letter.address is None):
            raise RefusedForGood("the person is no longer active, or has no address")
        # A large message takes a while to write. In a thread it does not delay the cases of this worker.
        text = await asyncio.to_thread(self._writer.write, letter, datetime.now(UTC))
        return Outgoing(letter.message_id, letter.person, letter.name, letter.address, text)

    async def _write_down(self, what: Callable[..., Awaitable[None]], due: DueMessage, *how: object) -> None:
        """Store the result of sending a message, and repeat until the database answers.

        A message whose result is not stored would be sent again.
        """
        while True:
            try:
                return await what(due.message_id, *how)
            except self._unavailable as error:
                log.warning("notices: the result of message %s is not stored yet: %s", due.message_id, error)
                await asyncio.sleep(POLL_S)


def _pause_after(due: DueMessage) -> timedelta:
    doubled: timedelta = BACKOFF * 2 ** min(due.attempts, 10)
    return min(doubled, LONGEST_BACKOFF)
