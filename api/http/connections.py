"""Connections to the gateway: how long one may take to say what it wants, and how many are held.

uvicorn has no time limit for the headers of a request, and answers 503 to everybody when there are too many
connections. Here a connection has some seconds for its headers, and when there are too many, those go that serve
nobody who is signed in.
"""

import asyncio
import logging
import resource
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
"""From the beginning of a connection, or the end of the answer before, until the headers of a request are there."""
MAX_CONNECTIONS = 1000
PIECE_BYTES = 16 * 1024
"""What is parsed at a time. h11 measures headers only when they are not whole yet, however much came at once: so they
have at most two pieces."""
SPARE_FILES = 200
"""Of those that the process may open: databases, files, Temporal."""

_log = logging.getLogger("holdgate.api")


def most_connections() -> int:
    """How many connections are held at most: fewer where the process may not open as many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < MAX_CONNECTIONS + SPARE_FILES and (hard == resource.RLIM_INFINITY or hard > soft):
        wanted = MAX_CONNECTIONS + SPARE_FILES
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):  # what may not be raised stays
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(20, min(MAX_CONNECTIONS, soft - SPARE_FILES))


class Connection(H11Protocol):
    """One connection of a client, with limits of time and size for headers."""

    header_seconds = HEADER_SECONDS
    most = MAX_CONNECTIONS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._since = self.loop.time()
        self._waiting: asyncio.TimerHandle | None = None
        self._unread = bytearray()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the time for the first headers, and make room where there is none."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > self.most:
            _make_room([each for each in self.connections if isinstance(each, Connection)], self.most)

    def data_received(self, data: bytes) -> None:
        """Take what came; the time for headers ends when they are whole."""
        self._unread += data
        self._parse()
        if self.serving:
            self._stop_waiting()

    def _parse(self) -> None:
        """Parse piece by piece, and what follows a whole request when that is answered."""
        while self._unread and not self.transport.is_closing():
            if self.serving and self.conn.their_state is h11.DONE:
                return self.flow.pause_reading()
            piece = bytes(self._unread[:PIECE_BYTES])
            del self._unread[:PIECE_BYTES]
            super().data_received(piece)

    def on_response_complete(self) -> None:
        """Begin the time for the next headers. What is left of the body before has to come in it, too."""
        self._wait()
        super().on_response_complete()
        self._parse()
        if self.serving:  # the next request was here already
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time."""
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def serving(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def rank(self) -> tuple[int, float]:
        """Which connections go first: idle ones, then those of strangers, the oldest first; people come last."""
        known = self.scope is not None and "person" in self.scope.get("state", {})
        return (2 if known and self.serving else 1 if self.serving or known else 0), self._since

    def close(self) -> None:
        """End the connection at once, whatever is being sent."""
        self.transport.abort()

    def _wait(self) -> None:
        self._stop_waiting()
        self._since = self.loop.time()
        self._waiting = self.loop.call_later(self.header_seconds, self._too_late)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _too_late(self) -> None:
        if not self.serving and not self.transport.is_closing():
            self.close()


def _make_room(connections: list[Connection], most: int) -> None:
    """Close a tenth of the connections, so that a flood of new ones does not sort all of them each time."""
    going = sorted(connections, key=lambda each: each.rank)[: max(1, most // 10)]
    for each in going:
        each.close()
    _log.warning("%s connections are held: closed %s that serve nobody", len(connections), len(going))
