"""Let each person have only some requests at work at the same time, so that one person's flood does not delay others.

Further requests of the person wait for their turn in the order in which they came.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONCE = 4
"""The most requests of one person that this gateway works on. A browser with six connections waits a little."""
MOST_WAITING = 100
"""The most requests of one person that wait for their turn."""
PATIENCE_S = 10.0
"""The most seconds that a request waits for its turn."""


class NoTurn(Exception):
    """Raised if a person has too many requests at the same time."""


class _Line:
    def __init__(self) -> None:
        self.present = 0
        self.places = asyncio.Semaphore(AT_ONCE)


class Turns:
    """The requests of all people in this gateway."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def turn(self, person: str) -> AsyncIterator[None]:
        """Wait for the turn of one request, and keep its place while the block runs. Raises NoTurn."""
        line = self._lines.setdefault(person, _Line())
        if line.present >= AT_ONCE + MOST_WAITING:
            raise NoTurn
        line.present += 1
        try:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await line.places.acquire()
            except TimeoutError:
                raise NoTurn from None
            try:
                yield
            finally:
                line.places.release()
        finally:
            line.present -= 1
            if not line.present:
                del self._lines[person]
