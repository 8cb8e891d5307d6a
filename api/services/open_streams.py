"""Send streams of live updates, and limit how many are open: of each person, of each address, and in this gateway.

A stream keeps its connection for up to 15 minutes, so streams must leave connections for other requests.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.http.connections import Connection
from api.http.rate_limits import LimitReached, address_of

FOR_A_PERSON = 20
"""The most streams of one person. A page that nobody looks at has no stream."""
FOR_AN_ADDRESS = 600
"""The most streams of one network address. All people behind a proxy have the address of the proxy."""
IN_ALL = 800
"""The most streams of this gateway, and at most eight tenths of its connections."""
RETRY_S = 30.0
"""Seconds after which a caller with too many open streams may try again."""


class TooManyStreams(Exception):
    """Raised if there are too many streams. The text says whose."""


class OpenStreams:
    """The open streams of one gateway."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        """The number of streams by person and by network address, and of all under an empty key."""

    def __len__(self) -> int:
        return self._open[""]

    @contextmanager
    def one(self, person: str, address: str) -> Iterator[None]:
        """Count a stream while the block runs. Raises TooManyStreams."""
        limits = {
            f"person:{person}": (FOR_A_PERSON, "You have"),
            f"address:{address}": (FOR_AN_ADDRESS, "This network address has"),
            "": (min(IN_ALL, Connection.most * 8 // 10), "This gateway has"),
        }
        for key, (most, whose) in limits.items():
            if self._open[key] >= most:
                raise TooManyStreams(f"{whose} {most} open streams, which is the limit.")
        self._open.update(limits.keys())
        try:
            yield
        finally:
            self._open.subtract(limits.keys())
            self._open += Counter()  # forget those without a stream


class EventStream(StreamingResponse):
    """A response of server-sent events, which can send several events together.

    FastAPI's own class sends each event alone.
    """

    media_type = "text/event-stream"
    streams: OpenStreams

    @classmethod
    def of(cls, events: AsyncGenerator[str], streams: OpenStreams) -> "EventStream":
        """Return a response that streams these events, with a header that tells proxies not to buffer the events.

        `streams` counts the response while it is sent.
        """
        made = cls(events, headers={"X-Accel-Buffering": "no"})
        made.streams = streams
        return made

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until the stream ends; 429 if too many streams are open."""
        request = Request(scope)
        try:
            with self.streams.one(request.state.person, address_of(request)):
                await super().__call__(scope, receive, send)
        except TooManyStreams as no:
            await LimitReached(str(no), RETRY_S, limit="streams").response()(scope, receive, send)
