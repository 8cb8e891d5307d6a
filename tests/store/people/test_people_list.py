"""The list of people for admins, and that one admin always remains."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from store.db.database import Database
from store.people import absences, passwords, people, people_list, tokens
from store.people.absences import Absence
from store.people.last_admin import LastAdmin
from store.people.tokens import UnknownToken

NOW = datetime.now(UTC)


async def staff(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "anna", "Anna Berg", ["admins", "managers"], by="test", email="anna@example.org")
        await people.add(conn, "bert", "Bert 100%", ["managers"], by="test")
        await people.add(conn, "carl", "Carl", [], by="test")
        await tokens.make(conn, "anna", "laptop", by="test")
        await passwords.put(conn, "bert", "a hash", NOW, by="test")
        away = Absence(person="bert", starts_at=NOW, ends_at=NOW + timedelta(days=2), substitute="anna")
        await absences.set_away(conn, away, NOW, by="test")


@pytest.mark.both_databases
async def test_a_page_says_of_everybody_what_is_asked_and_never_an_address(db: Database) -> None:
    await staff(db)
    async with db.read() as conn:
        anna, bert, carl = await people_list.page(conn, NOW + timedelta(hours=1))
        assert (anna.groups, anna.email, anna.tokens, anna.password) == (["admins", "managers"], True, 1, False)
        assert "anna@example.org" not in anna.model_dump_json()
        assert (bert.away_until, bert.substitute, bert.password) == (NOW + timedelta(days=2), "anna", True)
        assert (carl.groups, carl.away_until, carl.tokens) == ([], None, 0)
        assert [each.id for each in await people_list.page(conn, NOW, q="100%")] == ["bert"]
        assert [each.id for each in await people_list.page(conn, NOW, group="managers", after="anna")] == ["bert"]
        assert [each.id for each in await people_list.page(conn, NOW, limit=1, only="carl")] == ["carl"]
        told = {each.group: [member.id for member in each.members] for each in await people_list.groups(conn)}
    assert told == {"admins": ["anna"], "managers": ["anna", "bert"]}


async def test_one_token_is_revoked_by_the_name_that_the_list_shows(db: Database) -> None:
    await staff(db)
    async with db.write() as conn:
        kept = await tokens.make(conn, "anna", "phone", by="anna")
        _, laptop = await tokens.of(conn, "anna")
        assert laptop.label == "laptop"
        await tokens.revoke(conn, "anna", laptop.id, by="anna")
        assert [each.revoked_at is None for each in await tokens.of(conn, "anna")] == [True, False]
        assert await tokens.by_token(conn, kept) is not None
        for person, token_id in (("anna", laptop.id), ("bert", laptop.id), ("anna", "nothing")):
            with pytest.raises(UnknownToken):
                await tokens.revoke(conn, person, token_id, by="anna")


@pytest.mark.both_databases
async def test_of_two_admins_who_leave_at_once_one_stays(db: Database) -> None:
    await staff(db)
    async with db.write() as conn:
        await people.join(conn, "carl", "admins", by="anna")

    async def go(person: str) -> str | None:
        try:
            async with db.write() as conn:
                await people.leave(conn, person, "admins", by=person)
        except LastAdmin:
            return person
        return None

    stayed = [person for person in await asyncio.gather(go("anna"), go("carl")) if person]
    assert len(stayed) == 1
    async with db.read() as conn:
        assert [each.id for each in await people_list.page(conn, NOW, group="admins")] == stayed
