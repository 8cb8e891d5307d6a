"""Gateways that share a database never let in more than one of them would."""

import asyncio
import multiprocessing
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from api.services import rate_limits as service
from api.services.rate_limits import Caller, RateLimits, TooManyRequests
from domain.rate_limits import Rate, RequestKind, taken
from store import rate_limits as store
from store.db.database import Database, DatabaseUnavailable
from store.db.prepared import Prepared, Rows

KIND = RequestKind.SEARCHES
ADA = Caller("person:ada")
BOTH_DATABASES = pytest.mark.both_databases


class Clock:
    """The clock of a database and of its gateways, which only a test moves."""

    def __init__(self) -> None:
        self.now = 1e6

    def __call__(self) -> float:
        return self.now


class Memory:
    """A database in memory that has the clock of the test."""

    def __init__(self, clock: Clock) -> None:
        self._driver = sqlite3.connect(":memory:")
        self._driver.create_function("julianday", 1, lambda _: clock.now / 86400 + 2440587.5)
        self._driver.execute("CREATE TABLE rate_limits (key PRIMARY KEY, full_at)")
        self.writes = 0
        self.away = False

    @asynccontextmanager
    async def write(self) -> AsyncIterator["Memory"]:
        if self.away:
            raise DatabaseUnavailable("away")
        self.writes += 1
        yield self

    async def execute(self, statement: Prepared, values: Mapping[str, Any] | None = None) -> Rows:
        plan = statement.plan(values or {})
        assert plan is not None
        return plan.run(self._driver.cursor(), [values or {}])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(service, "monotonic", found)
    return found


def gateway(db: Any, rate: Rate) -> RateLimits:
    return RateLimits(db, {KIND: rate})


async def lets_in(limits: RateLimits, *callers: Caller) -> bool:
    try:
        await limits.take(KIND, callers or [ADA])
    except TooManyRequests:
        return False
    return True


async def let_in(limits: RateLimits, tries: int, *callers: Caller) -> int:
    return sum([await lets_in(limits, *callers) for _ in range(tries)])


RATES = st.builds(Rate, st.integers(1, 90), st.sampled_from([1, 60, 600]))
STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 30), st.sampled_from([0.0, 0.01, 0.1, 0.3, 1.1])),
    min_size=1,
    max_size=16,
)


@settings(max_examples=50)
@given(rate=RATES, steps=STEPS)
def test_what_gateways_let_in_fits_into_one_bucket(rate: Rate, steps: list[tuple[int, int, float]]) -> None:
    """Three gateways with leases, and one bucket that sees each request at the moment at which it was let in."""
    clock = Clock()

    async def run() -> None:
        db = Memory(clock)
        gateways = [gateway(db, rate) for _ in range(3)]
        full_at = 0.0
        for which, tries, windows in steps:
            for _ in range(await let_in(gateways[which], tries)):
                after = taken(full_at, clock.now, rate)
                # The database knows the time to some microseconds.
                after = after or taken(full_at - 0.1 * rate.cost - 0.001, clock.now, rate)
                assert after is not None, "one bucket would have refused this request"
                full_at = after
            clock.now += windows * rate.seconds / 3

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "monotonic", clock)
        asyncio.run(run())


@pytest.mark.parametrize("rate", [Rate(1, 1), Rate(5, 60), Rate(60, 60), Rate(1200, 60), Rate(500, 3600)])
async def test_one_gateway_lets_in_the_whole_limit_and_not_one_more(rate: Rate, clock: Clock) -> None:
    limits = gateway(Memory(clock), rate)
    assert await let_in(limits, rate.number + 50) == rate.number
    clock.now += rate.cost * 3.5
    assert await let_in(limits, 50) == min(3, rate.number)


async def test_a_normal_call_costs_no_write(clock: Clock) -> None:
    db = Memory(clock)
    limits = gateway(db, Rate(1200, 60))
    for _ in range(100):
        assert await lets_in(limits, Caller("token:1"), ADA)
        clock.now += 0.1
    assert db.writes <= 2


async def test_refused_calls_cost_no_sql_until_there_can_be_a_place(clock: Clock) -> None:
    db = Memory(clock)
    limits = gateway(db, Rate(60, 60))
    assert await let_in(limits, 100) == 60
    before = db.writes
    assert await let_in(limits, 1000) == 0
    assert db.writes == before


async def test_retry_after_is_the_time_at_which_a_request_is_let_in(clock: Clock) -> None:
    limits = gateway(Memory(clock), Rate(6, 60))
    await let_in(limits, 6)
    with pytest.raises(TooManyRequests) as no:
        await limits.take(KIND, [ADA])
    clock.now += no.value.seconds - 0.5
    assert not await lets_in(limits)
    clock.now += 0.6
    assert await lets_in(limits)


async def test_a_token_at_its_limit_leaves_half_of_the_limit_of_its_owner(clock: Clock) -> None:
    limits, person = gateway(Memory(clock), Rate(20, 60)), Caller("person:ada", 2)
    assert await let_in(limits, 100, Caller("token:1"), person) == 20
    assert await let_in(limits, 100, Caller("session:2"), person) == 20
    assert await let_in(limits, 100, Caller("token:3"), person) == 0
    assert await let_in(limits, 100, Caller("token:4"), Caller("person:bea", 2)) == 20


async def test_a_clock_that_goes_back_keeps_nobody_out(clock: Clock) -> None:
    db = Memory(clock)
    await let_in(gateway(db, Rate(60, 60)), 100)
    clock.now -= 3600
    assert await lets_in(gateway(db, Rate(60, 60)))


async def test_without_the_database_the_gateway_counts_alone_and_strangers_wait(clock: Clock) -> None:
    db = Memory(clock)
    limits = gateway(db, Rate(60, 60))
    db.away = True
    assert await let_in(limits, 100) == 60
    clock.now += 1.01
    assert await let_in(limits, 100) == 1
    with pytest.raises(DatabaseUnavailable):
        await limits.take(KIND, [Caller("address:192.0.2.1", known=False)])
    db.away = False
    assert await lets_in(limits, Caller("address:192.0.2.1", known=False))


async def test_a_lost_answer_loses_the_lease_and_gives_nothing_back_twice(clock: Clock) -> None:
    db, rate = Memory(clock), Rate(60, 60)
    limits = gateway(db, rate)
    in_all = await let_in(limits, 3)

    class Commit(Memory):
        @asynccontextmanager
        async def write(self) -> AsyncIterator[Memory]:
            yield db
            raise DatabaseUnavailable("the commit was not confirmed")

    clock.now += 1
    limits._db = Commit(clock)  # type: ignore[assignment]
    with pytest.raises(DatabaseUnavailable):
        for _ in range(10):
            await limits.take(KIND, [Caller("address:1", known=False)])
    limits._db = db  # type: ignore[assignment]
    in_all += await let_in(limits, 100)
    assert in_all <= 61


async def test_what_is_given_back_can_be_used_again(clock: Clock) -> None:
    for rate in (Rate(5, 60), Rate(60, 60)):
        limits = gateway(Memory(clock), rate)
        for _ in range(10 * rate.number):
            for bucket in await limits.take(KIND, [ADA]):
                bucket.give_back(1)
        assert await let_in(limits, 2 * rate.number) <= rate.number + 1


async def test_the_buckets_in_memory_are_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_BUCKETS", 10)
    limits = gateway(Memory(clock), Rate(60, 60))
    await limits.take(KIND, [ADA])
    [of_ada] = await limits.take(KIND, [ADA])
    for number in range(50):
        await limits.take(KIND, [Caller(f"address:{number}")])
        assert await limits.take(KIND, [ADA]) == [of_ada], "strangers with many addresses do not push out who is here"
    assert len(limits._buckets) == 10


# ------------------------------------------------------------------------------------------------------ real databases


@BOTH_DATABASES
async def test_gateways_on_one_database_share_the_limit(another_db: Callable[[], Database]) -> None:
    rate, began = Rate(40, 60), time.monotonic()
    gateways = [gateway(another_db(), rate) for _ in range(3)]
    found = await asyncio.gather(*(let_in(limits, 25, Caller("token:1")) for limits in gateways for _ in range(2)))
    most = rate.number + (time.monotonic() - began) / rate.cost + 1
    assert rate.number * 0.5 < sum(found) <= most


@BOTH_DATABASES
async def test_the_statement_agrees_with_the_arithmetic(db: Database) -> None:
    rate, key = Rate(5, 60), store.key_of(KIND, "ada")
    async with db.write() as conn:
        leases = [await store.take(conn, key, rate, 1, 0.0) for _ in range(7)]
        wait = await store.wait(conn, key, rate)
    assert [lease is not None for lease in leases] == [True] * 5 + [False] * 2
    assert [round(lease.level) for lease in leases if lease] == [12, 24, 36, 48, 60]
    assert 10 < wait <= 12
    async with db.write() as conn:
        await store.sweep(conn)
        assert await store.take(conn, key, rate, 1, 0.0) is None, "only full buckets are swept"


def _flood(url: str, seconds: float, found: Any) -> None:
    async def run() -> int:
        db = Database(url)
        limits, number, ends = gateway(db, Rate(300, 60)), 0, time.monotonic() + seconds
        while time.monotonic() < ends:
            number += await lets_in(limits)
            await asyncio.sleep(0)
        await db.close()
        return number

    found.put(asyncio.run(run()))


@BOTH_DATABASES
def test_processes_on_one_database_share_the_limit(database_url: str) -> None:
    context = multiprocessing.get_context("fork")
    found = context.SimpleQueue()
    began = time.monotonic()
    processes = [context.Process(target=_flood, args=(database_url, 0.8, found)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    numbers = Counter(found.get() for _ in processes)
    most = 300 + (time.monotonic() - began) * 5 + 1
    assert 240 <= sum(number * times for number, times in numbers.items()) <= most
