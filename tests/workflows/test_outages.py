"""The database is down for a while, the worker dies during a decision, and a worker without cache continues."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from temporalio.client import RPCTimeoutOrCancelledError

from activities.payment.request import PaymentRequest
from domain.status import Outcome, Status
from tests.support import postgres
from tests.support.engine_fixture import House, open_house

SOON = timedelta(seconds=2)
"""After which the server misses a workflow task that a worker took and forgot."""
SHIPPED = (Path(__file__).parents[2] / "config" / "policy.toml").read_text()


async def live_through(house: House, away: Callable[[], AbstractContextManager[None]], seconds: float) -> float:
    """A payment is decided while SQL is away. Answers how long the slowest query or update took, in seconds."""
    await house.ledger.fund("fund/outage", "outage", "GBP", Decimal("5000.00"))
    asked = {"payee": "Patient Ltd", "amount": "700", "currency": "GBP", "account": "outage"}
    case = await house.start(PaymentRequest.model_validate(asked), process="payment", policy=SHIPPED)
    task = await house.open_task(case)
    until = time.monotonic() + seconds
    with away():
        began = time.monotonic()
        receipt = await house.send(case, house.decision(task))
        slowest = time.monotonic() - began
        assert receipt.task.outcome is Outcome.APPROVED
        while time.monotonic() < until:
            began = time.monotonic()
            assert (await house.state(case)).status is Status.RUNNING
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.5)
    assert (await house.end(case)).status is Status.COMPLETED
    assert [entry.kind for entry in await house.ledger.entries(case_id=case.id)] == ["hold", "capture"]
    assert (await house.recorded(case)).count("decided") == 1
    assert await house.audit_problems() == [] and await house.ledger.check() == []
    return slowest


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(12, id="longer than one attempt may take"),
        pytest.param(30, id="half a minute", marks=pytest.mark.soak),
    ],
)
async def test_postgresql_is_down_for_a_while_and_cases_answer_and_nothing_is_lost(
    tmp_path: Path, seconds: int
) -> None:
    if postgres.programs() is None:
        pytest.skip(postgres.MISSING)
    with postgres.server() as server:

        @contextmanager
        def down() -> Iterator[None]:
            server.stop()
            yield
            server.start()

        async with open_house(tmp_path, url=server.url()) as house:
            assert await live_through(house, down, seconds) < 2


async def test_sqlite_is_locked_for_a_while_and_cases_answer_and_nothing_is_lost(tmp_path: Path) -> None:
    @contextmanager
    def locked() -> Iterator[None]:
        lock = sqlite3.connect(tmp_path / "house.db", isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        yield
        lock.rollback()
        lock.close()

    async with open_house(tmp_path) as house:
        # A record waits 3 s for a lock before it fails, and an answer waits behind that one attempt, no longer.
        assert await live_through(house, locked, seconds=12) < 5


async def test_a_decision_sent_while_no_worker_runs_is_applied_once_when_one_is_back(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        case = await house.start()
        task = await house.open_task(case)
        decision = house.decision(task)
        await house.stop_worker()
        began = time.monotonic()
        try:
            async with asyncio.timeout(3):
                await house.send(case, decision)
        except (TimeoutError, RPCTimeoutOrCancelledError):
            await case.signal("submit_decision", decision)
        else:
            raise AssertionError("no worker ran, and yet the update was answered")
        assert time.monotonic() - began < 4
        await house.start_worker()
        assert (await house.end(case)).status is Status.COMPLETED
        assert (await house.recorded(case)).count("decided") == 1


async def test_a_worker_that_remembers_no_case_carries_all_of_them_to_their_ends(tmp_path: Path) -> None:
    async with open_house(tmp_path, max_cached_workflows=0) as house:
        approved, cancelled, expired = [await house.start(task_timeout=SOON) for _ in range(3)]
        for case in (approved, cancelled, expired):
            await house.open_task(case)
        await house.decide(approved)
        await cancelled.cancel()
        assert (await house.end(approved)).status is Status.COMPLETED
        assert (await house.end(cancelled)).status is Status.CANCELLED
        assert house.effects(approved) == ["fetch", "pack", "send"]
        assert house.effects(cancelled) == ["fetch", "pack", "unpack", "bring_back"]
        assert (await house.state(expired)).status is Status.AWAITING_APPROVAL
        await house.forward(expired, timedelta(days=1))
        await house.decide(expired)
        assert (await house.end(expired)).status is Status.COMPLETED
