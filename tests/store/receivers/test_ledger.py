"""The ledger: money is held, moved and refunded, each effect once, also with repeated, late or concurrent calls."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy import select, update

from domain.errors import Refused
from domain.money import payee_key
from store.audit import audit_log
from store.db.database import Database
from store.receivers.ledger import AccountLocked, Booking, Ledger, closing_moment
from store.receivers.ledger_reading import UnknownLedgerAccount
from store.tables.receivers import accounts, entries, lines

_serial = itertools.count(1)


@dataclass
class Payment:
    """One case's calls, with the keys a Workflow would give them."""

    ledger: Ledger
    case_id: str
    amount: str = "100.00"
    account: str = "operating"
    currency: str = "GBP"
    payee: str = "Acme Paper Ltd"
    payee_account: str | None = None

    @property
    def reference(self) -> str:
        return self.case_id.partition(":")[2].upper()

    async def hold(self) -> Booking:
        return await self.ledger.hold(
            f"{self.case_id}/reserve_funds",
            self.case_id,
            self.reference,
            self.account,
            self.currency,
            Decimal(self.amount),
            self.payee,
            self.payee_account,
        )

    async def release(self) -> None:
        key = f"{self.case_id}/reserve_funds"
        await self.ledger.release(f"{key}/undo", key, self.case_id, self.reference)

    async def capture(self) -> Booking:
        key = f"{self.case_id}/capture_payment"
        amount = Decimal(self.amount)
        return await self.ledger.capture(key, self.case_id, self.account, self.currency, amount, payee=self.payee)

    async def refund(self) -> bool:
        key = f"{self.case_id}/capture_payment"
        return await self.ledger.refund(f"{key}/undo", key, self.case_id, self.reference)


@pytest.fixture
async def ledger(db: Database) -> Ledger:
    """A ledger with 1,000.00 GBP in `operating`."""
    ledger = Ledger(db)
    await ledger.fund("fund/operating/GBP", "operating", "GBP", Decimal("1000.00"))
    return ledger


async def money(ledger: Ledger, account: str = "operating", currency: str = "GBP") -> tuple[str, str, str]:
    """Balance, held, available."""
    found = await ledger.balance(account, currency)
    return found.balance, found.held, found.available


async def kinds(ledger: Ledger, case_id: str) -> list[str]:
    return [entry.kind for entry in await ledger.entries(case_id=case_id)]


# ------------------------------------------------------------------------------------------------------ the way through


async def test_a_hold_leaves_the_balance_and_lowers_what_is_available(ledger: Ledger) -> None:
    await Payment(ledger, "payment:inv-1", "250.00").hold()
    assert await money(ledger) == ("1000.00", "250.00", "750.00")
    assert await ledger.check() == []


async def test_a_capture_ends_the_hold_and_moves_the_money(ledger: Ledger) -> None:
    payment = Payment(ledger, "payment:inv-1", "250.00")
    await payment.hold()
    await payment.capture()
    assert await money(ledger) == ("750.00", "0.00", "750.00")
    assert await money(ledger, "payments") == ("250.00", "0.00", "250.00")
    assert await ledger.check() == []


@pytest.mark.undoes("release_funds")
async def test_a_released_hold_is_available_again(ledger: Ledger) -> None:
    payment = Payment(ledger, "payment:inv-1")
    await payment.hold()
    await payment.release()
    assert await money(ledger) == ("1000.00", "0.00", "1000.00")
    assert await kinds(ledger, payment.case_id) == ["hold", "release"]


@pytest.mark.undoes("release_funds", "refund_payment")
async def test_undoing_a_capture_and_then_its_hold_gives_the_money_back_once(ledger: Ledger) -> None:
    payment = Payment(ledger, "payment:inv-1")
    await payment.hold()
    await payment.capture()
    await payment.refund()
    await payment.release()
    assert await money(ledger) == ("1000.00", "0.00", "1000.00")
    assert await kinds(ledger, payment.case_id) == ["hold", "capture", "refund"]
    assert await ledger.check() == []


async def test_a_hold_that_a_capture_used_up_is_not_released(ledger: Ledger) -> None:
    payment = Payment(ledger, "payment:inv-1")
    await payment.hold()
    await payment.capture()
    await payment.release()
    assert await money(ledger) == ("900.00", "0.00", "900.00")


@pytest.mark.both_databases
async def test_entries_show_every_line_with_its_layer(ledger: Ledger) -> None:
    payment = Payment(ledger, "payment:inv-1", "2.50")
    await payment.hold()
    await payment.capture()
    hold, capture = await ledger.entries(reference="inv-1")
    assert (hold.idempotency_key, hold.kind, hold.undoes) == ("payment:inv-1/reserve_funds", "hold", None)
    assert [(side.layer, side.account, side.debit, side.credit) for side in capture.lines] == [
        ("pending", "operating", "2.50", "0.00"),
        ("pending", "payments", "0.00", "2.50"),
        ("posted", "operating", "0.00", "2.50"),
        ("posted", "payments", "2.50", "0.00"),
    ]
    assert capture.undoes == hold.idempotency_key
    assert await ledger.entries(reference="another") == []
    assert [entry.entry_id for entry in await ledger.entries(after=hold.entry_id)] == [capture.entry_id]


async def test_yen_have_no_decimals_and_dinars_three(ledger: Ledger) -> None:
    await ledger.fund("fund/jpy", "operating", "JPY", Decimal(5000))
    await ledger.fund("fund/kwd", "operating", "KWD", Decimal("5.125"))
    await Payment(ledger, "payment:yen", "1200", currency="JPY").hold()
    assert await money(ledger, currency="JPY") == ("5000", "1200", "3800")
    assert await money(ledger, currency="KWD") == ("5.125", "0.000", "5.125")
    with pytest.raises(ValueError, match="more decimals"):
        await Payment(ledger, "payment:half-yen", "0.5", currency="JPY").hold()


async def test_funding_twice_with_one_key_funds_once(ledger: Ledger) -> None:
    for _ in range(2):
        await ledger.fund("fund/operating/GBP", "operating", "GBP", Decimal("1000.00"))
    assert await money(ledger) == ("1000.00", "0.00", "1000.00")
    assert await money(ledger, "capital") == ("-1000.00", "0.00", "-1000.00")


async def test_an_unknown_account_has_no_balance(ledger: Ledger) -> None:
    with pytest.raises(UnknownLedgerAccount):
        await ledger.balance("operating", "USD")


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("payment", "why"),
    [
        ({"amount": "1000.01"}, "Not enough money in account 'operating': 1,000.01 GBP is needed, 1,000.00 GBP is"),
        ({"account": "petty-cash"}, "There is no account 'petty-cash'."),
        ({"currency": "CHF"}, "Account 'operating' holds no CHF, only EUR and GBP."),
        ({"account": "payments"}, "Account 'payments' is not an account for payments."),
        ({"currency": "EUR"}, "Account 'operating' (EUR) is closed."),
    ],
)
async def test_a_hold_is_refused_in_words_and_leaves_no_entry(
    ledger: Ledger, payment: dict[str, str], why: str
) -> None:
    await ledger.fund("fund/operating/EUR", "operating", "EUR", Decimal("1000.00"))
    await ledger.close_account("operating", "EUR")
    with pytest.raises(Refused) as refused:
        await Payment(ledger, "payment:inv-1", **payment).hold()
    assert refused.value.message.startswith(why)
    assert refused.value.non_retryable
    assert await kinds(ledger, "payment:inv-1") == []


async def test_held_money_cannot_be_held_again(ledger: Ledger) -> None:
    await Payment(ledger, "payment:inv-1", "999.99").hold()
    with pytest.raises(Refused, match=r"0\.01 GBP is available"):
        await Payment(ledger, "payment:inv-2", "0.02").hold()


async def test_nothing_leaves_an_account_that_was_closed_after_the_hold_and_the_hold_can_be_undone(
    ledger: Ledger,
) -> None:
    payment = Payment(ledger, "payment:inv-1")
    await payment.hold()
    await ledger.close_account("operating", "GBP")
    with pytest.raises(Refused, match="is closed"):
        await payment.capture()
    await payment.hold()
    await payment.release()
    assert await money(ledger) == ("1000.00", "0.00", "1000.00")


@pytest.mark.both_databases
async def test_a_locked_account_lets_nothing_out_and_everything_back_and_works_again_later(ledger: Ledger) -> None:
    held, later = Payment(ledger, "payment:inv-1"), Payment(ledger, "payment:inv-2")
    await held.hold()
    await ledger.set_locked("operating", True, by="cli:anna")
    for blocked in (held.capture, later.hold):
        with pytest.raises(AccountLocked, match="'operating' is locked"):
            await blocked()
    await held.release()
    assert await money(ledger) == ("1000.00", "0.00", "1000.00")
    await ledger.set_locked("operating", False, by="cli:anna")
    await later.hold()
    await later.capture()
    assert await money(ledger) == ("900.00", "0.00", "900.00")
    with pytest.raises(UnknownLedgerAccount):
        await ledger.set_locked("nowhere", True, by="cli:anna")


async def test_a_capture_needs_a_hold_and_takes_another_sum_if_it_is_there(ledger: Ledger) -> None:
    payment = Payment(ledger, "payment:inv-1")
    with pytest.raises(Refused, match="No money is held"):
        await payment.capture()
    await payment.hold()
    payment.amount = "1000.01"
    with pytest.raises(Refused, match=r"1,000\.01 GBP is needed, 1,000\.00 GBP is available"):
        await payment.capture()
    payment.amount = "250.00"
    await payment.capture()
    assert await money(ledger) == ("750.00", "0.00", "750.00")
    await payment.release()
    await payment.refund()
    assert await money(ledger) == ("1000.00", "0.00", "1000.00")


@pytest.mark.both_databases
async def test_a_key_used_for_another_effect_is_an_error(ledger: Ledger) -> None:
    payment = Payment(ledger, "payment:inv-1")
    await payment.hold()
    payment.amount = "200.00"
    with pytest.raises(ValueError, match="used before"):
        await payment.hold()
    with pytest.raises(ValueError, match="can undo only a capture"):
        await ledger.refund("k", "payment:inv-1/reserve_funds", "payment:inv-1", "INV-1")


# -------------------------------------------------------------------------------------------------------- closed books

NOVEMBER = datetime(2024, 11, 30, 23, 59, 59, 999999, UTC)
"""The end of the month whose books are closed here."""


async def paid(db: Database, ledger: Ledger, case_id: str, at: datetime, **about: str) -> Payment:
    """A payment that was made then."""
    payment = Payment(ledger, case_id, **about)
    await payment.hold()
    booking = await payment.capture()
    async with db.write() as conn:
        await conn.execute(update(entries).where(entries.c.entry_id == booking.entry_id).values(at=at))
    return payment


async def test_a_payment_in_closed_books_cannot_be_refunded_and_the_refusal_says_why(
    ledger: Ledger, db: Database
) -> None:
    payment = await paid(db, ledger, "payment:inv-1", datetime(2024, 11, 21, 9, 30, tzinfo=UTC))
    await ledger.close_books("operating", NOVEMBER, by="cli:anna")
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            await payment.refund()
        assert refused.value.message == (
            "The books of account 'operating' are closed up to 30 November 2024, and this payment was made on "
            "21 November 2024: it can no longer be rolled back. "
            "Book a correction in the books. If operators are asked, mark the step as done by hand."
        )
        assert refused.value.non_retryable
    assert await kinds(ledger, payment.case_id) == ["hold", "capture"]
    assert await money(ledger) == ("900.00", "0.00", "900.00")
    assert await ledger.check() == []


async def test_books_that_are_closed_within_a_day_are_shown_with_the_time(ledger: Ledger, db: Database) -> None:
    payment = await paid(db, ledger, "payment:inv-1", datetime(2024, 12, 1, tzinfo=UTC))
    await ledger.close_books("operating", datetime.fromisoformat("2024-12-01T02:00+02:00"), by="cli:anna")
    with pytest.raises(Refused, match=r"up to 1 Dec 2024, 00:00 UTC, .* made on 1 Dec 2024, 00:00 UTC:"):
        await payment.refund()


@pytest.mark.parametrize(("late", "refused"), [(timedelta(0), True), (timedelta(microseconds=1), False)])
async def test_books_close_exactly_at_the_last_microsecond_of_the_day(
    ledger: Ledger, db: Database, late: timedelta, refused: bool
) -> None:
    payment = await paid(db, ledger, "payment:inv-1", NOVEMBER + late)
    await ledger.close_books("operating", NOVEMBER, by="cli:anna")
    if refused:
        with pytest.raises(Refused):
            await payment.refund()
    else:
        assert await payment.refund()
    assert await kinds(ledger, payment.case_id) == ["hold", "capture"] + ["refund"] * (not refused)


async def test_a_refund_that_has_happened_stays_one_when_the_books_are_closed_after_it(
    ledger: Ledger, db: Database
) -> None:
    payment = await paid(db, ledger, "payment:inv-1", NOVEMBER)
    assert await payment.refund()
    await ledger.close_books("operating", NOVEMBER, by="cli:anna")
    assert await payment.refund()
    assert await kinds(ledger, payment.case_id) == ["hold", "capture", "refund"]


async def test_what_was_never_paid_is_undone_in_closed_books_too(ledger: Ledger) -> None:
    held, never = Payment(ledger, "payment:held"), Payment(ledger, "payment:never")
    await held.hold()
    await ledger.close_books("operating", datetime.now(UTC), by="cli:anna")
    for payment in (held, never):
        await payment.refund()
        await payment.release()
        with pytest.raises(Refused, match="already undone"):
            await payment.capture()
    assert await kinds(ledger, "payment:held") == ["hold", "void", "release"]
    assert await kinds(ledger, "payment:never") == ["void", "void"]
    assert await money(ledger) == ("1000.00", "0.00", "1000.00")
    assert await ledger.check() == []


async def test_payments_after_the_close_of_books_can_be_made_and_refunded(ledger: Ledger) -> None:
    payment = Payment(ledger, "payment:inv-1")
    await payment.hold()
    await ledger.close_books("operating", datetime.now(UTC), by="cli:anna")
    await payment.capture()
    assert await payment.refund()
    assert await money(ledger) == ("1000.00", "0.00", "1000.00")


async def test_books_are_closed_in_all_currencies_of_the_account_and_in_no_other_account(
    ledger: Ledger, db: Database
) -> None:
    await ledger.fund("fund/operating/JPY", "operating", "JPY", Decimal(1000))
    await ledger.fund("fund/travel/GBP", "travel", "GBP", Decimal(1000))
    pounds = await paid(db, ledger, "payment:pounds", NOVEMBER)
    yen = await paid(db, ledger, "payment:yen", NOVEMBER, amount="100", currency="JPY")
    travel = await paid(db, ledger, "payment:travel", NOVEMBER, account="travel")
    await ledger.close_books("operating", NOVEMBER, by="cli:anna")
    for payment in (pounds, yen):
        with pytest.raises(Refused, match="'operating' are closed"):
            await payment.refund()
    assert await travel.refund()


async def test_books_are_closed_further_and_further_and_never_opened_again(ledger: Ledger, db: Database) -> None:
    december = await paid(db, ledger, "payment:december", NOVEMBER + timedelta(days=31))
    await ledger.close_books("operating", NOVEMBER, by="cli:anna")
    await ledger.fund("fund/operating/EUR", "operating", "EUR", Decimal("1000.00"))  # a currency without closed books
    with pytest.raises(ValueError, match="'operating' are closed up to 30 November 2024 already"):
        await ledger.close_books("operating", NOVEMBER - timedelta(microseconds=1), by="cli:anna")
    await ledger.close_books("operating", NOVEMBER, by="cli:anna")
    await ledger.close_books("operating", NOVEMBER + timedelta(days=31), by="cli:bert")
    with pytest.raises(Refused, match="up to 31 December 2024"):
        await december.refund()
    async with db.read() as conn:
        until = select(accounts.c.closed_until).where(accounts.c.name == "operating")
        assert (await conn.execute(until)).scalars().all() == [NOVEMBER + timedelta(days=31)] * 2  # GBP and EUR


async def test_books_that_cannot_be_closed_give_a_sentence_and_stay_unchanged(ledger: Ledger, db: Database) -> None:
    today = datetime.now(UTC).replace(hour=23, minute=59, second=59, microsecond=999999)
    with pytest.raises(
        ValueError, match=rf"closed only up to a moment in the past, and {today.day} \w+ {today.year} is"
    ):
        await ledger.close_books("operating", today, by="cli:anna")
    with pytest.raises(ValueError, match="needs a time zone"):
        await ledger.close_books("operating", NOVEMBER.replace(tzinfo=None), by="cli:anna")
    with pytest.raises(UnknownLedgerAccount, match="there is no account 'nowhere'"):
        await ledger.close_books("nowhere", NOVEMBER, by="cli:anna")
    with pytest.raises(ValueError, match="'payments' is not an account for payments"):
        await ledger.close_books("payments", NOVEMBER, by="cli:anna")
    async with db.read() as conn:
        assert (await conn.execute(select(accounts).where(accounts.c.closed_until.is_not(None)))).all() == []
        assert await audit_log.page(conn, "") == []


async def test_the_audit_log_says_who_closed_the_books_and_up_to_when(ledger: Ledger, db: Database) -> None:
    await ledger.close_books("operating", NOVEMBER, by="cli:anna")
    async with db.read() as conn:
        (event,) = await audit_log.page(conn, "")
    assert (event.kind, event.actor) == ("books_closed", "cli:anna")
    assert event.summary == "The books of account operating were closed up to 30 November 2024"
    assert event.data == {"account": "operating", "until": "2024-11-30T23:59:59.999999+00:00"}


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("2024-11-30", NOVEMBER),
        ("2024-02-29", datetime(2024, 2, 29, 23, 59, 59, 999999, UTC)),
        ("2024-11-30T18:00Z", datetime(2024, 11, 30, 18, tzinfo=UTC)),
        ("2024-12-01T00:30:00+01:00", datetime(2024, 11, 30, 23, 30, tzinfo=UTC)),
    ],
)
def test_a_day_means_its_end_and_a_moment_itself(text: str, means: datetime) -> None:
    assert closing_moment(text) == means


@pytest.mark.parametrize(
    "text", ["", "november", "2024-11-31", "2024-11", "2024-11-30T18:00", "20241130", "0001-01-01T00:00+14:00"]
)
def test_what_is_neither_a_day_nor_a_moment_closes_nothing(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no day such as 2026-11-30, and no moment such as"):
        closing_moment(text)


@pytest.mark.both_databases
async def test_a_refund_that_waits_while_the_books_are_closed_is_refused(
    ledger: Ledger, db: Database, another_db: Callable[[], Database]
) -> None:
    payment = await paid(db, ledger, "payment:inv-1", NOVEMBER)
    async with another_db().write() as conn:
        await conn.execute(select(accounts).where(accounts.c.name == "operating").with_for_update())
        refund = asyncio.create_task(payment.refund())
        await asyncio.sleep(0.3)
        assert not refund.done()
        await conn.execute(update(accounts).where(accounts.c.name == "operating").values(closed_until=NOVEMBER))
    with pytest.raises(Refused, match="can no longer be rolled back"):
        await refund
    assert await kinds(ledger, payment.case_id) == ["hold", "capture"]


@pytest.mark.both_databases
async def test_closing_books_reports_a_close_that_another_person_just_made(
    ledger: Ledger, db: Database, another_db: Callable[[], Database]
) -> None:
    async with another_db().write() as conn:
        await conn.execute(update(accounts).where(accounts.c.name == "operating").values(closed_until=NOVEMBER))
        closing = asyncio.create_task(ledger.close_books("operating", NOVEMBER - timedelta(days=30), by="cli:anna"))
        await asyncio.sleep(0.3)
        assert not closing.done()
    with pytest.raises(ValueError, match="closed up to 30 November 2024 already"):
        await closing


@pytest.mark.both_databases
async def test_the_twin_of_a_refund_succeeds_though_the_books_are_closed_between_the_two(
    ledger: Ledger, db: Database, another_db: Callable[[], Database]
) -> None:
    """The three wait for the account in this order: refund, close, refund again. The second finds closed books."""
    payment = await paid(db, ledger, "payment:inv-1", NOVEMBER)
    async with another_db().write() as conn:
        await conn.execute(select(accounts).where(accounts.c.name == "operating").with_for_update())
        waiting: list[asyncio.Task[bool | None]] = []
        for call in (payment.refund(), ledger.close_books("operating", NOVEMBER, by="cli:anna"), payment.refund()):
            waiting.append(asyncio.create_task(call))
            await asyncio.sleep(0.3)
        assert not any(task.done() for task in waiting)
    assert await asyncio.gather(*waiting) == [True, None, True]
    assert await kinds(ledger, payment.case_id) == ["hold", "capture", "refund"]
    assert await ledger.check() == []


@pytest.mark.both_databases
async def test_books_closed_and_payments_refunded_at_the_same_moment_leave_right_books(
    ledger: Ledger, db: Database, another_db: Callable[[], Database]
) -> None:
    other = Ledger(another_db())
    refunded = 0
    for number in range(6):
        payment = await paid(db, ledger, f"payment:inv-{number}", NOVEMBER + timedelta(days=number))
        twin = Payment(other, payment.case_id)
        closing = ledger.close_books("operating", NOVEMBER + timedelta(days=number), by="cli:anna")
        *answers, closed = await asyncio.gather(payment.refund(), twin.refund(), closing, return_exceptions=True)
        assert closed is None
        if "refund" in await kinds(ledger, payment.case_id):
            assert True in answers  # its twin may have come too late
            refunded += 1
        else:
            assert all(isinstance(answer, Refused) for answer in answers), answers
    left = f"{1000 - 100 * (6 - refunded)}.00"
    assert await money(ledger) == (left, "0.00", left)
    assert await ledger.check() == []


# -------------------------------------------------------------------------------------------- twice, late, all at once


async def test_the_same_key_again_returns_the_first_result(ledger: Ledger) -> None:
    payment = Payment(ledger, "payment:inv-1")
    assert await payment.hold() == await payment.hold()
    assert await payment.capture() == await payment.capture()
    assert await payment.hold() == await payment.hold()
    for _ in range(2):
        await payment.refund()
        await payment.release()
    assert await kinds(ledger, payment.case_id) == ["hold", "capture", "refund"]


async def test_a_late_hold_after_its_undo_changes_no_balance(ledger: Ledger) -> None:
    payment = Payment(ledger, "payment:inv-1")
    await payment.release()
    await payment.release()
    with pytest.raises(Refused, match="already undone"):
        await payment.hold()
    assert await money(ledger) == ("1000.00", "0.00", "1000.00")
    (void,) = await ledger.entries(reference="INV-1")
    assert (void.kind, void.idempotency_key, void.lines) == ("void", "payment:inv-1/reserve_funds", [])
    assert await ledger.check() == []


async def test_a_late_capture_after_its_undo_changes_no_balance(ledger: Ledger) -> None:
    payment = Payment(ledger, "payment:inv-1")
    await payment.hold()
    await payment.refund()
    with pytest.raises(Refused, match="already undone"):
        await payment.capture()
    assert await money(ledger) == ("1000.00", "100.00", "900.00")
    await payment.release()
    with pytest.raises(Refused, match="already undone"):
        await payment.hold()
    assert await money(ledger) == ("1000.00", "0.00", "1000.00")


@pytest.mark.both_databases
async def test_20_identical_calls_from_two_processes_make_one_entry(
    ledger: Ledger, another_db: Callable[[], Database]
) -> None:
    """Two `Database`s share nothing but the file or the server, as two processes do.

    They hold all there is, so that one which looks for the money before it looks for its key would not find any.
    """
    ledgers = [ledger, Ledger(another_db())]
    payments = [Payment(ledgers[number % 2], "payment:inv-1", "1000.00") for number in range(20)]
    assert len(set(await asyncio.gather(*(payment.hold() for payment in payments)))) == 1
    assert len(set(await asyncio.gather(*(payment.capture() for payment in payments)))) == 1
    await asyncio.gather(*(payment.refund() for payment in payments))
    assert await kinds(ledger, "payment:inv-1") == ["hold", "capture", "refund"]
    assert await money(ledger) == ("1000.00", "0.00", "1000.00")
    assert await ledger.check() == []


@pytest.mark.both_databases
async def test_holds_at_the_same_moment_never_take_more_than_there_is(
    ledger: Ledger, another_db: Callable[[], Database]
) -> None:
    ledgers = [ledger, Ledger(another_db())]
    payments = [Payment(ledgers[number % 2], f"payment:inv-{number}") for number in range(15)]
    done = await asyncio.gather(*(payment.hold() for payment in payments), return_exceptions=True)
    assert sum(isinstance(one, Booking) for one in done) == 10
    assert sum(isinstance(one, Refused) for one in done) == 5
    assert await money(ledger) == ("1000.00", "1000.00", "0.00")


@pytest.mark.both_databases
async def test_a_do_and_its_undo_at_the_same_moment_leave_nothing(
    ledger: Ledger, another_db: Callable[[], Database]
) -> None:
    other = Ledger(another_db())
    for number in range(8):
        case_id = f"payment:inv-{number}"
        do, undo = Payment(ledger, case_id), Payment(other, case_id)
        answers = await asyncio.gather(undo.release(), do.hold(), undo.release(), return_exceptions=True)
        assert all(answer is None or isinstance(answer, (Booking, Refused)) for answer in answers), answers
        assert await kinds(ledger, case_id) in (["hold", "release"], ["void"])
    assert await money(ledger) == ("1000.00", "0.00", "1000.00")
    assert await ledger.check() == []


@pytest.mark.both_databases
async def test_a_hold_is_captured_or_released_at_the_same_moment_but_never_both(
    ledger: Ledger, another_db: Callable[[], Database]
) -> None:
    other = Ledger(another_db())
    captured = 0
    for number in range(5):
        case_id = f"payment:inv-{number}"
        await Payment(ledger, case_id).hold()
        answers = await asyncio.gather(
            Payment(ledger, case_id).capture(), Payment(other, case_id).release(), return_exceptions=True
        )
        assert isinstance(answers[0], (Booking, Refused)) and answers[1] is None, answers
        ended = await kinds(ledger, case_id)
        assert ended in (["hold", "capture"], ["hold", "release"])
        captured += ended[-1] == "capture"
    left = f"{1000 - 100 * captured}.00"
    assert await money(ledger) == (left, "0.00", left)
    assert await ledger.check() == []


DEEDS = ["hold", "release", "capture", "refund", "close"]
CALLS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(DEEDS)), max_size=24)


@given(calls=CALLS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_comes_in_whatever_order_the_books_are_right(
    ledger: Ledger, calls: list[tuple[int, str]]
) -> None:
    """Against a model: what each call answers and leaves, and that undoing everything restores all but closed books."""
    example = next(_serial)
    account = f"account-{example}"
    await ledger.fund(f"fund/{account}", account, "GBP", Decimal("10.00"))
    cases = [Payment(ledger, f"payment:{example}-{number}", "4.00", account) for number in range(4)]
    held, captured = ["never"] * 4, ["never"] * 4  # then: done, used (a hold) or closed (a payment), undone

    for case, call in calls:
        if call == "close":
            await ledger.close_books(account, datetime.now(UTC), by="cli:anna")
            captured = ["closed" if state == "done" else state for state in captured]
            continue
        if call == "hold":
            fits = held[case] in {"done", "used"} or (held[case] == "never" and _available(held, captured) >= 4)
            if fits and held[case] == "never":
                held[case] = "done"
        elif call == "capture":
            fits = captured[case] in {"done", "closed"} or (captured[case] == "never" and held[case] == "done")
            if fits and captured[case] == "never":
                held[case], captured[case] = "used", "done"
        else:
            undone = held if call == "release" else captured
            fits = undone[case] != "closed"
            undone[case] = undone[case] if undone[case] in {"used", "closed"} else "undone"
        try:
            await getattr(cases[case], call)()
        except Refused:
            assert not fits, f"{call} was refused"
        else:
            assert fits, f"{call} should have been refused"
        assert (await ledger.balance(account, "GBP")).available == f"{_available(held, captured)}.00"

    for payment, state in zip(cases, captured, strict=True):
        await payment.release()
        with pytest.raises(Refused) if state == "closed" else nullcontext():
            await payment.refund()
        keys = [entry.idempotency_key for entry in await ledger.entries(case_id=payment.case_id)]
        assert len(keys) == len(set(keys))
    left = f"{10 - 4 * captured.count('closed')}.00"
    assert await money(ledger, account) == (left, "0.00", left)
    assert await ledger.check() == []


def _available(held: list[str], captured: list[str]) -> int:
    return 10 - 4 * (held.count("done") + captured.count("done") + captured.count("closed"))


# ---------------------------------------------------------------------------------------------------------- the check


async def test_the_check_names_an_entry_that_somebody_edited(ledger: Ledger, db: Database) -> None:
    booking = await Payment(ledger, "payment:inv-1").hold()
    async with db.write() as conn:
        await conn.execute(
            update(lines).where(lines.c.entry_id == booking.entry_id, lines.c.debit > 0).values(debit=9999)
        )
    unbalanced, account = await ledger.check()
    assert unbalanced == f"entry {booking.entry_id}: pending debits of 99.99 GBP, credits of 100.00 GBP"
    assert account == "account payments GBP: pending 100.00 GBP, by its lines 99.99 GBP"


async def test_the_check_names_an_account_that_somebody_edited(ledger: Ledger, db: Database) -> None:
    async with db.write() as conn:
        await conn.execute(update(accounts).where(accounts.c.name == "operating").values(posted=100100))
    assert await ledger.check() == ["account operating GBP: posted 1,001.00 GBP, by its lines 1,000.00 GBP"]


# ------------------------------------------------------------------------------------------------------------ history


@pytest.mark.both_databases
async def test_a_payees_history_holds_what_stands_each_case_once_and_not_ones_own(ledger: Ledger) -> None:
    paid = Payment(ledger, "payment:paid", "10.00", payee="ACME  Paper Ltd", payee_account="GB33BUKB20201555555555")
    held = Payment(ledger, "payment:held", "20.00")
    released, refunded = Payment(ledger, "payment:released"), Payment(ledger, "payment:refunded")
    own, other = Payment(ledger, "payment:own"), Payment(ledger, "payment:other", payee="Somebody Else")
    for payment in (paid, held, released, refunded, own, other):
        await payment.hold()
    await paid.capture()
    await released.release()
    await refunded.capture()
    await refunded.refund()

    history = await ledger.payee_history(payee_key("acme paper ltd"), before_case="payment:own")
    assert [(past.reference, past.amount, past.currency, past.payee_account, past.captured) for past in history] == [
        ("HELD", Decimal("20.00"), "GBP", None, False),
        ("PAID", Decimal("10.00"), "GBP", "GB33BUKB20201555555555", True),
    ]
    assert len(await ledger.payee_history(payee_key("Acme Paper Ltd"), before_case="", limit=2)) == 2
