"""Accounts are opened and funded by two people: requested, confirmed, withdrawn, expired; each effect once."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from store.audit import audit_log
from store.db.database import Database
from store.receivers.ledger import MOST_MINOR, Ledger
from store.receivers.ledger_changes import (
    MAX_AMOUNT,
    ChangeClosed,
    LedgerChange,
    SamePerson,
    WrongChange,
    ask,
    changes,
    confirm,
    withdraw,
)
from store.receivers.ledger_reading import UnknownLedgerAccount
from store.tables.receivers import accounts, ledger_changes

ANNA, BERT = "anna", "bert"


async def opened(db: Database, account: str = "operating", currency: str = "GBP", amount: str | None = "500.00") -> Any:
    money = None if amount is None else Decimal(amount)
    change = await ask(db, "open", account, currency, money, "first account", ANNA)
    return await confirm(db, change.change_id, BERT)


async def fund(db: Database, amount: str, key: str | None = None, by: str = ANNA) -> LedgerChange:
    return await ask(db, "fund", "operating", "GBP", Decimal(amount), "more", by, key)


@pytest.mark.both_databases
async def test_an_account_exists_when_another_person_confirms_and_not_before(db: Database) -> None:
    ledger = Ledger(db)
    change = await ask(db, "open", "operating", "GBP", Decimal("500.00"), "first account", ANNA)
    assert change.status == "waiting"
    with pytest.raises(UnknownLedgerAccount):
        await ledger.balance("operating", "GBP")
    with pytest.raises(SamePerson):
        await confirm(db, change.change_id, "ANNA")
    done = await confirm(db, change.change_id, BERT)
    assert (done.status, done.closed_by) == ("confirmed", BERT)
    assert (await ledger.balance("operating", "GBP")).available == "500.00"
    assert await ledger.check() == []
    async with db.read() as conn:
        told = [(event.kind, event.actor, event.data["account"]) for event in await audit_log.page(conn)]
    assert told == [("ledger_change_asked", ANNA, "operating"), ("ledger_change_confirmed", BERT, "operating")]


@pytest.mark.both_databases
async def test_a_change_takes_effect_once_however_often_and_by_how_many_it_is_confirmed(db: Database) -> None:
    await opened(db)
    change = await fund(db, "100.00")
    ends = await asyncio.gather(
        *(confirm(db, change.change_id, who) for who in (BERT, "carla", BERT, "carla")), return_exceptions=True
    )
    done = [each for each in ends if isinstance(each, LedgerChange)]
    assert done and len({each.closed_by for each in done}) == 1
    assert all(isinstance(each, LedgerChange | ChangeClosed) for each in ends)
    assert (await Ledger(db).balance("operating", "GBP")).balance == "600.00"


async def test_a_repeat_with_the_same_key_asks_once_and_another_change_with_it_is_refused(db: Database) -> None:
    await opened(db)
    first = await fund(db, "100.00", "key")
    assert (await fund(db, "100.00", "key")).change_id == first.change_id
    with pytest.raises(WrongChange, match="used before"):
        await fund(db, "200.00", "key")
    with pytest.raises(WrongChange, match=f"anna already proposed the same change: {first.change_id}"):
        await fund(db, "100.00", "another key", by=BERT)


async def test_what_waits_can_be_withdrawn_and_is_over_by_itself(db: Database) -> None:
    await opened(db)
    gone, late = await fund(db, "1.00"), await fund(db, "2.00")
    assert (await withdraw(db, gone.change_id, ANNA)).status == "withdrawn"
    assert (await withdraw(db, gone.change_id, ANNA)).status == "withdrawn"
    async with db.write() as conn:
        its = ledger_changes.c.change_id == late.change_id
        await conn.execute(
            update(ledger_changes).where(its).values(expires_at=datetime.now(UTC) - timedelta(seconds=1))
        )
    for change in (gone, late):
        with pytest.raises(ChangeClosed):
            await confirm(db, change.change_id, BERT)
    async with db.read() as conn:
        assert [each.status for each in await changes(conn)] == ["expired", "withdrawn", "confirmed"]
        assert [each.change_id for each in await changes(conn, "expired")] == [late.change_id]
        assert await changes(conn, "waiting") == []
        first, *_ = await changes(conn, limit=1)
        assert (await changes(conn, before=first.change_id))[0].change_id == gone.change_id
    assert (await Ledger(db).balance("operating", "GBP")).balance == "500.00"


@pytest.mark.parametrize(
    ("kind", "account", "currency", "amount", "field"),
    [
        ("fund", "operating", "GBP", "0", "amount"),
        ("fund", "operating", "GBP", "-1", "amount"),
        ("fund", "operating", "GBP", "0.001", "amount"),
        ("fund", "operating", "GBP", "NaN", "amount"),
        ("fund", "operating", "GBP", str(MAX_AMOUNT + 1), "amount"),
        ("fund", "operating", "GBP", None, "amount"),
        ("fund", "operating", "EUR", "1", "account"),
        ("fund", "nowhere", "GBP", "1", "account"),
        ("fund", "payments", "GBP", "1", "account"),
        ("open", "Capital", "GBP", None, "account"),
        ("open", "operating", "GBP", None, "account"),
        ("open", "Operating", "GBP", None, "account"),
        ("open", " ", "GBP", None, "account"),
        ("open", "zero\u200bwidth", "GBP", None, "account"),
        ("open", "a\u202eb", "GBP", None, "account"),
        ("open", "petty", "XAU", None, "currency"),
        ("open", "petty", "gbp", None, "currency"),
        ("open", "petty", "JPY", "1.5", "amount"),
    ],
)
async def test_what_cannot_be_is_refused_at_the_request(
    db: Database, kind: Any, account: str, currency: str, amount: str | None, field: str
) -> None:
    await opened(db)
    money = None if amount is None else Decimal(amount)
    with pytest.raises(WrongChange) as wrong:
        await ask(db, kind, account, currency, money, "why not", ANNA)
    assert wrong.value.field == field


async def test_no_account_gets_more_than_the_ledger_can_keep(db: Database) -> None:
    await opened(db)
    async with db.write() as conn:
        await conn.execute(update(accounts).where(accounts.c.name == "operating").values(posted=MOST_MINOR - 100))
    with pytest.raises(WrongChange, match="would exceed"):
        await fund(db, "1.01")
    first, second = await fund(db, "0.60"), await fund(db, "0.50")
    await confirm(db, first.change_id, BERT)
    with pytest.raises(ChangeClosed, match="would exceed"):
        await confirm(db, second.change_id, BERT)


@pytest.mark.both_databases
async def test_an_account_that_somebody_else_opened_meanwhile_is_not_opened_twice(db: Database) -> None:
    first = await ask(db, "open", "operating", "GBP", None, "mine", ANNA)
    other = await ask(db, "open", "operating", "GBP", Decimal(5), "also mine", BERT)
    await confirm(db, first.change_id, BERT)
    with pytest.raises(ChangeClosed, match="already exists"):
        await confirm(db, other.change_id, ANNA)
    assert (await Ledger(db).balance("operating", "GBP")).balance == "0.00"
