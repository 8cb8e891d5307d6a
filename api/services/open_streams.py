"""Limit how many streams of live updates are open: for each person, for each network address, and in this gateway.

A stream keeps its connection for up to 15 minutes, so streams must leave connections for other requests.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from api.http.connections import Connection

FOR_A_PERSON = 20
"""The most streams of one person. A page that nobody looks at has no stream."""
FOR_AN_ADDRESS = 600
"""The most streams of one network address. All people behind a proxy have the address of the proxy."""
IN_ALL = 800
"""The most streams of this gateway, and at most eight tenths of its connections."""


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
