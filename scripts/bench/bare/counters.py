"""Counters in a file that several processes map: reading the counters costs the measured processes nothing."""

import mmap
import os
import struct
from pathlib import Path

AT_GATE, ENDED = 0, 1
"""The counters: how many cases have reached their gate, and how many have ended."""


class Counters:
    """Two counters. Only one process may add to the counters."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Open the file; `create` makes it, with all counters at 0."""
        if create:
            path.write_bytes(bytes(16))
        file = os.open(path, os.O_RDWR)
        self._map = mmap.mmap(file, 16)
        os.close(file)

    def add(self, place: int) -> None:
        """Add one to the counter `place`: `AT_GATE` or `ENDED`."""
        self._map[place * 8 : place * 8 + 8] = struct.pack("q", self.get(place) + 1)

    def get(self, place: int) -> int:
        """Return the counter `place`: `AT_GATE` or `ENDED`."""
        number: int = struct.unpack("q", self._map[place * 8 : place * 8 + 8])[0]
        return number
