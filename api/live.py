"""What is new, told at once to everybody who may see it: one look at the record for all who listen to this gateway."""

import asyncio
import logging
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from fastapi.responses import StreamingResponse

from api.http.security import viewer
from store.audit import audit_log, feed
from store.audit.feed import News
from store.db.database import Database, DatabaseUnavailable
from store.people.people import Person

PAUSE_S = 0.5
"""Between two looks."""
LIFETIME_S = 900.0
"""After that a listener is sent away, to come again."""
RETRY_MS = 1_000
"""After that a browser comes again when the connection was cut."""
PING_S = 15.0
"""After so long without a word a comment is sent, so that nothing on the way takes the connection for dead."""
RECHECK_S = 60.0
"""Between two looks whether a listener is still whom they showed themselves to be, and in which groups."""
KEPT = 5_000
"""Positions of the record of which it is known what they brought. Who is further behind has to look anew."""
CHUNK = 1_000
"""Positions read in one look."""
QUIET = 500
"""After so many positions with nothing for them, a listener is told where the record is, to come back to."""

_log = logging.getLogger("holdgate.api")

Still = Callable[[], Awaitable[Person | None]]
"""Who the listener is by now; None when their token was revoked or their session has ended."""


class EventStream(StreamingResponse):
    """Server-sent events, written here: FastAPI's own way sends each by itself, through two queues."""

    media_type = "text/event-stream"


class Feed:
    """What is new in the record, for all who listen through this gateway."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: list[News] = []
        """By position: everything after `_start` up to `_head`."""
        self._start = self._head = -1
        self._people: dict[str, int] = {}
        """By person, the position at which they last may have lost their sign-in or a group."""
        self._reading = asyncio.Lock()
        self._changed = asyncio.Event()
        self._listeners = 0
        self._poller: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        """Nobody listens any more, or nobody may."""
        self._closed = False

    def __len__(self) -> int:
        return self._listeners

    def listen(self, person: Person, since: int | None, still: Still) -> EventStream:
        """What the person may see and is new after position `since`, or from now on.

        Begins with the place of what follows, which has no data; with `reset` when it is no longer known what came
        after `since`. Ends after 15 minutes, when the gateway stops, and when `still` answers None: it is asked at
        once when the record tells of the person's sign-in or groups, and each minute.
        """
        return EventStream(self._stream(person, since, still), headers={"X-Accel-Buffering": "no"})

    def close(self) -> None:
        """Send everybody away: the gateway is about to stop, and a server waits for its connections."""
        self._closed = True
        self._over.set()
        self._wake()

    async def ended(self) -> None:
        """Return when the last look has ended in order: a cancelled one would cost its connection."""
        self.close()
        if self._poller:
            await self._poller

    # ------------------------------------------------------------------------------------------------- one who listens

    async def _stream(self, person: Person, since: int | None, still: Still) -> AsyncIterator[str]:
        self._listeners += 1
        try:
            with suppress(DatabaseUnavailable):  # then the connection is cut, and they come again
                async for text in self._told(person, since, still):
                    yield text
        finally:
            self._listeners -= 1
            if not self._listeners:
                self._over.set()

    async def _told(self, person: Person, since: int | None, still: Still) -> AsyncIterator[str]:
        """What is new, all of one look in one piece: an import would cost each listener a send for each case."""
        leaves, again = time.monotonic() + LIFETIME_S, 0.0
        at = told = await self._reach(since)
        checked = self._head
        yield _place(at) if since in (None, at) else _reset(at)
        who = viewer(person)
        while not self._closed and (now := time.monotonic()) < leaves:
            changed = self._changed  # before the check: what comes during it is looked at next
            if now >= again or self._people.get(person.id, -1) > checked:
                checked = self._head
                is_now = await still()
                if is_now is None:
                    return
                who, again = viewer(is_now), now + RECHECK_S
            if not self._start <= at <= self._head:  # too slow, or the record is another one
                at = told = self._head
                yield _reset(at)
            head = self._head
            heard = [
                _event(each.name, data, each.position)
                for each in self._known[bisect_right(self._known, at, key=_position) :]
                if (data := each.told_to(who)) is not None
            ]
            at = head
            if heard or at - told >= QUIET:
                told = at
                yield "".join(heard) + _place(at)
            try:
                async with asyncio.timeout(max(0.0, min(leaves, again, now + PING_S) - time.monotonic())):
                    await changed.wait()
            except TimeoutError:
                yield ": ping\n\n"

    async def _reach(self, since: int | None) -> int:
        """Where to begin: at `since` if it is known what came after it, else at the newest position."""
        async with self._reading:
            if self._poller is None or self._poller.done() or (since or 0) > self._head:
                while await self._look():
                    pass
            self._over.clear()
            if self._closed:
                self._over.set()
            elif self._poller is None or self._poller.done():
                self._poller = asyncio.create_task(self._poll())
            if since is None or not 0 <= since <= self._head or self._head - since > KEPT:
                return self._head
            if since < self._start:
                async with self._db.read() as conn:
                    self._known[:0] = await feed.news(conn, since, self._start)
                self._start = since
            return since

    # --------------------------------------------------------------------------------------------------- the one look

    async def _poll(self) -> None:
        while not self._over.is_set():
            more = False
            try:
                async with self._reading:
                    more = await self._look()
            except DatabaseUnavailable:
                pass  # nothing new is heard until it is back
            except Exception:
                _log.exception("what is new cannot be told")
                self._head = -1  # goes on at the newest, and everybody looks anew
            if not more:
                with suppress(TimeoutError):
                    async with asyncio.timeout(PAUSE_S):
                        await self._over.wait()

    async def _look(self) -> bool:
        """Read on; whether there is more to read at once."""
        async with self._db.read() as conn:
            newest = await audit_log.position(conn)
            if self._head < 0 or newest < self._head or newest - self._head > KEPT:
                if 0 <= self._head < newest:
                    self._people |= await feed.changed_people(conn, self._head, newest)
                self._known, self._start, self._head = [], newest, newest
                self._wake()
                return False
            upto = min(newest, self._head + CHUNK)
            if upto == self._head:
                return False
            found = await feed.news(conn, self._head, upto)
            self._people |= await feed.changed_people(conn, self._head, upto)
        self._known += found
        self._head = upto
        if self._head - self._start > KEPT:
            self._start = self._head - KEPT
            del self._known[: bisect_right(self._known, self._start, key=_position)]
        self._wake()
        return upto < newest

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _position(news: News) -> int:
    return news.position


def _event(name: str, data: str, position: int) -> str:
    # Of several of one position the first may be the last that arrives: whoever comes back hears that position again.
    return f"event: {name}\ndata: {data}\nid: {position - 1}\n\n"


def _place(position: int) -> str:
    return f"id: {position}\nretry: {RETRY_MS}\n\n"


def _reset(position: int) -> str:
    return f"event: reset\ndata: {{}}\n{_place(position)}"
