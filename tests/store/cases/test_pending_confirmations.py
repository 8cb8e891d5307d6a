"""A nonce of a decision to confirm is valid once and for five minutes, whichever gateway asks."""

import asyncio
from datetime import timedelta

import pytest

from store.cases import confirmations
from store.cases.confirmations import VALID, PendingConfirmation
from store.db.database import Database
from tests.store.sample_cases import MORNING

pytestmark = pytest.mark.both_databases


def pending(nonce: str, minutes: int = 0) -> PendingConfirmation:
    at = MORNING + timedelta(minutes=minutes)
    return PendingConfirmation(nonce=nonce, person="manager-1", task_id="t1", decision_id="d1", at=at)


async def test_one_of_two_answers_gets_the_nonce(db: Database) -> None:
    async with db.write() as conn:
        await confirmations.add(conn, pending("a"))

    async def take() -> PendingConfirmation | None:
        async with db.write() as conn:
            return await confirmations.take(conn, "a", MORNING)

    taken = await asyncio.gather(take(), take())
    assert sorted(taken, key=str) == [None, pending("a")]


async def test_a_nonce_is_too_old_after_five_minutes_and_goes(db: Database) -> None:
    async with db.write() as conn:
        await confirmations.add(conn, pending("a"))
        await confirmations.add(conn, pending("b"))
        just_in_time = MORNING + VALID - timedelta(seconds=1)
        assert await confirmations.take(conn, "a", just_in_time) == pending("a")
        assert await confirmations.take(conn, "b", MORNING + VALID) is None
        assert await confirmations.take(conn, "unknown", MORNING) is None
        await confirmations.add(conn, pending("c"))
        await confirmations.add(conn, pending("d", minutes=5))
        assert await confirmations.take(conn, "c", MORNING) is None, "the next one deletes what is too old"
        assert await confirmations.take(conn, "d", MORNING) == pending("d", minutes=5)
