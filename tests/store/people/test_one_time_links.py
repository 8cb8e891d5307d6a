"""One-time links: their recipients, confirmation, invalidation, and that each is used once."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from cases.reconcile.send_notifications import dispatcher
from core.settings import Settings
from domain.notification import Letter
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.notifications import account_news
from store.people import leavers, one_time_links, passwords, people, sessions, tokens
from store.people.one_time_links import LinkClosed, NotSecond, NotUsable, WrongLink
from store.tables.audit import event_payloads
from store.tables.base import metadata
from tests.store.outbox_fixture import Mailroom
from tests.support.smtp_sink import Sink

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=8)
"""When everything that the tests set up has settled."""
HASHED = passwords.hash_of("correct horse battery")


@pytest.fixture
async def office(db: Database) -> Database:
    """Two administrators whom the command line made, and a manager whose address is old by LATER."""
    async with db.write() as conn:
        for admin in ("admin-1", "admin-2"):
            await people.add(conn, admin, admin, ["admins"], by="cli:root", email=f"{admin}@example.org")
        await people.add(conn, "mary", "Mary", ["managers"], by="admin-2", email="mary@example.org")
    return db


async def asked(db: Database, by: str = "admin-1", now: datetime = LATER, *, mail: bool = True) -> tuple[str, str]:
    """A link for Mary: its id and status."""
    async with db.write() as conn:
        link, _ = await one_time_links.ask(conn, "mary", by, now, mail=mail)
    return link.link_id, link.status


async def sealed(db: Database, link_id: str, now: datetime = LATER) -> str:
    async with db.write() as conn:
        code = await one_time_links.seal(conn, link_id, now)
    assert code is not None
    return code


async def used(db: Database, code: str, second: str = "", now: datetime = LATER) -> str:
    """Set Mary's password by the code."""
    async with db.write() as conn:
        person = await one_time_links.redeem(conn, code, second, now)
        await passwords.put(conn, person, HASHED, now, by=person)
        return person


async def confirmed(db: Database, link_id: str, by: str = "admin-2", now: datetime = LATER) -> str | None:
    async with db.write() as conn:
        _, half = await one_time_links.confirm(conn, link_id, by, now)
    return half


@pytest.mark.both_databases
async def test_a_link_to_a_settled_address_goes_out_at_once_and_opens_once(office: Database) -> None:
    link, status = await asked(office)
    assert status == "open"
    code = await sealed(office, link)
    assert await used(office, code) == "mary"
    with pytest.raises(NotUsable) as again:
        await used(office, code)
    assert (again.value.why, again.value.person) == ("used", "mary")
    with pytest.raises(NotUsable) as guessed:
        await used(office, "hgl_guessed")
    assert (guessed.value.why, guessed.value.person, str(guessed.value)) == ("unknown", None, str(again.value))


VOIDS: dict[str, Callable[[AsyncConnection], Awaitable[Any]]] = {
    "a newer link": lambda conn: one_time_links.ask(conn, "mary", "admin-2", LATER, mail=True),
    "deactivation": lambda conn: leavers.deactivate(conn, "mary", "left", by="admin-1"),
    "replacement": lambda conn: leavers.replace(conn, "mary", "admin-2", "left", by="admin-1"),
    "another address": lambda conn: people.set_email(conn, "mary", "m@example.com", by="admin-1"),
    "no address": lambda conn: people.set_email(conn, "mary", None, by="admin-1"),
    "a new password": lambda conn: passwords.put(conn, "mary", HASHED, LATER, by="mary"),
    "revoked tokens": lambda conn: tokens.revoke_all(conn, "mary", by="admin-1"),
}


@pytest.mark.parametrize("what", VOIDS)
async def test_what_makes_a_link_void(office: Database, what: str) -> None:
    async with office.write() as conn:
        await tokens.make(conn, "mary", "one", by="mary")
    link, _ = await asked(office)
    code = await sealed(office, link)
    async with office.write() as conn:
        await VOIDS[what](conn)
    with pytest.raises(NotUsable):
        await used(office, code)
    async with office.write() as conn:
        assert await one_time_links.seal(conn, link, LATER) is None, "no mail brings a void link"


@pytest.mark.both_databases
async def test_a_link_expires_and_a_retried_mail_replaces_its_secret(office: Database) -> None:
    link, _ = await asked(office)
    first, second = await sealed(office, link), await sealed(office, link)
    with pytest.raises(NotUsable):
        await used(office, first)
    with pytest.raises(NotUsable) as late:
        await used(office, second, now=LATER + timedelta(hours=24))
    assert late.value.why == "expired"
    assert await used(office, second, now=LATER + timedelta(hours=23)) == "mary"


async def test_somebody_reactivated_has_no_link_from_before(office: Database) -> None:
    link, _ = await asked(office)
    code = await sealed(office, link)
    async with office.write() as conn:
        await leavers.deactivate(conn, "mary", "left", by="admin-1")
        await leavers.reactivate(conn, "mary", ["managers"], by="admin-1")
    with pytest.raises(NotUsable):
        await used(office, code)


# --------------------------------------------------------------------------------------------- the second administrator


@pytest.mark.both_databases
async def test_a_fresh_address_needs_a_second_administrator(office: Database) -> None:
    link, status = await asked(office, now=NOW)
    assert status == "waiting"
    async with office.write() as conn:
        assert await one_time_links.seal(conn, link, NOW) is None, "nothing goes out before it is confirmed"
    for by in ("admin-1", "mary"):
        with pytest.raises(NotSecond):
            await confirmed(office, link, by, NOW)
    assert await confirmed(office, link, now=NOW) is None
    assert await used(office, await sealed(office, link, NOW), now=NOW) == "mary"
    with pytest.raises(LinkClosed):
        await confirmed(office, link, now=NOW)


async def test_nobody_invents_people_and_acts_as_them_a_week_later(office: Database) -> None:
    async with office.write() as conn:
        await people.add(conn, "invented", "Invented", ["managers"], by="admin-1", email="me@example.com")
        for by, status in (("admin-1", "waiting"), ("admin-2", "open")):
            link, _ = await one_time_links.ask(conn, "invented", by, LATER, mail=True)
            assert link.status == status


async def test_without_mail_each_administrator_has_half_and_neither_has_enough(office: Database) -> None:
    async with office.write() as conn:
        link, first = await one_time_links.ask(conn, "mary", "admin-1", LATER, mail=False)
    assert link.status == "waiting" and first is not None
    with pytest.raises(NotUsable):
        await used(office, first)
    second = await confirmed(office, link.link_id)
    assert second is not None
    for code, other in ((first, ""), (second, ""), (first, first), (second, second), ("", "")):
        with pytest.raises(NotUsable):
            await used(office, code, other)
    assert await used(office, second, first) == "mary", "in whatever order they are typed"


async def test_nobody_confirms_for_an_administrator_whom_they_could_act_as(office: Database) -> None:
    async with office.write() as conn:
        await people.add(conn, "puppet", "Puppet", ["admins"], by="admin-1")
        await people.add(conn, "deeper", "Deeper", [], by="puppet")
        await people.join(conn, "deeper", "admins", by="puppet")
        await people.add(conn, "other", "Other", ["admins"], by="admin-1")
    for first, second in (("admin-1", "puppet"), ("puppet", "admin-1"), ("admin-1", "deeper"), ("other", "deeper")):
        link, status = await asked(office, first, NOW)
        assert status == "waiting"
        with pytest.raises(NotSecond):
            await confirmed(office, link, second, NOW)
    link, _ = await asked(office, "puppet", NOW)
    await confirmed(office, link, "admin-2", NOW)
    link, _ = await asked(office, "admin-1", LATER, mail=False)
    assert await confirmed(office, link, "other", LATER), "after some days everybody had to know"


async def test_who_got_a_link_by_somebody_is_no_second_for_them(office: Database) -> None:
    async with office.write() as conn:
        await people.add(conn, "admin-3", "Third", ["admins"], by="cli:root", email="third@example.org")
        await one_time_links.ask(conn, "admin-2", "admin-1", LATER, mail=True)
    link, _ = await asked(office, mail=False)
    with pytest.raises(NotSecond):
        await confirmed(office, link, "admin-2")
    assert await confirmed(office, link, "admin-3")


async def test_a_single_administrator_is_referred_to_the_command_line(office: Database) -> None:
    async with office.write() as conn:
        await people.leave(conn, "admin-2", "admins", by="admin-1")
        with pytest.raises(WrongLink, match=r"\./holdgate people password mary"):
            await one_time_links.ask(conn, "mary", "admin-1", LATER, mail=False)
        with pytest.raises(WrongLink, match="Ask an administrator"):
            await one_time_links.ask(conn, "mary", "mary", NOW, mail=True)
    async with office.write() as conn:
        link, _ = await one_time_links.ask(conn, "mary", "mary", LATER, mail=True)
    assert link.status == "open", "everybody may have one sent to their own address"


async def test_what_was_asked_by_who_is_no_administrator_any_more_is_not_confirmed(office: Database) -> None:
    link, _ = await asked(office, mail=False)
    async with office.write() as conn:
        await people.leave(conn, "admin-1", "admins", by="admin-2")
    with pytest.raises(LinkClosed):
        await confirmed(office, link)


async def test_revoking_an_administrators_tokens_calls_off_what_they_asked_for(office: Database) -> None:
    async with office.write() as conn:
        await tokens.make(conn, "admin-1", "stolen", by="admin-1")
    link, _ = await asked(office, mail=False)
    async with office.write() as conn:
        await tokens.revoke_all(conn, "admin-1", by="admin-2")
    with pytest.raises(LinkClosed):
        await confirmed(office, link)


# ------------------------------------------------------------------------------------------------------------- at once


@pytest.mark.both_databases
async def test_of_two_who_use_a_link_at_once_one_does(office: Database, another_db: Callable[[], Database]) -> None:
    code = await sealed(office, (await asked(office))[0])
    ends = await asyncio.gather(used(office, code), used(another_db(), code), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["NotUsable", "str"], ends


@pytest.mark.both_databases
async def test_of_two_who_confirm_at_once_one_does(office: Database, another_db: Callable[[], Database]) -> None:
    async with office.write() as conn:
        await people.add(conn, "admin-3", "Third", ["admins"], by="cli:root", email="third@example.org")
    link, _ = await asked(office, mail=False)
    tries = confirmed(office, link), confirmed(another_db(), link, "admin-3")
    ends = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["LinkClosed", "str"], ends


@pytest.mark.both_databases
async def test_a_link_used_while_its_owner_leaves_leaves_no_password(
    office: Database, another_db: Callable[[], Database]
) -> None:
    code, other = await sealed(office, (await asked(office))[0]), another_db()

    async def leave() -> None:
        async with other.write() as conn:
            await leavers.deactivate(conn, "mary", "left", by="admin-1")

    ends = await asyncio.gather(used(office, code), leave(), return_exceptions=True)
    assert ends[1] is None and isinstance(ends[0], str | NotUsable), ends
    async with office.read() as conn:
        assert await passwords.stored(conn, "mary") is None


@pytest.mark.both_databases
async def test_a_link_used_while_it_is_withdrawn_is_one_of_both(
    office: Database, another_db: Callable[[], Database]
) -> None:
    link, _ = await asked(office)
    code, other = await sealed(office, link), another_db()

    async def withdraw() -> None:
        async with other.write() as conn:
            await one_time_links.withdraw(conn, link, "admin-1", LATER)

    ends = await asyncio.gather(used(office, code), withdraw(), return_exceptions=True)
    assert sorted(isinstance(end, Exception) for end in ends) == [False, True], ends


# ----------------------------------------------------------------------------------------------- what is told and kept


async def mails(db: Database) -> list[Letter]:
    """What goes out by mail and on the console, now."""
    room = Mailroom(db)
    room.now = datetime.now(UTC)
    await room.outbox.hold(room.now)
    while await room.outbox.advance(room.now):
        pass
    found = []
    for channel in ("smtp", "console"):
        for due in await room.outbox.due(channel, room.now, 100):
            letter = await room.outbox.letter(due.message_id)
            assert letter is not None and (letter.account is None or channel == "smtp" or letter.account.code is None)
            found += [letter] if channel == "smtp" else []
            await room.outbox.sent(due.message_id, room.now)
    return found


async def test_the_secret_of_a_link_is_in_its_mail_and_nowhere_else(office: Database) -> None:
    await mails(office)
    link, _ = await asked(office, now=NOW)
    await confirmed(office, link, now=NOW)
    told = {letter.account.kind.value: letter for letter in await mails(office) if letter.account}
    code = told["link_ready"].account.code if told["link_ready"].account else None
    assert told["link_ready"].address == "mary@example.org" and code and told["link_asked"].address
    async with office.read() as conn:
        rows = [str((await conn.execute(select(table))).all()) for table in metadata.sorted_tables]
    assert not [table for table in rows if code in table]
    assert await used(office, code, now=NOW) == "mary"


async def test_a_link_comes_by_real_mail_and_opens_once(office: Database, tmp_path: Path) -> None:
    with Sink() as sink:
        settings = Settings(
            var=tmp_path,
            smtp_url=SecretStr(f"smtp://127.0.0.1:{sink.port}"),
            mail_from="Holdgate <holdgate@example.org>",
            channels="smtp",
        )
        await asked(office)
        sending = asyncio.create_task(dispatcher(office, settings, {}).run())
        async with asyncio.timeout(60):
            while not (mails := [mail for mail in sink.mails if mail.to == "mary@example.org"]):
                await asyncio.sleep(0.05)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    (mail,) = mails
    code = re.search(r"/link#(hgl_[\w-]{43})\b", mail.plain)
    assert code is not None and mail.subject == "Holdgate: Your one-time link"
    assert await used(office, code[1]) == "mary"


async def test_who_moves_an_address_is_told_to_the_old_one_too(office: Database) -> None:
    async with office.write() as conn:
        await people.set_email(conn, "mary", "thief@example.com", by="admin-1")
        await people.set_email(conn, "mary", "thief2@example.com", by="admin-1")
    told = [(letter.address, letter.account.kind) for letter in await mails(office) if letter.account]
    assert ("mary@example.org", "address_set") in told and ("thief2@example.com", "address_set") in told
    link, status = await asked(office, now=NOW)
    assert status == "waiting"
    await confirmed(office, link, now=NOW)
    ready = [letter for letter in await mails(office) if letter.account and letter.account.kind == "link_ready"]
    codes = {letter.address: letter.account.code is not None for letter in ready if letter.account}
    assert codes == {"mary@example.org": False, "thief2@example.com": True}


async def test_everything_about_an_account_is_news_until_it_was_read(office: Database) -> None:
    async with office.write() as conn:
        await people.add(conn, "plain", "Plain", [], by="cli:root")
        token = await tokens.make(conn, "plain", "laptop", by="cli:root")
        await passwords.put(conn, "plain", HASHED, NOW, by="cli:root")
        begun = await sessions.begin(
            conn, await people.get(conn, "plain"), "token", NOW, timedelta(1), credential=tokens.credential_of(token)
        )
        news = await account_news.of(conn, "plain")
        assert [(each.kind, each.by) for each in news] == [("password_set", "cli:root"), ("token_made", "cli:root")]
        signed_in = await sessions.by_token(conn, begun, NOW)
        assert signed_in is not None and signed_in.news
        await account_news.seen(conn, "plain", news[0].news_id)
        signed_in = await sessions.by_token(conn, begun, NOW)
        assert signed_in is not None and not signed_in.news


async def test_new_administrators_are_told_to_the_others(office: Database) -> None:
    async with office.write() as conn:
        await people.join(conn, "mary", "admins", by="admin-1")
        news = await account_news.of(conn, "admin-2")
    assert [(each.kind, each.about) for each in news][:1] == [("admin_added", "mary")]


async def test_events_say_which_token_which_group_and_which_password(office: Database) -> None:
    async with office.write() as conn:
        token = await tokens.make(conn, "mary", "laptop", by="mary")
        id = tokens.credential_of(token)[: tokens.TOKEN_ID]
        await tokens.revoke(conn, "mary", id, by="mary")
        await tokens.make(conn, "mary", "phone", by="mary")
        await tokens.revoke_all(conn, "mary", by="admin-1")
        await passwords.put(conn, "mary", HASHED, NOW, by="mary")
    async with office.read() as conn:
        found = {event.kind: event.data for event in await audit_log.page(conn, limit=200)}
        payloads = str((await conn.execute(select(event_payloads.c.payload))).all())
    assert found["token_revoked"] == {"person": "mary", "token_id": id, "label": "laptop"}
    assert found["token_made"]["label"] == "phone"
    assert found["tokens_revoked"] == {"person": "mary", "token_ids": [found["token_made"]["token_id"]]}
    assert found["password_set"]["sha256"] == passwords.credential_of(HASHED)
    assert token not in payloads and HASHED not in payloads
