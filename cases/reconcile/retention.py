"""Erase cases and uploads whose retention period (`HOLDGATE_RETENTION`) is over."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from cases.erasure import CleanUp
from domain.erasure import NotErasable
from domain.retention import Periods
from store.audit.audit_log import ENGINE
from store.db import leases
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.erasure import due
from store.erasure.content import erase_case, erase_upload
from store.erasure.result import Erased

LEASE = "retention"
LEASE_FOR = timedelta(minutes=5)
"""Longer than the erasure of a batch of cases takes. If a worker dies, another continues after this time."""
AT_ONCE = 20
"""How many cases or uploads one look takes, before the lease is renewed."""

Find = Callable[[AsyncConnection, due.Ends, int, str], Awaitable[list[str]]]
Erase = Callable[[AsyncConnection, str], Awaitable[Erased]]


class Retention:
    """The job that erases what is older than the retention period of its process, one case in one transaction."""

    def __init__(self, db: Database, owner: Database, periods: Periods, clean_up: CleanUp) -> None:
        """`owner` is the database with the role that owns its tables, which alone may erase audit events."""
        self._db, self._owner, self._periods, self._clean_up = db, owner, periods, clean_up
        self._holder = uuid4().hex

    async def look(self) -> int:
        """Erase all cases that are due, then the uploads that are due. Return the number of both.

        Only one worker at a time does this. What a legal hold protects stays; the next look tries again.
        """
        if not self._periods or not await self._lease():
            return 0
        now = datetime.now(UTC)
        ends = {process: now - period for process, period in self._periods.items()}
        count = await self._all(due.cases_due, self._case, ends)
        count += await self._all(due.uploads_due, self._upload, ends)
        async with self._db.write() as conn:
            await leases.release(conn, LEASE, self._holder)
        return count

    async def _all(self, find: Find, erase: Erase, ends: due.Ends) -> int:
        count, after = 0, ""
        while True:
            async with self._db.read() as conn:
                found = await find(conn, ends, AT_ONCE, after)
            count += await self._each(found, erase)
            if len(found) < AT_ONCE or not await self._lease():
                return count
            after = found[-1]

    async def _each(self, ids: Sequence[str], erase: Erase) -> int:
        count = 0
        for id in ids:
            try:
                async with self._owner.write() as conn:
                    await erase(conn, id)
            except NotErasable:
                continue  # such as a legal hold on the person who asked
            await self._clean_up()
            count += 1
        return count

    async def _case(self, conn: AsyncConnection, case_id: str) -> Erased:
        return await erase_case(conn, case_id, by=ENGINE, reason=_REASON, request=None)

    async def _upload(self, conn: AsyncConnection, batch_id: str) -> Erased:
        return await erase_upload(conn, batch_id, by=ENGINE, reason=_REASON, request=None)

    async def _lease(self) -> bool:
        async with self._db.write() as conn:
            return await leases.take(conn, LEASE, self._holder, datetime.now(UTC), LEASE_FOR)


_REASON = "The retention period is over"
