"""Callers with a token that was revoked, or whose owner has left: in the audit log, not more than once a minute each.

Only tokens that once were good are noted, so a stranger cannot make this write anything.
"""

import time
from datetime import UTC, datetime

from store.db.database import Database
from store.people import failed_sign_ins, people
from store.people.secret_hash import secret_hash

MAX_TOKEN = 200
"""Characters; longer than any token, so that nobody makes us hash a megabyte."""
PAUSE_S = 60.0
KNOWN = 1_000
"""Tokens of which it is remembered when they were noted."""


class TurnedAway:
    """Notes them, for one gateway."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._noted: dict[str, float] = {}

    async def note(self, token: str) -> None:
        """Note that somebody came with this token, if it ever was one."""
        if len(token) > MAX_TOKEN:
            return
        key, now = secret_hash(token), time.monotonic()
        if now - self._noted.get(key, -PAUSE_S) < PAUSE_S:
            return
        async with self._db.read() as conn:
            owner = await people.revoked_owner(conn, token)
        if owner is None:
            return
        if len(self._noted) >= KNOWN:
            self._noted.clear()
        self._noted[key] = now
        async with self._db.write() as conn:
            await failed_sign_ins.note(conn, "token", "revoked", owner, datetime.now(UTC))
