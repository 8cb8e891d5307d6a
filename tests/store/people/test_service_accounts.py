"""Service accounts and their tokens in SQL: their owners, when they are suspended, and what is only for people."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from domain.input_errors import WrongField
from domain.ruling import GateRuling
from domain.scope import OVERSEER
from domain.token_scopes import TokenScope
from policy.candidates import with_people
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.notifications import account_news
from store.people import (
    absences,
    emergency_links,
    leavers,
    name_resolver,
    one_time_links,
    passwords,
    people,
    service_accounts,
    tokens,
)
from store.people.absences import Absence
from store.people.last_admin import LastAdmin
from store.people.people import UnknownPerson
from store.people.tokens import TokenRefused
from store.people.viewers import viewer_of
from store.tables.people import tokens as token_rows
from tests.domain.test_gate import a_gate

NOW = datetime.now(UTC)
SOON = NOW + timedelta(days=30)


async def bot(conn: AsyncConnection, **more: Any) -> str:
    """Two admins, two managers, and the account `bot` of the managers; answers its token."""
    for id, groups in {"ada": ["admins"], "otto": ["admins"], "mia": ["managers"], "moe": ["managers"]}.items():
        await people.add(conn, id, id.title(), groups, by="test")
    return await create(conn, **more)


async def create(conn: AsyncConnection, **more: Any) -> str:
    known: dict[str, Any] = {"owners": ["mia"], "scopes": ["cases:ask", "cases:read"], "expires_at": None, "by": "ada"}
    id = more.pop("id", "bot")
    return await service_accounts.create(conn, id, "Bot", **known | more)


async def news(conn: AsyncConnection, person: str) -> list[tuple[str, str]]:
    return [(each.kind.value, each.about) for each in await account_news.of(conn, person)]


@pytest.mark.both_databases
async def test_an_account_asks_with_its_token_and_shows_when_that_was_used(db: Database) -> None:
    async with db.write() as conn:
        token = await bot(conn, expires_at=SOON)
        holder = await tokens.holder(conn, token, NOW)
        assert holder and (holder.person.id, holder.person.kind) == ("bot", "service")
        assert holder.scopes == frozenset({"cases:ask", "cases:read"}) and holder.person.groups == ["requesters"]
        assert token not in str((await conn.execute(select(token_rows))).all())
        await tokens.note_use(conn, tokens.credential_of(token), NOW)
        await tokens.note_use(conn, tokens.credential_of(token), NOW + timedelta(minutes=1))
        (account,) = await service_accounts.listed(conn)
        assert account.model_dump(include={"status", "owners", "groups", "scopes", "tokens"}) == {
            **{"status": "active", "owners": ["mia"], "groups": ["requesters"], "tokens": 1},
            "scopes": [TokenScope.CASES_ASK, TokenScope.CASES_READ],
        }
        assert account.last_used_at == NOW + timedelta(minutes=1) and account.expires_at == SOON
        (shown,) = await tokens.of(conn, "bot")
        assert (shown.scopes, shown.expires_at) == ([TokenScope.CASES_ASK, TokenScope.CASES_READ], SOON)
        assert [each.id for each in await service_accounts.listed(conn, owner="moe")] == []
        assert [each.id for each in await service_accounts.listed(conn, owner="mia")] == ["bot"]
        assert ("owner_named", "bot") in await news(conn, "mia")
    with pytest.raises(TokenRefused, match="This token ended at .*" + str(SOON.year)):
        async with db.read() as conn:
            await tokens.holder(conn, token, SOON)


@pytest.mark.parametrize(
    ("more", "field", "said"),
    [
        ({"owners": []}, "owners", "name 1 to 20 owners"),
        ({"owners": ["nobody"]}, "owners", "'nobody' is not an active person"),
        ({"owners": ["mia", "left"]}, "owners", "'left' is not an active person"),
        ({"owners": ["bot"]}, "owners", "'bot' is not an active person"),
        ({"owners": ["new"], "id": "new"}, "owners", "'new' is not an active person"),
        ({"scopes": []}, "scopes", "at least one scope"),
        ({"scopes": ["cases:decide"]}, "scopes", "'cases:decide' is not a scope"),
        ({"expires_at": NOW - timedelta(seconds=1)}, "expires_at", "must be in the future"),
        ({"expires_at": NOW + timedelta(days=365 * 50)}, "expires_at", "within five years"),
    ],
)
async def test_an_account_has_owners_who_are_people_and_scopes_and_an_end(
    db: Database, more: dict[str, Any], field: str, said: str
) -> None:
    async with db.write() as conn:
        await bot(conn)
        await people.add(conn, "left", "Left", [], by="test")
        await leavers.deactivate(conn, "left", "gone", by="ada")
    with pytest.raises(WrongField, match=said) as wrong:
        async with db.write() as conn:
            await create(conn, **{"id": "other", **more})
    assert wrong.value.field == field


async def test_a_token_of_an_account_reaches_no_further_than_the_account(db: Database) -> None:
    async with db.write() as conn:
        await bot(conn, expires_at=SOON)
        narrow = await service_accounts.new_token(conn, "bot", "reader", "mia", scopes=["cases:read"])
        holder = await tokens.holder(conn, narrow, NOW)
        assert holder and holder.scopes == frozenset({"cases:read"})
        for more, said in (
            ({"scopes": ["audit:read"]}, "does not have the scope audit:read"),
            ({"expires_at": SOON + timedelta(days=1)}, "the account ends earlier"),
        ):
            with pytest.raises(WrongField, match=said):
                await service_accounts.new_token(conn, "bot", "more", "mia", **more)
        with pytest.raises(ValueError, match="its tokens need scopes"):
            await tokens.make(conn, "bot", "everything", "ada")


async def test_a_jwt_of_an_account_has_at_most_the_scopes_of_the_account(db: Database) -> None:
    async with db.write() as conn:
        await bot(conn, expires_at=SOON)
        for wanted, given in ((None, {"cases:ask", "cases:read"}), ({"cases:read", "audit:read"}, {"cases:read"})):
            scopes = None if wanted is None else frozenset(wanted)
            assert await service_accounts.scopes_now(conn, "bot", scopes, NOW) == given
        with pytest.raises(TokenRefused, match="ended at"):
            await service_accounts.scopes_now(conn, "bot", None, SOON)
        await leavers.deactivate(conn, "mia", "gone", by="ada")
        with pytest.raises(TokenRefused, match="no active owner"):
            await service_accounts.scopes_now(conn, "bot", None, NOW)


@pytest.mark.both_databases
async def test_without_an_active_owner_an_account_is_suspended_and_administrators_hear_of_it(db: Database) -> None:
    async with db.write() as conn:
        token = await bot(conn, owners=["mia", "moe"])
        await leavers.deactivate(conn, "mia", "gone", by="ada")
        assert (await service_accounts.get(conn, "bot")).status == "active"
        await leavers.deactivate(conn, "moe", "gone", by="ada")
        assert (await service_accounts.get(conn, "bot")).status == "suspended"
        for admin in ("ada", "otto"):
            assert ("account_suspended", "bot") in await news(conn, admin)
    async with db.read() as conn:
        with pytest.raises(TokenRefused, match="no active owner"):
            await tokens.holder(conn, token, NOW)
        assert await tokens.by_token(conn, token) is None
    async with db.write() as conn:
        await service_accounts.set_owners(conn, "bot", ["ada"], by="otto")
        assert await tokens.holder(conn, token, NOW)
    async with db.read() as conn:
        kinds = {event.kind for event in await audit_log.page(conn, "")}
    assert {"service_account_added", "service_account_suspended", "service_account_owners_set"} <= kinds


async def test_the_successor_of_an_owner_owns_the_account(db: Database) -> None:
    async with db.write() as conn:
        await bot(conn)
        await leavers.replace(conn, "mia", "moe", "left", by="ada")
        assert (await service_accounts.get(conn, "bot")).owners == ["moe"]
        assert await service_accounts.asked_for(conn, "bot", "otto") == ["otto", "moe"]
        assert await service_accounts.asked_for(conn, "moe", "otto") == []


async def test_an_owner_who_left_before_does_not_keep_another_owner_from_leaving(db: Database) -> None:
    async with db.write() as conn:
        await bot(conn, owners=["mia", "moe"])
        await leavers.deactivate(conn, "mia", "gone", by="ada")
        await leavers.replace(conn, "moe", "otto", "left", by="ada")
        assert (await service_accounts.get(conn, "bot")).owners == ["mia", "otto"]


async def test_a_deactivated_account_loses_its_tokens_and_can_come_back(db: Database) -> None:
    async with db.write() as conn:
        token = await bot(conn)
        await service_accounts.deactivate(conn, "bot", by="mia")
        await service_accounts.deactivate(conn, "bot", by="mia")
        assert await tokens.holder(conn, token, NOW) is None
        assert (await service_accounts.get(conn, "bot")).status == "deactivated"
        with pytest.raises(ValueError, match="reactivate the account first"):
            await service_accounts.new_token(conn, "bot", "again", "mia")
        await service_accounts.reactivate(conn, "bot", by="ada")
        assert await tokens.holder(conn, token, NOW) is None
        assert await tokens.holder(conn, await service_accounts.new_token(conn, "bot", "again", "mia"), NOW)
        with pytest.raises(UnknownPerson):
            await service_accounts.get(conn, "mia")


def away(person: str, substitute: str | None) -> Absence:
    return Absence(person=person, starts_at=NOW, ends_at=SOON, substitute=substitute)


FOR_PEOPLE: dict[str, Callable[[AsyncConnection], Awaitable[Any]]] = {
    "a manager": lambda conn: people.set_manager(conn, "bot", "moe", by="ada"),
    "to be a manager": lambda conn: people.set_manager(conn, "moe", "bot", by="ada"),
    "an address": lambda conn: people.set_email(conn, "bot", "bot@example.org", by="ada"),
    "a password": lambda conn: passwords.put(conn, "bot", "a hash", NOW, by="ada"),
    "a one-time link": lambda conn: one_time_links.ask(conn, "bot", "ada", NOW, mail=False),
    "an emergency link": lambda conn: emergency_links.create(conn, "bot", "cli:root", NOW),
    "an absence": lambda conn: absences.set_away(conn, away("bot", None), NOW, by="ada"),
    "to be a substitute": lambda conn: absences.set_away(conn, away("moe", "bot"), NOW, by="ada"),
    "a successor": lambda conn: leavers.replace(conn, "bot", "moe", "left", by="ada"),
    "to be a successor": lambda conn: leavers.replace(conn, "moe", "bot", "left", by="ada"),
    "to leave as a person": lambda conn: leavers.deactivate(conn, "bot", "left", by="ada"),
    "to return as a person": lambda conn: leavers.reactivate(conn, "bot", [], by="ada"),
}


@pytest.mark.parametrize("change", FOR_PEOPLE)
async def test_a_service_account_gets_nothing_that_is_for_people(db: Database, change: str) -> None:
    async with db.write() as conn:
        await bot(conn, groups=["admins"])
    with pytest.raises(ValueError, match=r"service account|no active person"):
        async with db.write() as conn:
            await FOR_PEOPLE[change](conn)


@pytest.mark.both_databases
async def test_a_service_account_counts_nowhere_as_a_person_who_decides(db: Database) -> None:
    async with db.write() as conn:
        await bot(conn, groups=["managers", "admins"])
        found = await people.candidates_of(conn, ["managers"], ["bot"], NOW)
        assert [each.id for each in found] == ["mia", "moe"]
        assert await name_resolver.exact_id(conn, "bot") is None
        assert await name_resolver.existing_names(conn, ["bot"]) == (set(), set())
        with pytest.raises(name_resolver.UnknownName):
            await name_resolver.id_meant(conn, "Bot")
        assert not (await viewer_of(conn, "bot", OVERSEER)).decides
        await people.leave(conn, "otto", "admins", by="ada")
        with pytest.raises(LastAdmin):  # the account does not count as an administrator
            await people.leave(conn, "ada", "admins", by="ada")


@pytest.mark.parametrize(("groups", "can"), [(["bots"], 0), (["bots", "managers"], 1)])
async def test_a_gate_counts_neither_the_account_nor_its_owners(db: Database, groups: list[str], can: int) -> None:
    """The account is in a group of its own, with the managers Mia, who owns it, and Moe, who does not."""
    async with db.write() as conn:
        await bot(conn, groups=["bots", "managers"])
        await people.add(conn, "pal", "Pal", ["requesters"], by="test")
        await people.set_manager(conn, "pal", "moe", by="ada")
    asked = {"requester": "bot", "on_behalf_of": "pal", "asked_for": ["pal"]}  # as before Mia became an owner
    task, directory = a_gate().task.model_copy(update=asked), people.PeopleDirectory(db)
    found = await with_people(task, GateRuling(needed=True, rule="true", groups=groups), directory, escalate=True)
    assert (found.excluded, bool(found.short)) == (["mia"], can < 1)
    above = GateRuling(needed=True, rule="true", users=["manager_of(requester)"])
    assert (await with_people(task, above, directory)).ruling.users == ["moe"]
    nobody = task.model_copy(update={"on_behalf_of": None})
    assert (await with_people(nobody, above, directory)).ruling.users == []
