"""The batch that the bytes of a dropped file become, on each database."""

import asyncio

from store import inbox
from store.database import Database
from store.inbox import Reserved

SHA = "f" * 64


async def test_the_same_bytes_of_one_process_have_one_batch_whoever_comes_again(db: Database) -> None:
    async with db.write() as conn:
        assert await inbox.reserve(conn, "payment", SHA, "b1", "first") == Reserved("b1", "first")
        assert await inbox.reserve(conn, "payment", SHA, "b2", "second") == Reserved("b1", "first")
        assert await inbox.reserve(conn, "several", SHA, "b3", "third") == Reserved("b3", "third")


async def test_of_many_at_once_all_are_given_the_same_batch(db: Database) -> None:
    async def one(number: int) -> Reserved:
        async with db.write() as conn:
            return await inbox.reserve(conn, "payment", SHA, f"b{number}", f"claim-{number}")

    assert len(set(await asyncio.gather(*(one(number) for number in range(8))))) == 1
