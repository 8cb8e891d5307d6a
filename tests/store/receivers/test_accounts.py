"""The directory of accounts: usernames reserved once, used, released; each key has one effect."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from domain.errors import Refused
from store.db.database import Database
from store.receivers import idempotency
from store.receivers.accounts import AccountDirectory, UnknownAccount


@dataclass
class Case:
    """One case's calls, with the keys a Workflow would give them."""

    directory: AccountDirectory
    case_id: str
    username: str = "ada.lovelace"
    again: str = ""
    """`#2` after the case has started again."""

    async def reserve(self) -> None:
        await self.directory.reserve(
            f"{self.case_id}/reserve_account{self.again}",
            self.case_id,
            username=self.username,
            full_name="Ada Lovelace",
            email="ada@example.org",
            role="engineer",
            manager="mia",
        )

    async def disable(self) -> bool:
        key = f"{self.case_id}/reserve_account{self.again}"
        return await self.directory.disable(f"{key}/undo", key, self.case_id)

    async def grant(self, *entitlements: str) -> None:
        key = f"{self.case_id}/grant_access{self.again}"
        await self.directory.grant(key, self.case_id, self.username, entitlements or ("mail", "production"))

    async def revoke(self) -> bool:
        key = f"{self.case_id}/grant_access{self.again}"
        return await self.directory.revoke(f"{key}/undo", key, self.case_id)


@pytest.fixture
def directory(db: Database) -> AccountDirectory:
    return AccountDirectory(db)


async def counted(db: Database, case_id: str) -> dict[str, int]:
    async with db.read() as conn:
        return await idempotency.count(conn, case_id)


@pytest.mark.both_databases
async def test_an_account_is_held_then_used_and_each_key_has_one_effect(
    db: Database, directory: AccountDirectory
) -> None:
    case = Case(directory, "c1")
    await case.reserve()
    await case.reserve()
    held = await directory.account("Ada.Lovelace")
    assert (held.active, held.activated_at, held.disabled_at, held.entitlements) == (False, None, None, [])
    await case.grant()
    await case.grant()
    used = await directory.account("ada.lovelace")
    assert (used.active, used.disabled_at, used.case_id, used.manager) == (True, None, "c1", "mia")
    assert [(each.entitlement, each.revoked_at) for each in used.entitlements] == [("mail", None), ("production", None)]
    assert await counted(db, "c1") == {"reserve_account": 1, "grant_access": 1}


async def test_a_role_without_entitlements_is_an_account_all_the_same(directory: AccountDirectory) -> None:
    await Case(directory, "c1").reserve()
    await directory.grant("k", "c1", "ada.lovelace", [])
    assert (await directory.account("ada.lovelace")).active


async def test_there_is_no_account_that_nobody_asked_for(directory: AccountDirectory) -> None:
    with pytest.raises(UnknownAccount):
        await directory.account("ada.lovelace")


@pytest.mark.undoes("disable_account")
async def test_a_reservation_undone_leaves_the_account_disabled_and_says_so_each_time(
    db: Database, directory: AccountDirectory
) -> None:
    case = Case(directory, "c1")
    await case.reserve()
    assert [await case.disable(), await case.disable()] == [True, True]
    account = await directory.account("ada.lovelace")
    assert account.disabled_at is not None and not account.active
    with pytest.raises(Refused, match="undone before it was done"):
        await case.reserve()
    assert await counted(db, "c1") == {"reserve_account": 1, "disable_account": 1}


@pytest.mark.undoes("disable_account")
async def test_a_reservation_that_comes_after_its_undo_is_refused(directory: AccountDirectory) -> None:
    case = Case(directory, "c1")
    assert [await case.disable(), await case.disable()] == [False, False]
    with pytest.raises(Refused, match="undone before it was done"):
        await case.reserve()
    with pytest.raises(UnknownAccount):
        await directory.account("ada.lovelace")


@pytest.mark.undoes("revoke_access")
async def test_a_grant_undone_leaves_the_account_held_as_before_and_what_was_revoked_to_be_seen(
    db: Database, directory: AccountDirectory
) -> None:
    case = Case(directory, "c1")
    await case.reserve()
    await case.grant()
    assert [await case.revoke(), await case.revoke()] == [True, True]
    account = await directory.account("ada.lovelace")
    assert (account.active, account.disabled_at) == (False, None) and account.activated_at is not None
    assert [each.revoked_at is not None for each in account.entitlements] == [True, True]
    with pytest.raises(Refused, match="undone before it was done"):
        await case.grant()
    assert await counted(db, "c1") == {"reserve_account": 1, "grant_access": 1, "revoke_access": 1}


@pytest.mark.undoes("revoke_access")
async def test_a_grant_that_comes_after_its_undo_is_refused(directory: AccountDirectory) -> None:
    case = Case(directory, "c1")
    await case.reserve()
    assert [await case.revoke(), await case.revoke()] == [False, False]
    with pytest.raises(Refused, match="undone before it was done"):
        await case.grant()
    assert not (await directory.account("ada.lovelace")).active


@pytest.mark.both_databases
@pytest.mark.parametrize("state", ["held", "used"])
async def test_a_name_that_is_there_is_refused_and_can_be_after_the_refusal_is_undone(
    db: Database, directory: AccountDirectory, state: str
) -> None:
    first, second = Case(directory, "c1"), Case(directory, "c2")
    await first.reserve()
    if state == "used":
        await first.grant()
    with pytest.raises(Refused, match=r"'ada\.lovelace' is already in use"):
        await second.reserve()
    assert await second.disable() is False
    account = await directory.account("ada.lovelace")
    assert (account.case_id, account.active, account.disabled_at) == ("c1", state == "used", None)
    assert await counted(db, "c2") == {}


async def test_a_name_that_was_only_held_is_free_again(directory: AccountDirectory) -> None:
    first, second = Case(directory, "c1"), Case(directory, "c2")
    await first.reserve()
    await first.disable()
    await second.reserve()
    await second.grant()
    assert await first.disable() is True  # a late attempt of the undo: it says what it said, and does nothing
    account = await directory.account("ada.lovelace")
    assert (account.case_id, account.active, account.disabled_at) == ("c2", True, None)


async def test_a_name_that_was_in_use_is_for_no_other_case(directory: AccountDirectory) -> None:
    first = Case(directory, "c1")
    await first.reserve()
    await first.grant()
    await first.revoke()
    await first.disable()
    with pytest.raises(Refused, match="was in use before"):
        await Case(directory, "c2").reserve()


async def test_a_case_that_starts_again_keeps_its_username_even_if_it_was_in_use(directory: AccountDirectory) -> None:
    first, again = Case(directory, "c1"), Case(directory, "c1", again="#2")
    await first.reserve()
    await first.grant("mail")
    await first.revoke()
    await first.disable()
    since = (await directory.account("ada.lovelace")).activated_at
    await again.reserve()
    await again.grant("wiki")
    account = await directory.account("ada.lovelace")
    assert (account.active, account.activated_at) == (True, since)
    assert [(each.entitlement, each.revoked_at is None) for each in account.entitlements] == [
        ("mail", False),
        ("wiki", True),
    ]


async def test_nothing_is_granted_to_an_account_that_the_case_does_not_hold(directory: AccountDirectory) -> None:
    await Case(directory, "c1").reserve()
    for case in (Case(directory, "c2"), Case(directory, "c1", username="nobody.here")):
        with pytest.raises(Refused, match="is reserved for this case"):
            await case.grant()
        assert await case.revoke() is False
    await Case(directory, "c1").disable()
    with pytest.raises(Refused):
        await Case(directory, "c1", again="#3").grant()


@pytest.mark.both_databases
async def test_of_many_cases_that_want_a_name_at_once_one_has_it(another_db: Callable[[], Database]) -> None:
    cases = [Case(AccountDirectory(another_db()), f"c{number}") for number in range(6)]
    answers = await asyncio.gather(*(case.reserve() for case in cases), return_exceptions=True)
    assert [type(answer) for answer in answers if answer is not None] == [Refused] * 5
    (winner,) = [case for case, answer in zip(cases, answers, strict=True) if answer is None]
    assert (await winner.directory.account("ada.lovelace")).case_id == winner.case_id


@pytest.mark.both_databases
async def test_many_attempts_of_one_step_at_once_are_one_effect_and_none_is_refused(
    another_db: Callable[[], Database],
) -> None:
    cases = [Case(AccountDirectory(another_db()), "c1") for _ in range(4)]
    await asyncio.gather(*(case.reserve() for case in cases))
    await asyncio.gather(*(case.grant() for case in cases))
    assert len((await cases[0].directory.account("ada.lovelace")).entitlements) == 2
    assert await asyncio.gather(*(case.revoke() for case in cases)) == [True] * 4
    assert await asyncio.gather(*(case.disable() for case in cases)) == [True] * 4
    assert await counted(another_db(), "c1") == {
        "reserve_account": 1,
        "grant_access": 1,
        "revoke_access": 1,
        "disable_account": 1,
    }


@pytest.mark.both_databases
async def test_a_step_and_its_undo_at_once_leave_nothing_behind(another_db: Callable[[], Database]) -> None:
    for number in range(6):
        do, undo = (Case(AccountDirectory(another_db()), f"c{number}", f"name-{number}") for _ in range(2))
        did, undone = await asyncio.gather(do.reserve(), undo.disable(), return_exceptions=True)
        if undone is False:
            assert isinstance(did, Refused)
        else:
            assert (did, undone) == (None, True)
            assert (await do.directory.account(do.username)).disabled_at is not None


async def test_a_welcome_that_was_sent_is_known_by_its_key(db: Database, directory: AccountDirectory) -> None:
    assert await directory.welcomed("c1/send_welcome") is False
    await directory.note_welcome("c1/send_welcome", "c1")
    await directory.note_welcome("c1/send_welcome", "c1")
    assert await directory.welcomed("c1/send_welcome") is True
    assert await directory.welcomed("c1/send_welcome#2") is False
    assert await counted(db, "c1") == {"send_welcome": 1}
