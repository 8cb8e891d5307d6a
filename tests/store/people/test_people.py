"""People are known by their tokens, and every change of a person is in the audit log."""

import hashlib
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import delete, select, update

from store.audit import audit_log
from store.cases import policies
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.people import leavers, people, tokens
from store.people.people import UnknownPerson
from store.tables.notifications import account_news
from store.tables.people import people as people_table, tokens as token_rows

PAYMENT = hashlib.sha256(b"[payment]").hexdigest()


@pytest.mark.both_databases
async def test_a_token_says_who_somebody_is(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "manager-1", "Mary", ["managers", "directors"], by="admin-1")
        token = await tokens.make(conn, "manager-1", "laptop", by="admin-1")
    async with db.read() as conn:
        found = await tokens.by_token(conn, token)
        assert found == await people.get(conn, "manager-1")
        assert found is not None and found.groups == ["directors", "managers"]
        assert token.startswith("hg_") and len(token) > 40
        assert token not in str((await conn.execute(select(token_rows))).all())
        assert await tokens.by_token(conn, token + "x") is None
        assert await tokens.by_token(conn, "") is None


async def test_a_revoked_token_is_worth_nothing(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "manager-1", "Mary", [], by="admin-1")
        old = [await tokens.make(conn, "manager-1", label, by="admin-1") for label in ("laptop", "phone")]
        assert await tokens.revoke_all(conn, "manager-1", by="admin-1") == 2
        new = await tokens.make(conn, "manager-1", "laptop", by="admin-1")
    async with db.read() as conn:
        assert [await tokens.by_token(conn, token) for token in old] == [None, None]
        assert await tokens.by_token(conn, new) is not None


async def test_the_token_of_somebody_who_left_is_worth_nothing(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "manager-1", "Mary", [], by="admin-1")
        token = await tokens.make(conn, "manager-1", "laptop", by="admin-1")
        await conn.execute(update(people_table).values(active=False))
    async with db.read() as conn:
        assert await tokens.by_token(conn, token) is None


@pytest.mark.both_databases
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
            tokens.make(conn, "ghost", "laptop", by="admin-1"),
            tokens.revoke_all(conn, "ghost", by="admin-1"),
        ):
            with pytest.raises(UnknownPerson, match="ghost"):
                await call


@pytest.mark.both_databases
async def test_changes_of_people_and_policy_are_audit_events(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "manager-1", "Mary", ["managers"], by="admin-1")
        token = await tokens.make(conn, "manager-1", "laptop", by="admin-1")
        await tokens.revoke_all(conn, "manager-1", by="admin-1")
        await tokens.revoke_all(conn, "manager-1", by="admin-1")
        await policies.keep(conn, PAYMENT, "[payment]")
        await policies.keep(conn, PAYMENT, "[payment]")
    async with db.read() as conn:
        events = await audit_log.page(conn, "")
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
    assert (await audit_log.verify(db)).problems == []


async def _told(db: Database) -> list[tuple[str, str, str]]:
    async with db.write() as conn:
        rows = (await conn.execute(select(account_news).order_by(account_news.c.person))).all()
        await conn.execute(delete(account_news))
    return [(row.person, row.kind, row.about) for row in rows]


async def test_members_and_admins_are_told_who_an_admin_puts_into_a_group(db: Database) -> None:
    async with db.write() as conn:
        for id, group in {"ada": "admins", "bob": "admins", "mia": "managers", "max": "managers"}.items():
            await people.add(conn, id, id, [group], by="cli:root")
        await people.add(conn, "rita", "Rita", ["requesters"], by="ada")
    assert {kind for _, kind, _ in await _told(db)} == {"admin_added"}
    fred = "managers: fred"
    ways: list[Callable[[AsyncConnection], Awaitable[object]]] = [
        lambda conn: people.add(conn, "fred", "Fred", ["managers", "requesters"], by="ada"),
        lambda conn: leavers.deactivate(conn, "fred", "x", by="ada"),
        lambda conn: leavers.reactivate(conn, "fred", ["managers"], by="ada"),
        lambda conn: people.leave(conn, "fred", "managers", by="ada"),
        lambda conn: people.join(conn, "fred", "managers", by="ada"),
        lambda conn: people.join(conn, "fred", "managers", by="ada"),  # once more: nothing happens
        lambda conn: people.join(conn, "rita", "managers", by="cli:root"),
        lambda conn: leavers.replace(conn, "rita", "fred", "x", by="ada"),
    ]
    told = []
    for way in ways:
        async with db.write() as conn:
            await way(conn)
        told.append([each for each in await _told(db) if each[1] == "member_added"])
    all_of_them = [(person, "member_added", fred) for person in ("bob", "max", "mia")]
    assert told == [all_of_them, [], all_of_them, [], all_of_them, [], [], []]
    async with db.write() as conn:
        await leavers.replace(conn, "mia", "ada", "x", by="bob")  # a leaver's groups are joined, too
    assert [(person, about) for person, _, about in await _told(db)] == [
        ("fred", "managers: ada"),
        ("max", "managers: ada"),
    ]
