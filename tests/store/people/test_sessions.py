"""Sessions that can be ended, passwords stored as hashes only, and growing delays after failed sign-ins."""

from datetime import UTC, datetime, timedelta

import pytest

from store.db.database import Database
from store.people import leavers, page_preferences, passwords, people, sessions
from store.people.people import Person
from store.tables.people import passwords as passwords_table, sessions as sessions_table, sign_in_tries

NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def ada(db: Database) -> Person:
    async with db.write() as conn:
        return await people.add(conn, "ada", "Ada", ["managers"], by="test", email="ada@example.org")


@pytest.mark.both_databases
async def test_a_session_opens_the_pages_until_its_end_and_can_be_prolonged_for_a_day(db: Database) -> None:
    person = await ada(db)
    async with db.write() as conn:
        token = await sessions.begin(conn, person, "demo", NOW, HOUR, agent="Firefox " * 99, zone="Asia/Tokyo")
        signed_in = await sessions.by_token(conn, token, NOW)
        assert signed_in is not None
        assert (signed_in.person, signed_in.session.zone, signed_in.must_change) == (person, "Asia/Tokyo", False)
        assert await sessions.by_token(conn, token, NOW + HOUR) is None
        assert await sessions.by_token(conn, token + "x", NOW) is None
        assert await sessions.extend(conn, signed_in.session, NOW + HOUR / 2, HOUR) == NOW + HOUR * 1.5
        assert await sessions.extend(conn, signed_in.session, NOW + HOUR * 23.5, HOUR) == NOW + HOUR * 24
        await sessions.end(conn, signed_in.session)
        assert await sessions.by_token(conn, token, NOW) is None


async def test_only_hashes_of_tokens_and_passwords_are_kept(db: Database) -> None:
    person = await ada(db)
    async with db.write() as conn:
        token = await sessions.begin(conn, person, "demo", NOW, HOUR, zone="No/Where")
        await passwords.put(conn, "ada", passwords.hash_of("correct horse battery"), NOW, by="ada")
        await passwords.take_try(conn, "name:ada", NOW)
        kept = [list(await conn.execute(table.select())) for table in (sessions_table, passwords_table, sign_in_tries)]
    assert token not in str(kept) and "horse" not in str(kept) and "name:ada" not in str(kept)
    assert "$argon2id$" in str(kept)


async def test_who_is_signed_out_everywhere_or_replaced_has_no_session_left(db: Database) -> None:
    person = await ada(db)
    async with db.write() as conn:
        await people.add(conn, "bea", "Bea", [], by="test")
        tokens = [await sessions.begin(conn, person, "demo", NOW, HOUR) for _ in range(3)]
        assert len(await sessions.of(conn, "ada", NOW)) == 3
        assert await sessions.end_all(conn, "ada", by="ada") == 3
        assert [await sessions.by_token(conn, token, NOW) for token in tokens] == [None] * 3
        token = await sessions.begin(conn, person, "demo", NOW, HOUR)
        await passwords.put(conn, "ada", passwords.hash_of("correct horse battery"), NOW, by="ada")
        await leavers.replace(conn, "ada", "bea", "left", by="test")
        assert await sessions.by_token(conn, token, NOW) is None
        assert await passwords.stored(conn, "ada") is None


async def test_a_password_set_by_another_person_must_be_changed(db: Database) -> None:
    person = await ada(db)
    async with db.write() as conn:
        given = passwords.hash_of(passwords.temporary())
        await passwords.put(conn, "ada", given, NOW, by="admin-1")
        was = passwords.credential_of(given)
        token = await sessions.begin(conn, person, "password", NOW, HOUR, credential=was)
        first = await sessions.by_token(conn, token, NOW)
        chosen = passwords.hash_of("correct horse battery")
        await passwords.put(conn, "ada", chosen, NOW, by="ada")
        assert await sessions.by_token(conn, token, NOW) is None, "a session ends with the password that began it"
        now = passwords.credential_of(chosen)
        token = await sessions.begin(conn, person, "password", NOW, HOUR, credential=now)
        second = await sessions.by_token(conn, token, NOW)
        stored = await passwords.stored(conn, "ada")
    assert first and first.must_change and second and not second.must_change
    assert passwords.matches("correct horse battery", stored)
    assert not passwords.matches("Correct horse battery", stored)
    assert not passwords.matches("correct horse battery", None)


@pytest.mark.parametrize("password", ["short", "x" * 12, "a" * 201])
def test_a_password_that_anybody_guesses_is_refused(password: str) -> None:
    with pytest.raises(ValueError, match="choose a password with"):
        passwords.hash_of(password)


@pytest.mark.both_databases
async def test_failed_tries_take_ever_longer_and_one_success_forgets_them(db: Database) -> None:
    async with db.write() as conn:
        for number in range(1, passwords.FREE + 2):
            assert await passwords.take_try(conn, "name:ada", NOW) == number
        with pytest.raises(passwords.TooManyAttempts) as soon:
            await passwords.take_try(conn, "name:ADA", NOW)
        assert soon.value.until == NOW + timedelta(seconds=2)
        later = NOW
        for _ in range(12):
            later += timedelta(minutes=15)
            await passwords.take_try(conn, "name:ada", later)
        with pytest.raises(passwords.TooManyAttempts) as last:
            await passwords.take_try(conn, "name:ada", later)
        assert last.value.until == later + passwords.LONGEST
        assert await passwords.take_try(conn, "name:bea", later) == 1
        await passwords.take_try(conn, "name:long ago", NOW - timedelta(days=2))
        await passwords.sweep(conn, later)
        kept = (await conn.execute(sign_in_tries.select())).all()
        assert len(kept) == 2, "what nobody repeats is forgotten, and what still waits is not"
        await passwords.forget_tries(conn, "name:ada")
        assert await passwords.take_try(conn, "name:ada", later) == 1


@pytest.mark.both_databases
async def test_preferences_are_kept_and_nonsense_is_refused(db: Database) -> None:
    await ada(db)
    async with db.write() as conn:
        assert await page_preferences.of(conn, "ada") == {"theme": "system", "shortcuts": "on"}
        await page_preferences.choose(conn, "ada", {"theme": "dark"})
        await page_preferences.choose(conn, "ada", {"theme": "light", "shortcuts": "off"})
        assert await page_preferences.of(conn, "ada") == {"theme": "light", "shortcuts": "off"}
        with pytest.raises(ValueError, match="not a choice"):
            await page_preferences.choose(conn, "ada", {"theme": "<script>"})
