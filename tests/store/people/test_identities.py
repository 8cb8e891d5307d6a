"""Accounts of identity providers in SQL: one person for each account, one reader of groups at a time."""

from datetime import UTC, datetime, timedelta

import pytest

from store.db.database import Database
from store.people import emergency_links, identities, leavers, one_time_links, people, sessions
from store.people.identities import AlreadyConnected, UnknownIdentity
from store.people.one_time_links import NotUsable
from store.people.people import UnknownPerson
from store.people.sessions import ProviderSession

ISSUER = "https://login.example.org"
NOW = datetime.now(UTC)


async def test_an_account_belongs_to_one_person_and_its_sessions_end_with_it(db: Database) -> None:
    async with db.write() as conn:
        for id, group in (("anna", "admins"), ("bert", "managers"), ("root", "admins")):
            await people.add(conn, id, id, [group], by="t")
        made = await identities.connect(conn, "anna", ISSUER, "00u1", "cli:t", NOW)
        assert await identities.connect(conn, "anna", ISSUER, "00u1", "cli:t", NOW) == made, "once more changes nothing"
        await identities.connect(conn, "anna", "https://other.example", "00u1", "cli:t", NOW)
        with pytest.raises(AlreadyConnected, match="belongs to anna"):
            await identities.connect(conn, "bert", ISSUER, "00u1", "cli:t", NOW)
        with pytest.raises(UnknownPerson):
            await identities.connect(conn, "nobody", ISSUER, "00u2", "cli:t", NOW)
        for subject in ("", "x" * 256, "a\0b"):
            with pytest.raises(ValueError, match="subject"):
                await identities.connect(conn, "bert", ISSUER, subject, "cli:t", NOW)
        assert not await identities.admin_has_signed_in(conn, ISSUER)
        await identities.note_sign_in(conn, made, NOW, "encrypted")
        assert await identities.admin_has_signed_in(conn, ISSUER)
        assert [each.issuer for each in await identities.of(conn, "anna")] == [ISSUER, "https://other.example"]
        person, hour = await people.get(conn, "anna"), timedelta(hours=1)
        there = ProviderSession(ISSUER, "00u1", "sid-1", NOW)
        tokens = [await sessions.begin(conn, person, "oidc", NOW, hour, provider=there) for _ in range(2)]
        assert await sessions.by_token(conn, tokens[0], NOW) is not None
        assert await sessions.end_at_provider(conn, ISSUER, None, "sid-2") == 0
        assert await sessions.end_at_provider(conn, ISSUER, "00u1", "sid-1") == 2
        last = await sessions.begin(conn, person, "oidc", NOW, hour, provider=there)
        with pytest.raises(UnknownIdentity):
            await identities.disconnect(conn, "bert", made.identity_id, "cli:t")
        await identities.disconnect(conn, "anna", made.identity_id, "cli:t")
        assert await sessions.by_token(conn, last, NOW) is None
        begun = await sessions.begin(conn, person, "oidc", NOW, hour, provider=there)
        assert await sessions.by_token(conn, begun, NOW) is None, "a sign-in while the account is disconnected"
        await identities.connect(conn, "bert", ISSUER, "00u1", "cli:t", NOW)
        assert await sessions.by_token(conn, begun, NOW) is None, "another person has the account now"


async def test_one_gateway_reads_the_groups_and_a_logout_token_works_once(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "anna", "Anna", ["managers"], by="t")
        made = await identities.connect(conn, "anna", ISSUER, "00u1", "cli:t", NOW)
        lasts = timedelta(seconds=20)
        assert await identities.take_turn(conn, made, NOW, lasts)
        assert not await identities.take_turn(conn, made, NOW + timedelta(seconds=19), lasts)
        assert await identities.take_turn(conn, made, NOW + lasts, lasts), "the first one never came back"
        await identities.note_reading(conn, made, NOW, "encrypted")
        assert await identities.take_turn(conn, made, NOW, lasts)
        found = await identities.find(conn, ISSUER, "00u1")
        assert found is not None and (found.groups_read_at, found.encrypted_tokens) == (NOW, "encrypted")
        assert await identities.use_logout_token(conn, ISSUER, "jti", NOW, lasts)
        assert not await identities.use_logout_token(conn, ISSUER, "jti", NOW, lasts)
        assert await identities.use_logout_token(conn, "https://other.example", "jti", NOW, lasts)
        await leavers.deactivate(conn, "anna", "left", by="t")
        found = await identities.find(conn, ISSUER, "00u1")
        assert found is not None and found.encrypted_tokens is None


async def test_an_emergency_link_is_used_once(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "anna", "Anna", ["admins"], by="t")
        code = await emergency_links.create(conn, "anna", "cli:t", NOW)
        with pytest.raises(NotUsable):
            await one_time_links.redeem(conn, code, "", NOW)
        assert await one_time_links.redeem(conn, code, "", NOW, emergency=True) == "anna"
        with pytest.raises(NotUsable):
            await one_time_links.redeem(conn, code, "", NOW, emergency=True)


async def test_an_emergency_link_is_void_for_somebody_who_is_no_administrator_any_more(db: Database) -> None:
    async with db.write() as conn:
        for person in ("anna", "otto"):
            await people.add(conn, person, person.title(), ["admins"], by="t")
        code = await emergency_links.create(conn, "anna", "cli:t", NOW)
        await people.leave(conn, "anna", "admins", by="otto")
        with pytest.raises(NotUsable):
            await one_time_links.redeem(conn, code, "", NOW, emergency=True)
