"""Failed sign-ins are audit events while they are few, and many of them become a few counted events."""

from datetime import UTC, datetime, timedelta

import pytest

from store.audit import audit_log
from store.audit.audit_log import StoredEvent
from store.db.database import Database
from store.people import failed_sign_ins, people

NOW = datetime(2026, 11, 30, 9, 5, tzinfo=UTC)


async def noted(db: Database) -> list[StoredEvent]:
    async with db.read() as conn:
        return [event for event in await audit_log.page(conn, limit=1000) if event.kind.startswith("sign_in")]


@pytest.mark.both_databases
async def test_the_first_of_an_hour_are_single_events_and_the_rest_is_counted(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "ada", "Ada", [], by="test")
        for _ in range(100):
            await failed_sign_ins.note(conn, "password", "password", "ada", NOW)
        await failed_sign_ins.note(conn, "token", "revoked", "bea", NOW)
    found = await noted(db)
    singles = [event for event in found if event.kind == "sign_in_failed"]
    assert [event.data["person"] for event in singles] == ["ada"] * failed_sign_ins.SINGLE + ["bea"]
    assert singles[0].data == {"person": "ada", "way": "password", "why": "password"}
    assert [event.data["number"] for event in found if event.kind == "sign_ins_failed"] == [40, 80]
    async with db.write() as conn:
        await failed_sign_ins.settle(conn, NOW + timedelta(hours=1))
        await failed_sign_ins.settle(conn, NOW + timedelta(hours=1))
    last = (await noted(db))[-1]
    assert (last.kind, last.data["person"], last.data["number"]) == ("sign_ins_failed", "ada", 100)


async def test_a_flood_of_names_hides_no_tries_against_one_person(db: Database) -> None:
    async with db.write() as conn:
        for _ in range(failed_sign_ins.SINGLE_IN_ALL + 1):
            await failed_sign_ins.note(conn, "password", "unknown", None, NOW)
    before = len(await noted(db))
    async with db.write() as conn:
        for _ in range(9):
            await failed_sign_ins.note(conn, "password", "password", "ada", NOW)
    told = [(event.data["person"], event.data["number"]) for event in (await noted(db))[before:]]
    assert told == [("ada", 4), ("ada", 8)]
    async with db.write() as conn:
        await failed_sign_ins.settle(conn, NOW + timedelta(hours=1))
    last = (await noted(db))[-2:]
    assert [(event.data["person"], event.data["number"]) for event in last] == [(None, 210), ("ada", 9)]


async def test_a_flood_by_many_names_is_bounded_too(db: Database) -> None:
    async with db.write() as conn:
        for number in range(600):
            await failed_sign_ins.note(conn, "password", "unknown", f"p{number}" if number % 2 else None, NOW)
    found = await noted(db)
    assert failed_sign_ins.SINGLE < len(found) < failed_sign_ins.SINGLE_IN_ALL + 10
    async with db.write() as conn:
        await failed_sign_ins.settle(conn, NOW + timedelta(hours=2))
    assert (await noted(db))[-1].data == {
        "person": None,
        "of": "all",
        "hour": "2026-11-30 09:00 UTC",
        "number": 600,
    }
