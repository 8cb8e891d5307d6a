"""Limits for connections: the time until the headers arrive, and the number of open connections.

uvicorn has no time limit for headers, and answers 503 to everybody if there are too many connections. Here a connection
has some seconds for its headers. If there are too many, those that serve no signed-in person are closed.
"""

import asyncio
import logging
import resource
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
"""From the start of a connection, or from the end of the last answer, until the headers of a request are complete."""
MAX_CONNECTIONS = 1000
PIECE_BYTES = 16 * 1024
"""Bytes parsed at a time. h11 measures headers only while they are incomplete, however many bytes come at once. So
headers have at most two pieces."""
RESERVED_FILES = 200
"""Open files that are reserved for databases, files and Temporal."""

_log = logging.getLogger("holdgate.api")


def most_connections() -> int:
    """Return the largest number of connections: fewer if the process may not open as many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < MAX_CONNECTIONS + RESERVED_FILES and (hard == resource.RLIM_INFINITY or hard > soft):
        wanted = MAX_CONNECTIONS + RESERVED_FILES
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):  # the limit cannot be raised, so the present one stays
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(20, min(MAX_CONNECTIONS, soft - RESERVED_FILES))


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
        """Start the timer for the first headers, and close other connections if there are too many."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > self.most:
            _make_room([each for each in self.connections if isinstance(each, Connection)], self.most)

    def data_received(self, data: bytes) -> None:
        """Take the data. The timer for headers stops when the headers are complete."""
        self._unread += data
        self._parse()
        if self.serving:
            self._stop_waiting()

    def _parse(self) -> None:
        """Parse piece by piece. Data behind a complete request waits until that request is answered."""
        while self._unread and not self.transport.is_closing():
            if self.serving and self.conn.their_state is h11.DONE:
                return self.flow.pause_reading()
            piece = bytes(self._unread[:PIECE_BYTES])
            del self._unread[:PIECE_BYTES]
            super().data_received(piece)

    def on_response_complete(self) -> None:
        """Start the timer for the next headers. The rest of the last body must arrive within it, too."""
        self._wait()
        super().on_response_complete()
        self._parse()
        if self.serving:  # the next request was here already
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def serving(self) -> bool:
        """Return True if a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def rank(self) -> tuple[int, float]:
        """Return the order of closing: idle ones, then those of unknown clients, oldest first; people come last."""
        known = self.scope is not None and "person" in self.scope.get("state", {})
        return (2 if known and self.serving else 1 if self.serving or known else 0), self._since

    def close(self) -> None:
        """Close the connection at once, even while data is sent."""
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
