"""Passkeys are stored with their events, count their uses, and end with their owner."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from store.audit import audit_log
from store.db.database import Database
from store.notifications import account_news
from store.people import demo_people, leavers, passkey_challenges, passkeys, people, sessions
from store.people.passkeys import NotAdded, Passkey, UnknownPasskey
from store.tables.people import passkey_challenges as challenges_table, sessions as sessions_table

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def passkey(person: str = "ada", number: int = 1, sign_count: int = 0) -> Passkey:
    credential_id = f"Y3JlZGVudGlhbA-{number}"
    return Passkey(
        passkey_id=passkeys.id_of(credential_id),
        person=person,
        domain="localhost",
        credential_id=credential_id,
        public_key="pQECAyYgASFYIA",
        sign_count=sign_count,
        user_handle="aGFuZGxl",
        name=f"Laptop {number}",
        transports=["internal"],
        device_type="single_device",
        backed_up=False,
        created_at=NOW + timedelta(seconds=number),
    )


async def ada_with(db: Database, *added: Passkey) -> None:
    async with db.write() as conn:
        await people.add(conn, "ada", "Ada", ["managers"], by="test", email="ada@example.org")
        for each in added:
            await passkeys.add(conn, each)


async def events(db: Database) -> list[tuple[str, str, dict[str, object]]]:
    async with db.read() as conn:
        found = await audit_log.page(conn, "")
    return [(each.kind, each.actor, each.data) for each in found if each.kind.startswith("passkey_")]


@pytest.mark.both_databases
async def test_the_event_of_a_passkey_holds_all_that_a_check_needs(db: Database) -> None:
    new = passkey()
    await ada_with(db, new)
    async with db.write() as conn:
        assert await passkeys.of(conn, "ada") == [new]
        assert await passkeys.by_credential(conn, new.credential_id) == new
        assert await passkeys.by_credential(conn, "unknown") is None
        renamed = await passkeys.rename(conn, "ada", new.passkey_id, " Phone ")
        assert await passkeys.of(conn, "ada", "localhost") == [renamed] and renamed.name == "Phone"
        assert await passkeys.of(conn, "ada", "example.org") == []
        await passkeys.remove(conn, "ada", new.passkey_id, by="admin-1")
        assert await passkeys.of(conn, "ada") == []
        told = [(each.kind.value, each.by, each.about) for each in await account_news.of(conn, "ada")]
    its = {"person": "ada", "passkey_id": new.passkey_id}
    checked = {"credential_id": new.credential_id, "public_key": new.public_key, "domain": "localhost"}
    kind = {"transports": ["internal"], "device_type": "single_device", "backed_up": False, "sign_count": 0}
    assert await events(db) == [
        ("passkey_added", "ada", {**its, **checked, **kind, "name": "Laptop 1"}),
        ("passkey_renamed", "ada", {**its, "name": "Phone", "before": "Laptop 1"}),
        ("passkey_removed", "admin-1", {**its, "credential_id": new.credential_id, "name": "Phone"}),
    ]
    assert told == [("passkey_removed", "admin-1", "Phone"), ("passkey_added", "ada", "Laptop 1")]


@pytest.mark.both_databases
async def test_a_counter_that_does_not_go_forward_is_an_event(db: Database) -> None:
    await ada_with(db, passkey(sign_count=5), passkey(number=2))
    uses = []
    async with db.write() as conn:
        for number, signed in ((1, 6), (1, 2**32 - 1), (1, 2**32 - 1), (1, 0), (2, 0), (2, 0), (2, 1), (2, 0)):
            known = await passkeys.by_credential(conn, passkey(number=number).credential_id)
            assert known is not None
            uses.append(await passkeys.count_use(conn, known, signed, NOW, backed_up=True))
        first, second = await passkeys.of(conn, "ada")
        told = [each.about for each in await account_news.of(conn, "ada") if each.kind == "passkey_copied"]
    assert uses == [True, True, False, False, True, True, True, False]
    assert (first.sign_count, first.last_used_at, first.backed_up) == (2**32 - 1, NOW, True)
    assert second.sign_count == 1 and told == ["Laptop 2", "Laptop 1", "Laptop 1"]
    copied = [data for kind, _, data in await events(db) if kind == "passkey_copied"]
    assert [(each["stored"], each["signed"]) for each in copied] == [(2**32 - 1, 2**32 - 1), (2**32 - 1, 0), (1, 0)]


async def test_a_known_passkey_one_too_many_and_a_name_that_is_none_are_refused(db: Database) -> None:
    await ada_with(db, *(passkey(number=number) for number in range(passkeys.MOST - 1)))
    async with db.write() as conn:
        await people.add(conn, "bea", "Bea", [], by="test")
        for new, why in (
            (passkey("bea", 1), "was added before"),
            (passkey("nobody", 99), "is not known"),
        ):
            with pytest.raises(NotAdded, match=why):
                await passkeys.add(conn, new)
        await passkeys.add(conn, passkey(number=98))
        with pytest.raises(NotAdded, match="you have 20 passkeys"):
            await passkeys.add(conn, passkey(number=99))
        for name in (" ", "x" * 61, "a\u202eb"):
            with pytest.raises(ValueError):
                await passkeys.rename(conn, "ada", passkey().passkey_id, name)
        for wrong in (
            passkeys.rename(conn, "bea", passkey().passkey_id, "x"),
            passkeys.remove(conn, "ada", "x", "ada"),
        ):
            with pytest.raises(UnknownPasskey):
                await wrong


@pytest.mark.parametrize("way", ["removed", "deactivated", "replaced", "demo ends"])
async def test_a_passkey_and_its_sessions_end_together(db: Database, way: str) -> None:
    await ada_with(db)
    async with db.write() as conn:
        person = await demo_people.ensure(conn, "demo-1", "managers", by="test")
        await people.add(conn, "bea", "Bea", [], by="test")
        assert person is not None
        await passkeys.add(conn, new := passkey("demo-1"))
        token = await sessions.begin(conn, person, "passkey", NOW, HOUR, credential=new.passkey_id)
        assert await sessions.by_token(conn, token, NOW) is not None
        match way:
            case "removed":
                await passkeys.remove(conn, "demo-1", new.passkey_id, by="demo-1")
            case "deactivated":
                await leavers.deactivate(conn, "demo-1", "left", by="admin-1")
            case "replaced":
                await leavers.replace(conn, "demo-1", "bea", "left", by="admin-1")
    if way == "demo ends":
        await demo_people.dismiss_all(db, by="holdgate")
    async with db.read() as conn:
        assert await sessions.by_token(conn, token, NOW) is None
        assert (await conn.execute(select(sessions_table))).all() == []
        assert await passkeys.of(conn, "demo-1") == []
    assert [kind for kind, _, _ in await events(db)] == ["passkey_added", "passkey_removed"]


@pytest.mark.both_databases
async def test_a_challenge_is_taken_once_and_only_in_time(db: Database) -> None:
    await ada_with(db)
    async with db.write() as conn:
        late = await passkey_challenges.make(conn, NOW - passkey_challenges.VALID_FOR)
        assert await passkey_challenges.take(conn, late, NOW) is None
        first = await passkey_challenges.make(conn, NOW, person="ada", user_handle="aGFuZGxl")
        second = await passkey_challenges.make(conn, NOW, person="ada", user_handle="aGFuZGxl")
        sign_in = await passkey_challenges.make(conn, NOW)
        assert await passkey_challenges.take(conn, first, NOW) is None, "the second one replaced it"
        for challenge, person in ((second, "ada"), (sign_in, None)):
            taken = await passkey_challenges.take(conn, challenge, NOW)
            assert taken is not None and taken.person == person
            assert await passkey_challenges.take(conn, challenge, NOW) is None
        assert (await conn.execute(select(challenges_table))).all() == [], "the expired one went with the next"
