"""Absences that overlap: the last statement about a day applies."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from store.db.database import Database
from store.people import absences, people
from store.people.absences import Absence

FIRST = datetime(2031, 1, 1, tzinfo=UTC)
DAYS = 12
SUBSTITUTES = ("ann", "bob", None)


def day(number: int) -> datetime:
    return FIRST + timedelta(days=number)


@pytest.fixture
async def db(db: Database) -> Database:
    async with db.write() as conn:
        for name in ("mia", "ann", "bob"):
            await people.add(conn, name, name.title(), [], by="test")
    return db


async def covered(db: Database) -> list[str | None]:
    """For each day who stands in for mia, `-` where she is there."""
    async with db.read() as conn:
        found = [await absences.substitutes(conn, ["mia"], day(n) + timedelta(hours=12)) for n in range(DAYS)]
    return [each.get("mia", "-") for each in found]


@pytest.mark.both_databases
async def test_an_absence_inside_a_longer_one_leaves_what_lies_around_it(db: Database) -> None:
    async with db.write() as conn:
        await absences.set_away(
            conn, Absence(person="mia", starts_at=day(0), ends_at=day(10), substitute="ann"), FIRST, by="mia"
        )
        await absences.set_away(
            conn, Absence(person="mia", starts_at=day(3), ends_at=day(5), substitute="bob"), FIRST, by="mia"
        )
    assert await covered(db) == ["ann"] * 3 + ["bob"] * 2 + ["ann"] * 5 + ["-"] * 2
    async with db.write() as conn:
        assert await absences.set_back(conn, "mia", day(4), by="mia")
    assert await covered(db) == ["ann"] * 3 + ["bob"] + ["-"] * 8


async def test_whatever_is_said_each_day_belongs_to_what_was_said_of_it_last(db: Database) -> None:
    said = random.Random(16)
    for _ in range(15):
        expected: list[str | None] = ["-"] * DAYS
        async with db.write() as conn:
            await absences.set_back(conn, "mia", FIRST - timedelta(days=1), by="mia")
            for _ in range(5):
                start = said.randrange(DAYS - 1)
                end = said.randrange(start + 1, DAYS)
                substitute = said.choice(SUBSTITUTES)
                expected[start:end] = [substitute] * (end - start)
                absence = Absence(person="mia", starts_at=day(start), ends_at=day(end), substitute=substitute)
                await absences.set_away(conn, absence, FIRST - timedelta(days=1), by="mia")
        assert await covered(db) == expected
