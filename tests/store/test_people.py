"""People are known by their tokens, and every change of them is in the record."""

import hashlib

import pytest
from sqlalchemy import select, update

from store import audit, people, policies
from store.database import Database
from store.people import UnknownPerson
from store.tables import people as people_table
from store.tables import tokens

PAYMENT = hashlib.sha256(b"[payment]").hexdigest()


async def test_a_token_says_who_somebody_is(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "manager-1", "Mary", ["managers", "directors"], by="admin-1")
        token = await people.new_token(conn, "manager-1", "laptop", by="admin-1")
    async with db.read() as conn:
        found = await people.by_token(conn, token)
        assert found == await people.get(conn, "manager-1")
        assert found is not None and found.groups == ["directors", "managers"]
        assert token.startswith("hg_") and len(token) > 40
        assert token not in str((await conn.execute(select(tokens))).all())
        assert await people.by_token(conn, token + "x") is None
        assert await people.by_token(conn, "") is None


async def test_a_revoked_token_is_worth_nothing(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "manager-1", "Mary", [], by="admin-1")
        old = [await people.new_token(conn, "manager-1", label, by="admin-1") for label in ("laptop", "phone")]
        assert await people.revoke_tokens(conn, "manager-1", by="admin-1") == 2
        new = await people.new_token(conn, "manager-1", "laptop", by="admin-1")
    async with db.read() as conn:
        assert [await people.by_token(conn, token) for token in old] == [None, None]
        assert await people.by_token(conn, new) is not None


async def test_the_token_of_somebody_who_left_is_worth_nothing(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "manager-1", "Mary", [], by="admin-1")
        token = await people.new_token(conn, "manager-1", "laptop", by="admin-1")
        await conn.execute(update(people_table).values(active=False))
    async with db.read() as conn:
        assert await people.by_token(conn, token) is None


async def test_a_person_is_added_once(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "manager-1", "Mary", ["managers"], by="admin-1")
        with pytest.raises(ValueError, match="already"):
            await people.add(conn, "manager-1", "Maria", [], by="admin-1")
        await people.add(conn, "admin-1", "Ann", [], by="admin-1")
        assert [person.id for person in await people.all(conn)] == ["admin-1", "manager-1"]


@pytest.mark.parametrize(
    ("id", "name", "group"),
    [
        ("holdgate", "Engine", "managers"),
        ("temporal", "Server", "managers"),
        ("", "Mary", "managers"),
        ("two words", "Mary", "managers"),
        ("mary\n", "Mary", "managers"),
        ("m" * 201, "Mary", "managers"),
        ("mary", " ", "managers"),
        ("mary", "Mary", "The Managers"),
    ],
)
async def test_what_cannot_be_a_person_is_refused(db: Database, id: str, name: str, group: str) -> None:
    async with db.write() as conn:
        with pytest.raises(ValueError):
            await people.add(conn, id, name, [group], by="admin-1")


async def test_nobody_knows_a_person_who_was_never_added(db: Database) -> None:
    async with db.write() as conn:
        for call in (
            people.get(conn, "ghost"),
            people.new_token(conn, "ghost", "laptop", by="admin-1"),
            people.revoke_tokens(conn, "ghost", by="admin-1"),
        ):
            with pytest.raises(UnknownPerson, match="ghost"):
                await call


async def test_changes_of_people_and_policy_are_events_of_the_record(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "manager-1", "Mary", ["managers"], by="admin-1")
        token = await people.new_token(conn, "manager-1", "laptop", by="admin-1")
        await people.revoke_tokens(conn, "manager-1", by="admin-1")
        await people.revoke_tokens(conn, "manager-1", by="admin-1")
        await policies.keep(conn, PAYMENT, "[payment]")
        await policies.keep(conn, PAYMENT, "[payment]")
    async with db.read() as conn:
        events = await audit.page(conn, "")
        assert await policies.text(conn, PAYMENT) == "[payment]"
        assert await policies.text(conn, "b" * 64) is None
    assert [(event.kind, event.actor, event.seq) for event in events] == [
        ("person_added", "admin-1", 1),
        ("token_made", "admin-1", 2),
        ("tokens_revoked", "admin-1", 3),
        ("policy_loaded", "holdgate", 4),
    ]
    assert all(event.event_id.startswith("admin/") and event.case_id == "" for event in events)
    assert token not in str(events)
    assert (await audit.verify(db)).problems == []
