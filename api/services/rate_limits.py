"""Count the requests of each caller, together with the other gateways of the database.

A gateway leases a share of a caller's bucket (`store/rate_limits.py`), and lets requests in from its share without SQL.
Near the limit, the gateway takes each request alone, so that one caller at one gateway gets the whole limit.

If the database does not answer, callers who have signed in are limited by a bucket in the memory of this gateway.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from time import monotonic
from typing import NamedTuple

from domain.rate_limits import Rate, RequestKind, taken
from store import rate_limits
from store.db.connection import AsyncConnection
from store.db.database import Database, DatabaseUnavailable
from store.rate_limits import NOTHING, Lease

SHARE = 10
"""A lease is for one request in so many of the limit."""
LEASES = 4
"""A lease lasts one part in so many of the seconds of the limit: a person who clicks now and then needs one lease for
several requests.
"""
SQL_SECONDS = 2.0
"""The most seconds that a request waits for a lease. Then the database counts as away."""
MOST_BUCKETS = 20_000
"""The most buckets in memory. A bucket that is forgotten loses the rest of its lease."""
SWEEP_EVERY_S = 600.0

_log = logging.getLogger("holdgate.api")


class Caller(NamedTuple):
    """Whose requests are counted: a credential, a person, or a network address."""

    name: str
    """Such as `person:ada`."""
    factor: int = 1
    """How many times the limit this caller has. A person has more than each of their credentials, so that a program
    that uses up the limit of its token does not keep its owner out.
    """
    known: bool = True
    """False for a network address: nobody has signed in."""


class TooManyRequests(Exception):
    """Raised if a caller has sent too many requests of a kind."""

    def __init__(self, kind: RequestKind, caller: Caller, seconds: float) -> None:
        super().__init__(f"too many {kind.meaning}: try again in {seconds:.3f} s")
        self.kind, self.caller, self.seconds = kind, caller, seconds


class Answer(NamedTuple):
    """What the database answered: a lease, or that the bucket is empty."""

    lease: Lease | None
    at: float
    """When the lease began; for an empty bucket, when it has a place again."""


class Bucket:
    """The share of one bucket that this gateway has leased. Times are in seconds of `monotonic`."""

    __slots__ = (
        "_empty_until",
        "_ends",
        "_full_at",
        "_key",
        "_kind",
        "_lease",
        "_left",
        "_local",
        "caller",
        "lock",
        "rate",
    )

    def __init__(self, kind: RequestKind, caller: Caller, rate: Rate) -> None:
        self.caller, self.rate = caller, rate.times(caller.factor)
        self.lock = asyncio.Lock()
        self._kind, self._key = kind, rate_limits.key_of(kind, caller.name)
        self._lease, self._left, self._ends = NOTHING, 0, 0.0
        """The lease, how many of its requests were not let in yet, and when the lease ends."""
        self._full_at = self._empty_until = self._local = 0.0

    def has_place(self, now: float) -> bool:
        """Return True if the lease has a place for one request."""
        return self._left > 0 and now < self._ends

    def let_in(self) -> None:
        """Take one request from the lease."""
        self._left -= 1

    def check(self, now: float) -> None:
        """Raise TooManyRequests if the database has said that there is no place yet."""
        if now < self._empty_until:
            raise TooManyRequests(self._kind, self.caller, self._empty_until - now)

    async def ask(self, conn: AsyncConnection) -> Answer:
        """Ask the database for a lease, or near the limit for one request. Call `accept` after the commit."""
        began, former, unused = monotonic(), self._lease, self._left
        self._lease, self._left = NOTHING, 0  # if the answer is lost, the rest of the former lease is lost too
        take = partial(rate_limits.take, conn, self._key, self.rate, former=former, unused=unused)
        number, lasts = self.rate.number // SHARE, self.rate.seconds / LEASES
        level = max(0.0, self._full_at - max(began, self._ends))  # without the part that the database gets back
        far = level + number * self.rate.cost + lasts <= self.rate.seconds
        if number > 1 and far and lasts > SQL_SECONDS:  # a shorter lease could end before it arrives
            lease = await take(number=number, lasts=lasts)
            if lease is not None:
                return Answer(lease, began)
        lease = await take(number=1, lasts=0.0)
        if lease is not None:
            return Answer(lease, began)
        self._lease, self._left = former, unused
        return Answer(None, began + await rate_limits.wait(conn, self._key, self.rate))

    def accept(self, answer: Answer) -> bool:
        """Keep the lease. Return True if it is for one request, which is let in with this. Raises TooManyRequests."""
        if answer.lease is None:
            self._empty_until = answer.at
            raise TooManyRequests(self._kind, self.caller, max(0.0, answer.at - monotonic()))
        self._full_at = answer.at + answer.lease.level
        if answer.lease.number == 1:
            self._ends = answer.at
            return True
        self._lease, self._left = answer.lease, answer.lease.number
        self._ends = answer.at + self.rate.seconds / LEASES
        return False

    def let_in_locally(self, now: float) -> None:
        """Let one request in without the database. Raises TooManyRequests."""
        after = taken(self._local, now, self.rate)
        if after is None:
            raise TooManyRequests(self._kind, self.caller, self._local + self.rate.cost - self.rate.seconds - now)
        self._local = after

    def give_back(self, number: int) -> None:
        """Let so many more requests in soon, because earlier ones do not count."""
        now = monotonic()
        self._left = number + (self._left if self.has_place(now) else 0)
        self._ends = max(self._ends, now + self.rate.cost)


class RateLimits:
    """The limits of one gateway. All its requests go through one object."""

    def __init__(self, db: Database, limits: Mapping[RequestKind, Rate]) -> None:
        self._db, self._limits = db, limits
        self._buckets: OrderedDict[tuple[RequestKind, str], Bucket] = OrderedDict()
        self._swept_at = monotonic()

    @property
    def off(self) -> bool:
        """True if no requests are limited."""
        return not self._limits

    async def take(self, kind: RequestKind, callers: Sequence[Caller]) -> Sequence[Bucket]:
        """Let one request in, and return the buckets from which it was taken.

        `callers` are those who send the request, the one with the most credentials last. Raises TooManyRequests, and
        DatabaseUnavailable if the database is needed for somebody who has not signed in.
        """
        rate = self._limits.get(kind)
        if rate is None:
            return ()
        buckets = [self._bucket(kind, caller, rate) for caller in callers]
        let_in: set[Bucket] = set()
        while not all(bucket in let_in or bucket.has_place(monotonic()) for bucket in buckets):
            async with buckets[-1].lock:  # the others that wait get the rest of the lease
                let_in |= await self._lease([bucket for bucket in buckets if bucket not in let_in])
        for bucket in buckets:
            if bucket not in let_in:
                bucket.let_in()
        return buckets

    async def _lease(self, buckets: Sequence[Bucket]) -> set[Bucket]:
        """Take leases for the buckets without a place. Return those of which one request is let in already."""
        now = monotonic()
        empty = [bucket for bucket in buckets if not bucket.has_place(now)]
        for bucket in empty:
            bucket.check(now)
        if not empty:
            return set()
        try:
            answers = await self._ask(empty)
        except (DatabaseUnavailable, TimeoutError) as error:
            if not all(bucket.caller.known for bucket in empty):
                raise DatabaseUnavailable("the requests of this address cannot be counted") from error
            _log.warning("the database does not count requests, so this gateway counts alone: %s", error)
            for bucket in empty:
                bucket.let_in_locally(now)
            return set(empty)
        return {bucket for bucket, answer in answers if bucket.accept(answer)}

    async def _ask(self, buckets: Sequence[Bucket]) -> Sequence[tuple[Bucket, Answer]]:
        answers = []
        async with asyncio.timeout(SQL_SECONDS), self._db.write() as conn:
            for bucket in buckets:
                answers.append((bucket, await bucket.ask(conn)))
                if answers[-1][1].lease is None:
                    break
            if monotonic() - self._swept_at > SWEEP_EVERY_S:
                self._swept_at = monotonic()
                await rate_limits.sweep(conn)
        return answers

    def _bucket(self, kind: RequestKind, caller: Caller, rate: Rate) -> Bucket:
        bucket = self._buckets.get((kind, caller.name))
        if bucket is None:
            bucket = self._buckets[kind, caller.name] = Bucket(kind, caller, rate)
            if len(self._buckets) > MOST_BUCKETS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end((kind, caller.name))  # strangers with many addresses must not push out who is here
        return bucket
