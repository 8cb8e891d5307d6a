"""Remember for a minute what was written, so that a request that comes again and again writes only once a minute."""

import time

PAUSE_S = 60.0


class OnceAMinute:
    """The keys that were noted within the last minute."""

    def __init__(self, most: int) -> None:
        """Keep at most so many keys. Beyond that, all are forgotten, and each may be written once more."""
        self._most = most
        self._noted: dict[str, float] = {}

    def __contains__(self, key: str) -> bool:
        """Return True if the key was noted within the last minute."""
        return time.monotonic() - self._noted.get(key, -PAUSE_S) < PAUSE_S

    def note(self, key: str) -> None:
        """Note the key now."""
        if len(self._noted) >= self._most:
            self._noted.clear()
        self._noted[key] = time.monotonic()

    def forget(self, key: str) -> None:
        """Let the key be written again at once, because the write failed."""
        self._noted.pop(key, None)
