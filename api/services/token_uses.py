"""Store when each token was last used, at most once a minute for each token.

The time is stored in the background, so that no request waits for it; a failed write is only an older time.
"""

import asyncio
from datetime import UTC, datetime

from api.services.once_a_minute import OnceAMinute
from store.db.database import Database, DatabaseUnavailable
from store.people import tokens

KNOWN = 10_000
"""The most tokens for which the time of the last write is kept in memory."""
CLOSE_PATIENCE_S = 1.0


class TokenUses:
    """Stores the last use of tokens. Each gateway has one instance."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._stored = OnceAMinute(KNOWN)
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, hash: str) -> None:
        """Store soon that the token with this hash was used, unless that was stored within the last minute."""
        if hash in self._stored:
            return
        self._stored.note(hash)
        task = asyncio.create_task(self._store(hash, datetime.now(UTC)))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _store(self, hash: str, at: datetime) -> None:
        try:
            async with self._db.write() as conn:
                await tokens.note_use(conn, hash, at)
        except DatabaseUnavailable:
            self._stored.forget(hash)

    async def close(self) -> None:
        """Wait for the writes that are under way; call this before the database is closed."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=CLOSE_PATIENCE_S)
        for task in self._writing:
            task.cancel()
