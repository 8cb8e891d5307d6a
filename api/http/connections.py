"""Limit connections of clients: the time until the headers arrive, and the number of open connections.

uvicorn has no time limit for headers, and answers 503 to every request if there are too many connections. Here a client
has `HEADER_SECONDS` for the headers of a request. If there are too many connections, the gateway closes some, first
those that serve no signed-in person.
"""

import asyncio
import logging
import resource
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
"""The most seconds from the start of a connection, or from the end of its last answer, until the headers of a
request are complete."""
MAX_CONNECTIONS = 1000
PIECE_BYTES = 16 * 1024
"""The number of bytes that are parsed at a time.

The parser (h11) checks the size of headers only while they are incomplete, so one large piece could have headers of any
size. With this limit, headers are at most two pieces long.
"""
RESERVED_FILES = 200
"""The number of open files of the process that are reserved for databases, files and Temporal, and not used for
connections."""

_log = logging.getLogger("holdgate.api")


def most_connections() -> int:
    """Return the most open connections: `MAX_CONNECTIONS`, or fewer if the system lets the process open fewer files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < MAX_CONNECTIONS + RESERVED_FILES and (hard == resource.RLIM_INFINITY or hard > soft):
        wanted = MAX_CONNECTIONS + RESERVED_FILES
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):  # the limit cannot be raised, so the present one stays
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(20, min(MAX_CONNECTIONS, soft - RESERVED_FILES))


class Connection(H11Protocol):
    """One connection of a client, with limits for the time and size of headers."""

    header_seconds = HEADER_SECONDS
    most = MAX_CONNECTIONS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._since = self.loop.time()
        self._waiting: asyncio.TimerHandle | None = None
        self._unread = bytearray()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the headers of the first request. Close other connections if there are too many."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > self.most:
            _make_room([each for each in self.connections if isinstance(each, Connection)], self.most)

    def data_received(self, data: bytes) -> None:
        """Take data from the client. Stop the timer for headers when the headers of a request are complete."""
        self._unread += data
        self._parse()
        if self.serving:
            self._stop_waiting()

    def _parse(self) -> None:
        """Parse the data that has arrived, piece by piece.

        Data after a complete request waits until this request is answered.
        """
        while self._unread and not self.transport.is_closing():
            if self.serving and self.conn.their_state is h11.DONE:
                return self.flow.pause_reading()
            piece = bytes(self._unread[:PIECE_BYTES])
            del self._unread[:PIECE_BYTES]
            super().data_received(piece)

    def on_response_complete(self) -> None:
        """Start the timer for the headers of the next request.

        The rest of the last request's body must also arrive in this time.
        """
        self._wait()
        super().on_response_complete()
        self._parse()
        if self.serving:  # the next request was here already
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer for headers, because the connection is closed."""
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def serving(self) -> bool:
        """Return True if a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def rank(self) -> tuple[int, float]:
        """Return the rank of this connection when too many are open: the lowest rank is closed first.

        Idle connections of unknown clients have the lowest rank. Connections that serve an unknown client, and idle
        ones of signed-in people, have the middle rank; those that serve signed-in people have the highest rank. In the
        same rank, the connection that has gone longest without an answer comes first.
        """
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
    """Close connections, lowest `rank` first, as many as a tenth of `most`.

    Several are closed at a time, so that a flood of new connections does not sort all connections each time.
    """
    going = sorted(connections, key=lambda each: each.rank)[: max(1, most // 10)]
    for each in going:
        each.close()
    _log.warning("%s connections are open, which are too many: closed %s of them", len(connections), len(going))
