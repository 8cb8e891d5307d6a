"""Checks of the whole record, which may take minutes: one at a time in this gateway, beside everything else it does."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from store.audit.verification import Folders, Verification, verify
from store.db.database import Database, DatabaseUnavailable

_log = logging.getLogger("holdgate.api")


@dataclass
class Check:
    """One check: under way, or what came of it."""

    by: str
    begun_at: datetime
    done: int = 0
    of: int = 0
    ended_at: datetime | None = None
    found: Verification | None = None
    """None while it is under way, and when it could not be carried out."""


class Checks:
    """The last check of the record that was asked of this gateway."""

    def __init__(self, db: Database, folders: Folders) -> None:
        self._db = db
        self._folders = folders
        self._task: asyncio.Task[None] | None = None
        self.latest: Check | None = None

    def start(self, by: str) -> Check:
        """Begin a check; who asks while one is under way gets that one."""
        if self.latest is not None and self._task is not None and not self._task.done():
            return self.latest
        self.latest = Check(by, datetime.now(UTC))
        self._task = asyncio.create_task(self._run(self.latest))
        return self.latest

    async def close(self) -> None:
        """End what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, check: Check) -> None:
        def told(done: int, of: int) -> None:
            check.done, check.of = done, of

        try:
            check.found = await verify(self._db, told, self._folders)
        except DatabaseUnavailable as away:
            _log.warning("the record could not be checked: %s", away)
        finally:
            check.ended_at = datetime.now(UTC)
