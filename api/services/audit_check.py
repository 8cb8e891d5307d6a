"""Check the whole audit log, which may take minutes. A gateway runs one such check at a time, in the background."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from core.signing_keys import KeyFile
from domain.scope import Reach
from store.audit.checkpoints.keys import WrongKey
from store.audit.verification import Folders, Trust, Verification, verify
from store.db.database import Database, DatabaseUnavailable
from workflows.registry import PROCESSES

_log = logging.getLogger("holdgate.api")


def shown_to(found: Verification, audits: Reach) -> Verification:
    """Return the result of a check as a person may read it who audits these processes.

    Problems that name a case of another process are only counted.
    """
    if audits.everywhere:
        return found
    hidden = [f"{process}:" for process in PROCESSES if process not in audits]  # the start of the id of each case
    shown = [said for said in found.problems if not any(start in said for start in hidden)]
    if left := len(found.problems) - len(shown):
        shown.append(
            f"{left:,} more problems are in cases of processes that you do not oversee. Tell an administrator."
        )
    return found.model_copy(update={"problems": shown})


@dataclass
class AuditCheck:
    """One check of the audit log, with its progress or its result."""

    by: str
    begun_at: datetime
    done: int = 0
    of: int = 0
    ended_at: datetime | None = None
    found: Verification | None = None
    """The result of the check; None while the check runs, or if the check failed."""


class AuditChecks:
    """Starts checks of the audit log in this gateway, and keeps the latest one."""

    def __init__(self, db: Database, folders: Folders, keys: KeyFile, trust: Callable[[], Trust]) -> None:
        """`trust` returns the keys and files of checkpoints at the start of a check. It may raise WrongKey."""
        self._db = db
        self._folders = folders
        self._keys = keys
        self._trust = trust
        self._task: asyncio.Task[None] | None = None
        self.latest: AuditCheck | None = None

    def start(self, by: str) -> AuditCheck:
        """Start a check and return this check; if a check is running already, return the running one.

        `by` is the id of the person who asks.
        """
        if self.latest is not None and self._task is not None and not self._task.done():
            return self.latest
        self.latest = AuditCheck(by, datetime.now(UTC))
        self._task = asyncio.create_task(self._run(self.latest))
        return self.latest

    async def close(self) -> None:
        """Cancel the running check, if there is one."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, check: AuditCheck) -> None:
        def report_progress(done: int, of: int) -> None:
            check.done, check.of = done, of

        try:
            keys = self._keys.current()
            check.found = await verify(self._db, report_progress, self._folders, keys, self._trust())
        except (DatabaseUnavailable, WrongKey) as away:
            _log.warning("the audit log could not be checked: %s", away)
        finally:
            check.ended_at = datetime.now(UTC)
