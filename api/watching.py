"""Live counters of batches: one look a second for each batch that somebody watches, however many do."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from pydantic import BaseModel, Field

from domain.batch import BatchCounts
from domain.status import Status
from store.cases import batches, cases
from store.cases.batches import BatchStatus
from store.db.database import Database, DatabaseUnavailable

PAUSE_S = 1.0
"""Between two looks."""
SHARE = 9
"""A pause is at least so many times as long as the look before it: counting a huge batch takes a tenth of the time."""
LIFETIME_S = 900.0
"""After that a listener is sent away, to come again."""
RECHECK_S = 3.0
"""Between two looks whether a listener may still listen: few listen to a batch, and a token may be revoked."""

Still = Callable[[], Awaitable[bool]]
"""Whether the listener may still see the batch."""

_log = logging.getLogger("holdgate.api")


class Counts(BaseModel):
    """How far a batch is."""

    status: BatchStatus
    rows: BatchCounts
    cases: dict[str, int] = Field(description="The batch's cases by status")
    closed: bool = Field(exclude=True)

    @property
    def ended(self) -> bool:
        """Whether the batch and all its cases are closed."""
        return self.closed and all(Status(status).closed for status in self.cases)


class Watch:
    """What is known of one batch, for all who listen."""

    def __init__(self) -> None:
        self.latest: Counts | None = None
        self.over = asyncio.Event()
        """Nothing new will come, or nobody listens any more."""
        self.listeners = 0
        self.poller: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def tell(self, counts: Counts) -> None:
        """Wake the listeners if there is something new."""
        if counts != self.latest:
            self.latest = counts
            self._wake()

    def end(self) -> None:
        """Send the listeners away, and look no more."""
        self.over.set()
        self._wake()

    async def changes(self, still: Still) -> AsyncIterator[Counts]:
        """The counters now and whenever they have changed. Who reads slowly misses those in between, never the last.

        Ends within seconds when `still` says no.
        """
        leaves, again = time.monotonic() + LIFETIME_S, 0.0
        seen = None
        while (now := time.monotonic()) < leaves:
            changed = self._changed
            if now >= again:
                if not await still():
                    return
                again = now + RECHECK_S
            if self.latest is not None and self.latest != seen:
                seen = self.latest
                yield seen
            elif self.over.is_set():
                return
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(leaves, again) - time.monotonic()):
                        await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Watches:
    """All batches that are watched through this gateway."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._watched: dict[str, Watch] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._watched)

    @asynccontextmanager
    async def watch(self, batch_id: str) -> AsyncIterator[Watch]:
        """Watch a batch that exists, while the block runs."""
        watch = self._watched.setdefault(batch_id, Watch())
        if self._closed:
            watch.end()
        elif watch.poller is None:
            watch.poller = asyncio.create_task(self._poll(batch_id, watch))
        watch.listeners += 1
        try:
            yield watch
        finally:
            watch.listeners -= 1
            if not watch.listeners:
                del self._watched[batch_id]
                watch.end()
                if watch.poller:
                    await watch.poller  # a look under way ends in order: a cancelled one would cost its connection

    def close(self) -> None:
        """Send everybody away: the gateway is about to stop, and a server waits for its connections."""
        self._closed = True
        for watch in self._watched.values():
            watch.end()

    async def _poll(self, batch_id: str, watch: Watch) -> None:
        try:
            while not watch.over.is_set():
                began = time.monotonic()
                try:
                    counts = await self._look(batch_id)
                    watch.tell(counts)
                    if counts.ended:
                        return
                except DatabaseUnavailable:
                    pass  # whoever listens hears nothing new until it is back
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(PAUSE_S, SHARE * (time.monotonic() - began))):
                        await watch.over.wait()
        except Exception:
            _log.exception("a batch cannot be watched", extra={"batch_id": batch_id})
        finally:
            watch.end()

    async def _look(self, batch_id: str) -> Counts:
        async with self._db.read() as conn:
            batch = await batches.get(conn, batch_id)
            if batch is None:
                raise LookupError(f"batch {batch_id} is gone")
            return Counts(
                status=batch.status,
                rows=await batches.counts(conn, batch_id),
                cases=await cases.counts_by_status(conn, batch_id),
                closed=batch.closed_at is not None,
            )
