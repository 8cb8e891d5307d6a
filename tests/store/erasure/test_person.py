"""The erasure of a person: nothing that says who it was is left in any table, and the audit log still verifies."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import JSON, Boolean, Column, DateTime, Integer, Table, insert, select, update

from domain.erasure import NotErasable
from store.audit import audit_log
from store.cases import legal_holds
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.erasure.person import KEPT, NAME, OF_A_PERSON, erase_person
from store.people import absences, leavers, people, service_accounts
from store.people.absences import Absence
from store.tables.audit import event_payloads, events
from store.tables.base import Instant, metadata
from store.tables.cases import cases as case_rows, decisions, proofs, tasks
from store.tables.people import people as people_rows, service_account_owners
from tests.store.sample_cases import opening, recorded, submitted, task

WHO, NAMED, ADDRESS, OLD = "p-1", "Wilhelmina Canary", "canary@example.org", "former-canary@example.org"
BY: dict[str, Any] = {"by": "operator-1", "reason": "Request 2026-115", "request": "erasure:person-1"}
NOW = datetime.now(UTC)


async def there(db: Database, *groups: str) -> None:
    async with db.write() as conn:
        await people.add(conn, WHO, NAMED, groups, by="admin-1", email=OLD)
        await people.add(conn, "p-2", "Somebody else", [], by="admin-1")
        await people.set_email(conn, WHO, ADDRESS, "admin-1")


async def gone(db: Database, *groups: str) -> None:
    """Somebody who was here and has left."""
    await there(db, *groups)
    async with db.write() as conn:
        await leavers.deactivate(conn, WHO, f"{NAMED} has another job", by="admin-1")


async def whole(db: Database) -> dict[str, str]:
    """All rows of all tables as text, by table."""
    async with db.read() as conn:
        rows = {table.name: [*await conn.execute(select(table))] for table in metadata.sorted_tables}
    return {name: str([tuple(row) for row in each]) for name, each in rows.items()}


def test_every_table_about_a_person_is_erased_or_stays_for_a_reason() -> None:
    about = {table.name for table in metadata.sorted_tables if {"person", "owner"} & {*table.c.keys()}}
    known = {table.name for table in OF_A_PERSON} | {*KEPT}
    assert about <= known, f"add to OF_A_PERSON or to KEPT in store/erasure/person.py: {about - known}"


def _value(column: Column[Any], mark: str) -> Any:
    match column.type:
        case JSON():
            return [mark]
        case Boolean():
            return False
        case Integer():
            return 999
        case Instant() | DateTime():
            return NOW
        case _:
            return mark[: getattr(column.type, "length", None)]


def _row(table: Table, column: str) -> dict[str, Any]:
    """A row about the person whose every text has the person's name."""
    row = {each.name: "p-2" if each.foreign_keys else _value(each, NAMED) for each in table.c}
    return {**row, column: WHO}


@pytest.mark.both_databases
async def test_after_the_erasure_no_table_has_the_name_or_an_address(db: Database) -> None:
    await there(db, "managers")
    case = await submitted(db)
    view = task(case.case_id)
    await recorded(db, opening(view))
    away = Absence(person="p-2", starts_at=NOW, ends_at=NOW + timedelta(days=9), substitute=WHO)
    async with db.write() as conn:
        await absences.set_away(conn, away, NOW, "p-2")
        await people.set_manager(conn, "p-2", WHO, "admin-1")
    async with db.write() as conn:
        await leavers.replace(conn, WHO, "p-2", "Another job", by="admin-1")
        for table, column in OF_A_PERSON.items():
            if {key.column.table.name for each in table.c for key in each.foreign_keys} <= {"people"}:
                await conn.execute(insert(table), [_row(table, column)])
        await conn.execute(insert(service_account_owners), [{"account": "p-2", "owner": "p-2"}])
        texts = dict.fromkeys(("comment", "content", "refusal", "code"), "")
        told: dict[str, Any] = {
            "decision_id": "d-1",
            "case_id": case.case_id,
            "task_id": view.task_id,
            **texts,
            "person": WHO,
            "name": NAMED,
        }
        told |= {"verdict": "approve", "status": "accepted", "via": "page", "at": NOW, "confirmed": "password"}
        await conn.execute(insert(decisions), [told])
    assert any(NAMED in text for text in (await whole(db)).values())
    async with db.write() as conn:
        erased = await erase_person(conn, WHO, **BY)
    assert erased.rows >= len(OF_A_PERSON) - 6 and erased.events >= 3
    found = await whole(db)
    for secret in (NAMED, ADDRESS, OLD):
        assert [name for name, text in found.items() if secret in text] == []
    assert WHO in found["decisions"], "the id stays"
    async with db.read() as conn:
        row = (await conn.execute(select(people_rows).where(people_rows.c.id == WHO))).one()
    assert (row.name, row.email, row.active) == (NAME, None, False) and row.erased_at is not None
    verified = await audit_log.verify(db)
    assert verified.problems == [] and verified.erased == erased.events


async def test_erasing_again_changes_nothing(db: Database) -> None:
    await gone(db)
    async with db.write() as conn:
        await erase_person(conn, WHO, **BY)
    before = await whole(db)
    async with db.write() as conn:
        assert await erase_person(conn, WHO, **BY) == (0, 0)
    assert await whole(db) == before


async def test_what_somebody_did_to_other_things_stays_readable(db: Database) -> None:
    """The id of the actor stays anyway: without these events nobody could tell how the system was administered."""
    await there(db, "admins")
    async with db.write() as conn:
        await people.add(conn, "p-3", "Third", ["admins"], by=WHO)
        await audit_log.note(conn, "account_locked", by=WHO, summary="Locked", data={"account": "operating"})
        await leavers.deactivate(conn, WHO, "Another job", by="p-3")
    async with db.write() as conn:
        await erase_person(conn, WHO, **BY)
    kept = select(events.c.kind).join(event_payloads, event_payloads.c.number == events.c.number)
    kept = kept.where(events.c.actor == WHO, event_payloads.c.payload.is_not(None))
    async with db.read() as conn:
        assert [*(await conn.execute(kept)).scalars()] == ["person_added", "account_locked"]


async def test_the_key_of_a_passkey_that_signed_a_decision_stays(db: Database) -> None:
    await there(db)
    case = await submitted(db)
    async with db.write() as conn:
        for id in ("signed-with", "never-used"):
            data = {"person": WHO, "credential_id": id, "name": NAMED, "public_key": "k", "domain": "d"}
            await audit_log.note(conn, "passkey_added", by=WHO, summary="Added", data=data)
        signed = {"message_id": "d-1", "case_id": case.case_id, "kind": "decision", "proof": "p", "at": NOW}
        await conn.execute(insert(proofs), [{**signed, "text": json.dumps({"credential_id": "signed-with"})}])
        await leavers.deactivate(conn, WHO, "Another job", by="admin-1")
        await erase_person(conn, WHO, **BY)
    found = (await whole(db))["event_payloads"]
    assert "signed-with" in found and "never-used" not in found


async def _asked_for_an_open_case(conn: AsyncConnection) -> None:
    await conn.execute(update(case_rows).values(requester=WHO))


async def _has_an_open_task(conn: AsyncConnection) -> None:
    await conn.execute(update(tasks).values(assignee=WHO))


async def _has_a_hold(conn: AsyncConnection) -> None:
    await legal_holds.place(conn, "person", WHO, "Matter 7", "admin-1")


async def _asked_for_a_held_case(conn: AsyncConnection) -> None:
    (case_id,) = (await conn.execute(select(case_rows.c.case_id))).scalars()
    ended = update(case_rows).values(requester=WHO, closed_at=NOW, status="completed")
    await conn.execute(ended)
    await conn.execute(update(tasks).values(status="closed"))
    await legal_holds.place(conn, "case", case_id, "Matter 7", "admin-1")


async def _owns_an_account_alone(conn: AsyncConnection) -> None:
    await conn.execute(update(people_rows).where(people_rows.c.id == WHO).values(active=True))
    made: dict[str, Any] = {"owners": [WHO], "scopes": ["cases:read"], "expires_at": None, "by": "admin-1"}
    await service_accounts.create(conn, "bot", "A bot", **made)
    await conn.execute(update(people_rows).where(people_rows.c.id == WHO).values(active=False))


async def _is_back(conn: AsyncConnection) -> None:
    await leavers.reactivate(conn, WHO, [], by="admin-1")


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (_asked_for_an_open_case, "have not ended"),
        (_has_an_open_task, "open tasks"),
        (_has_a_hold, "legal hold"),
        (_asked_for_a_held_case, "legal hold"),
        (_owns_an_account_alone, "only owner"),
        (_is_back, "is active"),
    ],
)
async def test_a_person_who_is_still_needed_is_not_erased(
    db: Database, happens: Callable[[AsyncConnection], Awaitable[None]], said: str
) -> None:
    await gone(db)
    case = await submitted(db)
    await recorded(db, opening(task(case.case_id)))
    async with db.write() as conn:
        await happens(conn)
    before = await whole(db)
    with pytest.raises(NotErasable, match=said):
        async with db.write() as conn:
            await erase_person(conn, WHO, **BY)
    assert await whole(db) == before


async def test_the_last_administrator_is_told_what_to_do(db: Database) -> None:
    await there(db, "admins")
    with pytest.raises(NotErasable, match="last member of admins"):
        async with db.write() as conn:
            await erase_person(conn, WHO, **BY)


@pytest.mark.parametrize("id", ["nobody", "bot"])
async def test_nobody_and_programs_are_no_people(db: Database, id: str) -> None:
    await there(db)
    async with db.write() as conn:
        made: dict[str, Any] = {"owners": [WHO], "scopes": ["cases:read"], "expires_at": None, "by": "admin-1"}
        await service_accounts.create(conn, "bot", "A bot", **made)
    with pytest.raises(NotErasable, match=r"no such person|service account"):
        async with db.write() as conn:
            await erase_person(conn, id, **BY)
