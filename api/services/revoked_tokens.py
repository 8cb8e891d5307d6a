"""Record requests with a revoked token or the token of a person who has left, at most once a minute for each token.

Only tokens that were once valid are recorded, so that unknown clients cannot make the gateway write to the database.
"""

from datetime import UTC, datetime

from api.services.once_a_minute import OnceAMinute
from store.db.database import Database
from store.people import failed_sign_ins, tokens
from store.people.secret_hash import secret_hash

MAX_TOKEN = 200
"""The most characters of a token. Longer texts are never tokens, and are refused before they are hashed."""
KNOWN = 1_000
"""The most tokens for which the time of the last record is kept in memory."""


class RevokedTokenLog:
    """Records requests with tokens that were once valid. Each gateway has one such log."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._recorded = OnceAMinute(KNOWN)

    async def note(self, token: str, why: str = "revoked") -> None:
        """Record in the audit log that a request used this token, if the token was once valid.

        `why` is the reason in one word: `revoked`, `ended` or `suspended`.
        """
        if len(token) > MAX_TOKEN:
            return
        if (key := secret_hash(token)) in self._recorded:
            return
        async with self._db.read() as conn:
            owner = await tokens.former_owner(conn, token)
        if owner is None:
            return
        self._recorded.note(key)
        async with self._db.write() as conn:
            await failed_sign_ins.note(conn, "token", why, owner, datetime.now(UTC))
