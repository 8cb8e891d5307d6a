"""Versions of datasets: a version in use or needed for a rollback is kept, and no number is used twice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from domain.errors import Refused
from store.db.database import Database
from store.receivers.datasets import Datasets
from store.tables.receivers import dataset_rows, dataset_versions


async def rows(*names: str) -> AsyncIterator[list[dict[str, Any]]]:
    for name in names:
        yield [{"name": name}]


async def loaded(datasets: Datasets, case: str, name: str = "goods") -> int:
    return (await datasets.stage(f"{case}/load", case, name, "0" * 64, {}, rows(case))).version


async def published(datasets: Datasets, case: str, base: int | None, name: str = "goods") -> int:
    await loaded(datasets, case, name)
    return (await datasets.publish(f"{case}/publish", case, name, base)).version


async def restored(datasets: Datasets, case: str) -> bool:
    return await datasets.unpublish(f"{case}/publish/undo", f"{case}/publish", case)


async def dropped(datasets: Datasets, case: str) -> bool:
    return await datasets.unstage(f"{case}/load/undo", f"{case}/load", case)


async def in_force(datasets: Datasets, name: str = "goods") -> int | None:
    return await datasets.current(name)


@pytest.mark.both_databases
@pytest.mark.undoes("drop_rows")
@pytest.mark.undoes("restore_version")
async def test_rows_are_not_removed_while_they_are_published_or_a_rollback_would_publish_them(db: Database) -> None:
    datasets = Datasets(db)
    await published(datasets, "a", None)
    # Operators have left out what would have put nothing in its place.
    with pytest.raises(Refused, match="Version 1 of goods is published, so its rows are not removed"):
        await dropped(datasets, "a")
    await published(datasets, "b", 1)
    with pytest.raises(Refused, match="A rollback of version 2 of goods would publish version 1 again"):
        await dropped(datasets, "a")
    assert await restored(datasets, "b") and await in_force(datasets) == 1
    assert await dropped(datasets, "b")
    assert await restored(datasets, "a") and await dropped(datasets, "a")
    assert await in_force(datasets) is None and [await dropped(datasets, "a") for _ in range(2)] == [True, True]


@pytest.mark.undoes("restore_version")
async def test_a_version_whose_predecessor_is_gone_stays_published_and_a_sentence_says_so(db: Database) -> None:
    datasets = Datasets(db)
    await published(datasets, "a", None)
    await published(datasets, "b", 1)
    async with db.write() as conn:
        await conn.execute(delete(dataset_versions).where(dataset_versions.c.version == 1))
    with pytest.raises(Refused, match=r"Version 1 of goods.*is not kept any more, so version 2 stays published"):
        await restored(datasets, "b")
    assert await in_force(datasets) == 2


async def test_no_number_is_given_twice_although_versions_are_removed(db: Database) -> None:
    datasets = Datasets(db)
    assert await published(datasets, "a", None) == 1
    assert await loaded(datasets, "b") == 2
    assert await dropped(datasets, "b")
    assert await published(datasets, "c", 1) == 3
    assert await restored(datasets, "c") and await dropped(datasets, "c")
    assert await loaded(datasets, "d") == 4
    assert await loaded(datasets, "e", "others") == 1


@pytest.mark.both_databases
async def test_of_first_publications_at_once_one_is_in_force_and_the_others_are_refused(
    another_db: Callable[[], Database],
) -> None:
    stores = [Datasets(another_db()) for _ in range(4)]
    for name in (f"goods-{number}" for number in range(10)):
        cases = [f"{name}/{number}" for number in range(len(stores))]
        numbers = await asyncio.gather(*(loaded(store, case, name) for store, case in zip(stores, cases, strict=True)))
        assert sorted(numbers) == [1, 2, 3, 4]
        found = await asyncio.gather(
            *(store.publish(f"{case}/p", case, name, None) for store, case in zip(stores, cases, strict=True)),
            return_exceptions=True,
        )
        (won,) = (each for each in found if not isinstance(each, BaseException))
        assert await in_force(stores[0], name) == won.version
        assert all("is published now" in str(each) for each in found if each is not won)


@pytest.mark.both_databases
async def test_an_attempt_that_was_overtaken_writes_no_row_any_more(db: Database) -> None:
    datasets = Datasets(db)
    go_on = asyncio.Event()

    async def late() -> AsyncIterator[list[dict[str, Any]]]:
        yield [{"name": "early"}]
        await go_on.wait()
        yield [{"name": "late"}]

    first = asyncio.create_task(datasets.stage("k", "case", "goods", "0" * 64, {}, late()))
    async with asyncio.timeout(10):
        while not await datasets.rows("goods", 1):
            await asyncio.sleep(0.01)

    async def slow() -> AsyncIterator[list[dict[str, Any]]]:
        go_on.set()
        with pytest.raises(RuntimeError, match="another attempt removed"):
            await first
        yield [{"name": "whole"}]

    second = await datasets.stage("k", "case", "goods", "0" * 64, {}, slow())
    async with db.read() as conn:
        found = select(dataset_rows.c.version, func.count()).group_by(dataset_rows.c.version)
        assert [tuple(row) for row in await conn.execute(found)] == [(second.version, 1)]
