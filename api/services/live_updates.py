"""Send live updates as server-sent events: changes of tasks and cases, and the progress of uploads.

A topic is what a listener can follow: all changes, or one upload. All listeners of a topic share one poller, a task
that reads the database again and again while there is a listener. A stream ends after 15 minutes, when the gateway
stops, and when its listener may no longer see the topic. Browsers then connect again automatically.
"""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress

from pydantic import BaseModel, Field

from api.http.security import viewer
from api.services.open_streams import EventStream, OpenStreams
from cases.submit import PolicySource
from core.repeat import repeat
from domain.batch import BatchCounts
from domain.status import Status
from policy.scope import scope_of
from store.audit import audit_log, feed
from store.audit.feed import News
from store.cases import batch_cases, batches
from store.cases.batches import BatchStatus
from store.cases.visibility import Viewer
from store.db.database import Database, DatabaseUnavailable
from store.people.people import Person

LIFETIME_S = 900.0
"""Seconds after which a stream ends. The browser then connects again."""
RETRY_MS = 1_000
"""Milliseconds that a browser waits before it connects again, if the connection was cut."""
PING_S = 15.0
"""Seconds without an event after which a comment is sent, so that proxies do not close the connection."""

FEED_RECHECK_S = 60.0
"""Seconds between two checks of a listener: whether the person is still signed in, and in which groups the person
is."""
KEPT = 5_000
"""The number of positions of the audit log whose changes are kept in memory.

A listener who is at most this number of positions behind gets all changes; those that are not in memory are read from
the database. A listener who is further behind must load the lists again.
"""
CHUNK = 1_000
"""The most positions of the audit log in one read of the database."""
QUIET = 500
"""After this many positions of the audit log without an event for a listener, the listener gets a newer id, from
which the browser can resume."""

BATCH_RECHECK_S = 3.0
"""Seconds between two checks whether a listener may still see a batch.

The time is short, because a batch has few listeners.
"""

_log = logging.getLogger("holdgate.api")

Still = Callable[[], Awaitable[Person | None]]
"""Returns the person who listens, with their present groups; None if the person is signed out or may no longer see
the topic."""


class LiveUpdates:
    """Has all topics of live updates in this gateway, and makes the streams of their listeners."""

    def __init__(self, db: Database, policy: PolicySource) -> None:
        self._db = db
        self._pollers: set[asyncio.Task[None]] = set()
        self.feed = Feed(db, self._pollers, policy)
        self.batches: dict[str, BatchProgress] = {}
        """The topics of batches that have a listener, by the id of the batch."""
        self._closed = False
        self.streams = OpenStreams()

    def changes(self, person: Person, since: int | None, still: Still) -> EventStream:
        """Return a stream of the changes of tasks and cases that the person may see.

        The stream begins after the position `since` of the audit log; if `since` is None, with changes from now on. The
        first event has an id and no data. If `since` is more than `KEPT` positions behind, or newer than the audit log,
        the first event is `reset` instead.
        """
        return EventStream.of(self.feed.listen(person, since, still), self.streams)

    def batch(self, batch_id: str, still: Still) -> EventStream:
        """Return a stream of the counts of an existing batch: now, after each change, and when all is closed."""
        return EventStream.of(self._batch(batch_id, still), self.streams)

    async def _batch(self, batch_id: str, still: Still) -> AsyncGenerator[str]:
        topic = self.batches.setdefault(batch_id, BatchProgress(self._db, self._pollers, batch_id))
        if self._closed:
            topic.close()
        try:
            async with aclosing(topic.listen(still)) as events:
                async for text in events:
                    yield text
        finally:
            if not topic.listeners and self.batches.get(batch_id) is topic:
                del self.batches[batch_id]

    def close(self) -> None:
        """End all streams.

        Call this method before the gateway stops, because the server waits until all connections are closed.
        """
        self._closed = True
        for topic in (self.feed, *self.batches.values()):
            topic.close()

    async def ended(self) -> None:
        """End all streams, and wait until all pollers have ended.

        The pollers are not cancelled, because a cancelled poller would lose its database connection.
        """
        self.close()
        await asyncio.gather(*self._pollers)


class Listener(ABC):
    """One connection of a person to a topic, which remembers what was sent."""

    recheck_s: float
    """Seconds between two checks whether the listener may still listen."""

    def is_suspect(self) -> bool:
        """Return True if the gateway must check at once whether the listener may still listen."""
        return False

    def admit(self, person: Person) -> None:  # noqa: B027  # only some listeners need to know
        """Store the person who listens, with their present groups, after a check."""

    @abstractmethod
    def news(self) -> str:
        """Return the text of the events to send now, and mark their changes as sent; empty if there are none."""


class Topic(ABC):
    """A topic of live updates, with one poller for all its listeners: the base class of `Feed` and `BatchProgress`."""

    failed: str
    """The log line if a read of the database fails because of a defect."""
    pause_s: float
    """The least seconds between two reads of the database."""
    share = 0
    """The pause after a read is at least this many times as long as the read took."""

    def __init__(self, db: Database, pollers: set[asyncio.Task[None]]) -> None:
        """Create the topic. `pollers` has the pollers of all topics, so that `LiveUpdates.ended` can wait for them."""
        self._db = db
        self._pollers = pollers
        self.listeners = 0
        self._poller: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        """Set if the topic has no listener any more, or is closed."""
        self._closed = False

    @abstractmethod
    async def _step(self) -> bool:
        """Read the database once.

        Return True if the next read must follow without a pause. Raises only for a defect.
        """

    def close(self) -> None:
        """End the streams of all listeners of the topic."""
        self._closed = True
        self._over.set()
        self._wake()

    def _start(self) -> None:
        """Start the poller of the topic, unless the poller runs already or the topic is closed."""
        self._over.clear()
        if self._closed:
            self._over.set()
        elif self._poller is None or self._poller.done():

            def pause(took: float) -> float:
                return max(self.pause_s, self.share * took)

            looking = repeat(self._step, pause, self.failed, log=_log, over=self._over)
            self._poller = asyncio.create_task(looking)
            self._pollers.add(self._poller)
            self._poller.add_done_callback(self._pollers.discard)

    async def _counted(self, events: AsyncGenerator[str]) -> AsyncGenerator[str]:
        """Yield the events of one listener, and stop the poller of the topic after its last listener has left."""
        self.listeners += 1
        try:
            with suppress(DatabaseUnavailable):  # the connection is cut, and the browser connects again
                async with aclosing(events):
                    async for text in events:
                        yield text
        finally:
            self.listeners -= 1
            if not self.listeners:
                self._over.set()

    async def _told(self, listener: Listener, still: Still) -> AsyncGenerator[str]:
        """Yield the text of events for one listener. All changes that one read found are yielded together."""
        spoken = time.monotonic()
        leaves, again = spoken + LIFETIME_S, 0.0
        while (now := time.monotonic()) < leaves:
            changed = self._changed  # before the check: a change during the check is read in the next round
            if listener.is_suspect() or now >= again:
                person = await still()
                if person is None:
                    return
                listener.admit(person)
                again = now + listener.recheck_s
            text = listener.news()
            if not text and now >= spoken + PING_S:
                text = ": ping\n\n"
            if text:
                spoken = now
                yield text
            if self._closed:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(leaves, again, spoken + PING_S) - time.monotonic())):
                    await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


# ----------------------------------------------------------------------------------------------------- tasks and cases


class Feed(Topic):
    """The topic of all changes of tasks and cases: the poller reads the audit log once for all listeners."""

    failed = "changes of tasks and cases could not be read"
    pause_s = 0.5

    def __init__(self, db: Database, pollers: set[asyncio.Task[None]], policy: PolicySource) -> None:
        super().__init__(db, pollers)
        self._file = policy
        self.policy = policy.current
        """The policy in force at the last read. It decides which processes a listener sees."""
        self.known: list[News] = []
        """All changes after the position `start` of the audit log up to `head`, in the order of their positions."""
        self.start = self.head = -1
        self.people: dict[str, int] = {}
        """By id of a person: the position of the last event about the person's sign-in or groups."""
        self._reading = asyncio.Lock()

    def listen(self, person: Person, since: int | None, still: Still) -> AsyncGenerator[str]:
        """Return the events for one listener: see `LiveUpdates.changes`."""
        return self._counted(self._events(person, since, still))

    async def _events(self, person: Person, since: int | None, still: Still) -> AsyncGenerator[str]:
        at = await self._reach(since)
        yield _place(at) if since in (None, at) else _reset(at)
        async with aclosing(self._told(FeedListener(self, person, at), still)) as told:
            async for text in told:
                yield text

    async def _reach(self, since: int | None) -> int:
        """Return where a listener begins: at `since` if it is at most `KEPT` positions behind, else at the newest
        position.

        Changes that are older than those in memory are read from the database.
        """
        async with self._reading:
            if self._poller is None or self._poller.done() or (since or 0) > self.head:
                while await self._look():
                    pass
            self._start()
            if since is None or not 0 <= since <= self.head or self.head - since > KEPT:
                return self.head
            if since < self.start:
                async with self._db.read() as conn:
                    self.known[:0] = await feed.news(conn, since, self.start)
                self.start = since
            return since

    async def _step(self) -> bool:
        try:
            async with self._reading:
                return await self._look()
        except DatabaseUnavailable:
            return False  # listeners get no news until the database is back
        except Exception:
            self.head = -1  # resume at the newest position; every listener loads the lists again
            raise

    async def _look(self) -> bool:
        """Read the next events of the audit log for all listeners. Return True if more events wait to be read."""
        if (policy := self._file.current).hash != self.policy.hash:
            self.policy = policy
            self._wake()  # each listener gets another scope before it gets the next events
        async with self._db.read() as conn:
            newest = await audit_log.position(conn)
            if self.head < 0 or newest < self.head or newest - self.head > KEPT:
                if 0 <= self.head < newest:
                    self.people |= await feed.changed_people(conn, self.head, newest)
                self.known, self.start, self.head = [], newest, newest
                self._wake()
                return False
            upto = min(newest, self.head + CHUNK)
            if upto == self.head:
                return False
            found = await feed.news(conn, self.head, upto)
            self.people |= await feed.changed_people(conn, self.head, upto)
        self.known += found
        self.head = upto
        if self.head - self.start > KEPT:
            self.start = self.head - KEPT
            del self.known[: bisect_right(self.known, self.start, key=_position)]
        self._wake()
        return upto < newest


class FeedListener(Listener):
    """A listener of the changes of tasks and cases."""

    def __init__(self, topic: Feed, person: Person, at: int) -> None:
        self.recheck_s = FEED_RECHECK_S
        self._topic = topic
        self._person = person.id
        self._policy = topic.policy.hash
        self._who = self._seen_as(person)
        self._rescoped = False
        """True if the person now sees other processes than before, so that the browser must load the lists again."""
        self._at = self._told = at
        """Two positions of the audit log: up to which the listener got its changes (`_at`), and the last id that its
        browser got (`_told`)."""
        self._checked = topic.head

    def is_suspect(self) -> bool:
        """Return True if the person's sign-in or groups, or the policy, may have changed since the last call."""
        before, self._checked = self._checked, self._topic.head
        policy, self._policy = self._policy, self._topic.policy.hash
        return self._topic.people.get(self._person, -1) > before or policy != self._policy

    def admit(self, person: Person) -> None:
        before, self._who = self._who, self._seen_as(person)
        self._rescoped = self._rescoped or before.scope.sees != self._who.scope.sees

    def _seen_as(self, person: Person) -> Viewer:
        """Return the person as a viewer with the scope that the policy in force gives them."""
        scope = scope_of(self._topic.policy, person.id, person.groups)
        return viewer(person.model_copy(update={"scope": scope}))

    def news(self) -> str:
        topic, reset = self._topic, ""
        out_of_reach = not topic.start <= self._at <= topic.head  # too slow, or the database is another one
        if out_of_reach or self._rescoped:
            self._rescoped = False
            self._at = self._told = topic.head
            reset = _reset(self._at)
        heard = [
            _event(each.name, data, each.position - 1)
            for each in topic.known[bisect_right(topic.known, self._at, key=_position) :]
            if (data := each.told_to(self._who)) is not None
        ]
        self._at = topic.head
        if heard or self._at - self._told >= QUIET:
            self._told = self._at
            heard.append(_place(self._at))
        return reset + "".join(heard)


def _position(news: News) -> int:
    return news.position


def _event(name: str, data: str, id: int | None = None) -> str:
    # One position can have several events, and the connection may end after the first. So `id` is the position
    # before: a client that resumes gets this position again.
    return f"event: {name}\ndata: {data}\n" + (f"id: {id}\n\n" if id is not None else "\n")


def _place(position: int) -> str:
    return f"id: {position}\nretry: {RETRY_MS}\n\n"


def _reset(position: int) -> str:
    return f"event: reset\ndata: {{}}\n{_place(position)}"


# ------------------------------------------------------------------------------------------------------------- batches


class Counts(BaseModel):
    """The progress of a batch: its status, and the counts of its rows and cases."""

    status: BatchStatus
    rows: BatchCounts
    cases: dict[str, int] = Field(description="The batch's cases by status")
    closed: bool = Field(exclude=True)

    @property
    def ended(self) -> bool:
        """Return True if the batch and all its cases are closed."""
        return self.closed and all(Status(status).closed for status in self.cases)


class BatchProgress(Topic):
    """The topic of one batch: the poller reads the counts of its rows and cases."""

    failed = "the counts of a batch could not be read"
    pause_s = 1.0
    share = 9  # counting a huge batch takes a tenth of the time

    def __init__(self, db: Database, pollers: set[asyncio.Task[None]], batch_id: str) -> None:
        super().__init__(db, pollers)
        self._batch_id = batch_id
        self.latest: Counts | None = None

    def listen(self, still: Still) -> AsyncGenerator[str]:
        """Return the events for one listener: `counts`, and `end` when the batch and all its cases are closed."""
        return self._counted(self._events(still))

    async def _events(self, still: Still) -> AsyncGenerator[str]:
        self._start()
        async with aclosing(self._told(BatchListener(self), still)) as told:
            async for text in told:
                yield text
        if self.latest is not None and self.latest.ended and await still() is not None:
            yield _event("end", self.latest.model_dump_json())

    async def _step(self) -> bool:
        try:
            counts = await self._look()
        except DatabaseUnavailable:
            return False  # listeners get no news until the database is back
        except Exception:
            self.close()
            raise
        if counts != self.latest:
            self.latest = counts
            self._wake()
        if counts.ended:
            self.close()
        return False

    async def _look(self) -> Counts:
        async with self._db.read() as conn:
            batch = await batches.get(conn, self._batch_id)
            if batch is None:
                raise LookupError(f"batch {self._batch_id} no longer exists")
            return Counts(
                status=batch.status,
                rows=await batches.counts(conn, self._batch_id),
                cases=await batch_cases.counts_by_status(conn, self._batch_id),
                closed=batch.closed_at is not None,
            )


class BatchListener(Listener):
    """A listener of a batch. A slow listener misses some counts, but never the last ones."""

    def __init__(self, topic: BatchProgress) -> None:
        self.recheck_s = BATCH_RECHECK_S
        self._topic = topic
        self._seen: Counts | None = None

    def news(self) -> str:
        if self._topic.latest is None or self._topic.latest == self._seen:
            return ""
        self._seen = self._topic.latest
        return _event("counts", self._seen.model_dump_json())
