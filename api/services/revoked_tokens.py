"""Record requests with a revoked token or the token of a person who has left, at most once a minute for each token.

Only tokens that were once valid are recorded, so that unknown clients cannot make the gateway write to the database.
"""

import time
from datetime import UTC, datetime

from store.db.database import Database
from store.people import failed_sign_ins, tokens
from store.people.secret_hash import secret_hash

MAX_TOKEN = 200
"""The most characters of a token. Longer texts are never tokens, and are refused before they are hashed."""
PAUSE_S = 60.0
KNOWN = 1_000
"""The most tokens for which the time of the last record is kept in memory."""


class RevokedTokenLog:
    """Records requests with tokens that were once valid. Each gateway has one such log."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._noted: dict[str, float] = {}

    async def note(self, token: str, why: str = "revoked") -> None:
        """Record in the audit log that a request used this token, if the token was once valid.

        `why` is the reason in one word: `revoked`, `ended` or `suspended`.
        """
        if len(token) > MAX_TOKEN:
            return
        key, now = secret_hash(token), time.monotonic()
        if now - self._noted.get(key, -PAUSE_S) < PAUSE_S:
            return
        async with self._db.read() as conn:
            owner = await tokens.former_owner(conn, token)
        if owner is None:
            return
        if len(self._noted) >= KNOWN:
            self._noted.clear()
        self._noted[key] = now
        async with self._db.write() as conn:
            await failed_sign_ins.note(conn, "token", why, owner, datetime.now(UTC))
