"""The ledger: double-entry bookkeeping in minor units (such as cents). Each effect happens exactly once.

Lines have two layers: a hold is a pair of *pending* lines, moved money is a pair of *posted* lines. Lines are never
changed or deleted; an undo is an entry with the same lines reversed. Two unique columns prevent double effects of
repeated, late or concurrent calls: `idempotency_key`, and `undoes`, the key that an entry reverses. A capture reverses
its hold, so a hold ends only once, by a release or by a capture. An entry of the kind `void` uses up the key of a step
that was undone before it ran.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Row, bindparam, insert, select, update

from domain.errors import Refused, Trouble
from domain.ids import MAX_REFERENCE_KEY
from domain.moments import day_in_words, day_of, moment_in_words, moment_of
from domain.money import in_words, major_units as _major, minor_units as _minor, payee_key
from domain.normalization import fold
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.prepared import prepared
from store.receivers import idempotency
from store.receivers.ledger_reading import (
    Kind,
    LedgerReading,
    UnknownLedgerAccount,
    is_account,
)
from store.tables.receivers import accounts, entries, lines

PAYMENTS = "payments"
"""The account of outgoing payments: the other side of holds and captures."""
CAPITAL = "capital"
"""The account from which money from outside comes, as the other side of the entry."""
MOST_MINOR = 9 * 10**18
"""Largest amount of an account in minor units: the limit of its column."""

T = TypeVar("T")


class AccountLocked(Trouble):
    """Raised if the account is locked, which is temporary.

    A locked account is not a business refusal: the step is retried. If all attempts fail, operators get an incident,
    unless `then` in the policy says otherwise.
    """


class Booking(NamedTuple):
    """An effect as stored in the ledger. If a key is used again, this is the effect of its first use."""

    entry_id: int
    at: datetime


class _Line(NamedTuple):
    layer: str
    account: str
    currency: str
    debit: int
    credit: int


class Ledger(LedgerReading):
    """Changes and reads the money of accounts.

    Every method that writes is one transaction and may be called again with its key.
    """

    # ------------------------------------------------------------------------------------------------ do and undo

    async def hold(
        self,
        key: str,
        case_id: str,
        reference: str,
        account: str,
        currency: str,
        amount: Decimal,
        payee: str,
        payee_account: str | None = None,
    ) -> Booking:
        """Reserve `amount`, so that no other case can spend it.

        Raises Refused for an account that is unknown, closed or not for payments, for insufficient funds, and for a key
        that was undone; raises AccountLocked.
        """
        minor, account = _minor(amount, currency), fold(account)

        async def book(conn: AsyncConnection) -> Booking:
            locked = await _account(conn, account, currency)  # before looking for the key: see `_account`
            if first := await _find(conn, key):
                return await _again(conn, first, "hold", case_id, account, currency, minor)
            paying = await _may_pay(conn, locked, account, currency)
            available = paying.posted + paying.pending
            if minor > available:
                raise Refused(
                    f"Not enough money in account '{account}': {in_words(amount, currency)} is needed, "
                    f"{_words(available, currency)} is available. "
                    "Fund the account, or request a smaller amount."
                )
            return await _book(
                conn,
                "hold",
                key,
                [
                    _Line("pending", account, currency, 0, minor),
                    _Line("pending", PAYMENTS, currency, minor, 0),
                ],
                case_id=case_id,
                reference=reference,
                account=account,
                currency=currency,
                amount=minor,
                payee=payee,
                payee_key=payee_key(payee),
                payee_account=payee_account,
            )

        return await idempotency.once(self._db, book)

    async def release(self, key: str, undoes: str, case_id: str, reference: str) -> bool:
        """Undo the hold that was made with the key `undoes`, so that its money is available again.

        If that key was never used, make that key void. Do nothing if the hold was undone or captured before. Return
        True if the hold was undone with this key, by this call or before.
        """
        return await self._undo("release", "hold", key, undoes, case_id, reference)

    async def capture(
        self,
        key: str,
        case_id: str,
        account: str,
        currency: str,
        amount: Decimal,
        *,
        payee: str,
        payee_account: str | None = None,
    ) -> Booking:
        """Pay with the money that the case holds: the hold ends and the money moves.

        A reviewer may have changed the amount or the payee. If the new amount is lower, the rest of the held money
        becomes available again. If the new amount is higher, the difference is taken from the available balance. Raises
        Refused if the case has no hold, if its hold is in another account, if the account has too little money or is
        closed, or if the key was undone.
        """
        minor, account = _minor(amount, currency), fold(account)

        async def book(conn: AsyncConnection) -> Booking:
            locked = await _account(conn, account, currency)
            if first := await _find(conn, key):
                return await _again(conn, first, "capture", case_id, account, currency, minor)
            paying = await _may_pay(conn, locked, account, currency)
            held = await _standing_hold(conn, case_id)
            if held is None:
                raise Refused("No money is held for this payment, so it cannot be paid. Submit the payment again.")
            if (held.account, held.currency) != (account, currency):
                raise Refused(
                    f"{_words(held.amount, held.currency)} is held in account '{held.account}' for this payment, "
                    f"and {in_words(amount, currency)} was to be paid from account '{account}'. "
                    "Submit the payment again."
                )
            available = paying.posted + paying.pending + held.amount
            if minor > available:
                raise Refused(
                    f"Not enough money in account '{account}': {in_words(amount, currency)} is needed, "
                    f"{_words(available, currency)} is available. "
                    "Fund the account, or request a smaller amount."
                )
            to = {"payee": payee, "payee_key": payee_key(payee), "payee_account": payee_account}
            return await _book(
                conn,
                "capture",
                key,
                [
                    *await _reversed(conn, held.entry_id),
                    _Line("posted", account, currency, 0, minor),
                    _Line("posted", PAYMENTS, currency, minor, 0),
                ],
                undoes=held.idempotency_key,
                **(_about(held) | {"amount": minor, **to}),
            )

        return await idempotency.once(self._db, book)

    async def refund(self, key: str, undoes: str, case_id: str, reference: str) -> bool:
        """Undo the capture that was made with the key `undoes`: move its money back.

        If that key was never used, make that key void. Return True if the payment was undone with this key, by this
        call or before.

        Raises Refused if the books are closed for the time of the payment, unless the payment was undone before.
        """
        return await self._undo("refund", "capture", key, undoes, case_id, reference)

    async def fund(self, key: str, account: str, currency: str, amount: Decimal, *, locked: bool = False) -> None:
        """Add money to an account from outside; open the account if it does not exist. With `locked`, a new account is
        locked.

        A second call with the same key does nothing.
        """
        minor, account = _minor(amount, currency), fold(account)

        await idempotency.once(self._db, lambda conn: book_funds(conn, key, account, currency, minor, locked=locked))

    async def close_account(self, name: str, currency: str) -> None:
        """Close the account for payments; holds and earlier payments can still be undone.

        Raises UnknownLedgerAccount.
        """
        name = fold(name)
        async with self._db.write() as conn:
            if await _account(conn, name, currency) is None:
                raise UnknownLedgerAccount(f"there is no account '{name}' in {currency}")
            await conn.execute(update(accounts).where(is_account(name, currency)).values(open=False))

    async def set_locked(self, name: str, locked: bool, by: str) -> None:
        """Lock the account for payments in any currency, for example during reconciliation, or unlock it.

        Holds and earlier payments can still be undone: an undo only restores the earlier state. Raises
        UnknownLedgerAccount.
        """
        name = fold(name)
        async with self._db.write() as conn:
            changed = await conn.execute(update(accounts).where(accounts.c.name == name).values(locked=locked))
            if not changed.rowcount:
                raise UnknownLedgerAccount(f"there is no account '{name}'")
            kind, said = ("account_locked", "locked") if locked else ("account_unlocked", "unlocked")
            await audit_log.note(conn, kind, by=by, summary=f"Account {name} was {said}", data={"account": name})

    async def close_books(self, name: str, until: datetime, by: str) -> None:
        """Close the books of the account in every currency: payments up to `until` cannot be refunded any more.

        Closed books are never opened again. Holds can still be released, because held money was not paid. Raises
        UnknownLedgerAccount. Raises ValueError for a moment in the future, without a time zone or before the present
        closing, and for an account that makes no payments.
        """
        if until.tzinfo is None:
            raise ValueError("the moment up to which books are closed needs a time zone")
        if until > datetime.now(UTC):
            raise ValueError(
                f"books can be closed only up to a moment in the past, and {closed_in_words(until)} is in the future"
            )
        name = fold(name)
        async with self._db.write() as conn:
            named = select(accounts).where(accounts.c.name == name).order_by(accounts.c.currency)
            found = (await conn.execute(named.with_for_update())).all()  # waits for running captures and refunds
            if not found:
                raise UnknownLedgerAccount(f"there is no account '{name}'")
            if not any(account.funded for account in found):
                raise ValueError(f"account '{name}' is not an account for payments")
            before = max((account.closed_until for account in found if account.closed_until), default=until)
            if until < before:
                raise ValueError(
                    f"the books of account '{name}' are closed up to {closed_in_words(before)} already, "
                    "and closed books are not opened again: name a later moment"
                )
            await conn.execute(update(accounts).where(accounts.c.name == name).values(closed_until=until))
            summary = f"The books of account {name} were closed up to {closed_in_words(until)}"
            data = {"account": name, "until": until.astimezone(UTC).isoformat()}
            await audit_log.note(conn, "books_closed", by=by, summary=summary, data=data)

    async def _undo(self, kind: Kind, of: Kind, key: str, undoes: str, case_id: str, reference: str) -> bool:
        async def book(conn: AsyncConnection) -> bool:
            done = await _find(conn, undoes)
            if done is None:
                await _book(conn, "void", undoes, [], case_id=case_id, reference=reference)
                return False
            # Lock before reading, as everywhere: otherwise a repeat that waits here for the first call would, once the
            # books are closed, refuse an effect that is already done.
            account = await _account(conn, done.account, done.currency) if done.account else None
            if ended := "void" if done.kind == "void" else await _undone_by(conn, undoes):
                return ended == kind
            if done.kind != of:
                raise ValueError(f"a {kind} can undo only a {of}, and the key '{undoes}' is that of a {done.kind}")
            if of == "capture":
                _check_refundable(account, done)
            await _book(conn, kind, key, await _reversed(conn, done.entry_id), undoes=undoes, **_about(done))
            return True

        return await idempotency.once(self._db, book)


# ------------------------------------------------------------------------------------------------ inside a transaction


async def open_account(
    conn: AsyncConnection, name: str, currency: str, *, funded: bool = True, locked: bool = False
) -> None:
    """Open an account without money, unless the account exists. `funded` is True if the account may make payments."""
    if await _account(conn, name, currency) is None:
        row = {"name": name, "currency": currency, "funded": funded, "open": True, "locked": locked}
        await conn.execute(insert(accounts).values(row | {"posted": 0, "pending": 0}))


async def book_funds(
    conn: AsyncConnection, key: str, account: str, currency: str, minor: int, *, locked: bool = False
) -> None:
    """Add money from outside to an account. Open the account if it does not exist.

    A second call with the same key does nothing.
    """
    if await _find(conn, key):
        return
    await open_account(conn, account, currency, locked=locked)
    for name in (CAPITAL, PAYMENTS):
        await open_account(conn, name, currency, funded=False)
    await _book(
        conn,
        "fund",
        key,
        [_Line("posted", account, currency, minor, 0), _Line("posted", CAPITAL, currency, 0, minor)],
        reference=key,
        account=account,
        currency=currency,
        amount=minor,
    )


async def _account(conn: AsyncConnection, name: str, currency: str) -> Row[Any] | None:
    """Return the account, locked until the end of the transaction (SQLite locks the whole database anyway).

    Each effect locks first and reads afterwards. Otherwise a repeated call that waits for the first call would miss the
    entry of the first call, find the money gone and report insufficient funds.
    """
    return (await conn.execute(_ACCOUNT, {"of_name": name, "of_currency": currency})).one_or_none()


async def _may_pay(conn: AsyncConnection, account: Row[Any] | None, name: str, currency: str) -> Row[Any]:
    """Return the account if it may pay in this currency; otherwise raise Refused or AccountLocked."""
    if account is not None:
        if not account.funded:
            raise Refused(f"Account '{name}' is not an account for payments. Choose another account.")
        if not account.open:
            raise Refused(f"Account '{name}' ({currency}) is closed. Choose another account.")
        if account.locked:
            raise AccountLocked(
                f"Account '{name}' is locked, so no payment is possible. Unlock the account, then retry.", about=name
            )
        return account
    others = select(accounts.c.currency).where(accounts.c.name == name).order_by(accounts.c.currency)
    if has := (await conn.execute(others)).scalars().all():
        raise Refused(f"Account '{name}' holds no {currency}, only {' and '.join(has)}. Choose another account.")
    raise Refused(f"There is no account '{name}'. Choose another account.")


def _check_refundable(account: Row[Any] | None, paid: Row[Any]) -> None:
    """Raise Refused if the books of the account are closed for the time of the payment."""
    if account is None or account.closed_until is None or paid.at > account.closed_until:
        return
    made = (day_in_words if _ends_a_day(account.closed_until) else moment_in_words)(paid.at)
    raise Refused(
        f"The books of account '{account.name}' are closed up to {closed_in_words(account.closed_until)}, "
        f"and this payment was made on {made}: it can no longer be rolled back. "
        "Book a correction in the books. If operators are asked, mark the step as done by hand.",
        about=f"books-closed/{account.name}",
    )


async def _find(conn: AsyncConnection, key: str) -> Row[Any] | None:
    return (await conn.execute(_OF_KEY, {"of_key": key})).one_or_none()


async def _undone_by(conn: AsyncConnection, key: str) -> str | None:
    """Return the kind of the entry that reversed the entry with this key; None if no entry did."""
    kind: str | None = await conn.scalar(_UNDONE_BY, {"of_key": key})
    return kind


async def _standing_hold(conn: AsyncConnection, case_id: str) -> Row[Any] | None:
    """Return the hold of the case that was not released and not captured; None without one."""
    return (await conn.execute(_STANDING_HOLD, {"of_case": case_id})).one_or_none()


async def _again(
    conn: AsyncConnection, first: Row[Any], kind: Kind, case_id: str, account: str, currency: str, minor: int
) -> Booking:
    """Return the result of the first use of a key, if it was the same effect and was not undone.

    Raises Refused if the effect was undone, and ValueError if the key belongs to another effect.
    """
    if first.kind == "void" or await _undone_by(conn, first.idempotency_key) in {"release", "refund"}:
        raise Refused("This step was already undone, so it is not done again.")
    if (first.kind, first.case_id, first.account, first.currency, first.amount) != (
        kind,
        case_id,
        account,
        currency,
        minor,
    ):
        raise ValueError(f"the key '{first.idempotency_key}' was used before for another {first.kind}")
    return Booking(first.entry_id, first.at)


async def _reversed(conn: AsyncConnection, entry_id: int) -> list[_Line]:
    """Return the lines that reverse an entry.

    For a capture these are only the posted lines, because its pending lines ended the hold.
    """
    sides = (await conn.execute(_LINES, {"of_entry": entry_id})).all()
    layer = "posted" if any(side.layer == "posted" for side in sides) else "pending"
    return [_Line(layer, side.account, side.currency, side.credit, side.debit) for side in sides if side.layer == layer]


def _about(entry: Row[Any]) -> dict[str, Any]:
    """Return the values that a reversing entry copies from the entry that it reverses, such as the reference."""
    taken_over = ("case_id", "reference", "account", "currency", "amount", "payee", "payee_key", "payee_account")
    return {name: getattr(entry, name) for name in taken_over}


async def _book(
    conn: AsyncConnection, kind: Kind, key: str, sides: Sequence[_Line], undoes: str | None = None, **about: Any
) -> Booking:
    """Insert one entry with its lines, and add the lines to the sums of their accounts."""
    at = datetime.now(UTC)
    row = {"idempotency_key": key, "kind": kind, "undoes": undoes, "at": at, **about}
    row["reference_key"] = fold(about["reference"])[:MAX_REFERENCE_KEY]
    entry_id: int = (await conn.execute(_INSERT_ENTRY, row)).scalar_one()
    if sides:
        numbered = [{"entry_id": entry_id, "number": number, **side._asdict()} for number, side in enumerate(sides)]
        await conn.execute(_INSERT_LINES, numbered)
        await conn.execute(_CARRY, _changes(sides))
    return Booking(entry_id, at)


def _changes(sides: Sequence[_Line]) -> list[dict[str, Any]]:
    """Return for each account by how much its two sums change."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for side in sides:
        of = {"of_name": side.account, "of_currency": side.currency, "by_posted": 0, "by_pending": 0}
        change = found.setdefault((side.account, side.currency), of)
        change[f"by_{side.layer}"] += side.debit - side.credit
    return list(found.values())


_ended = entries.alias("ended")
_is_account = is_account(bindparam("of_name"), bindparam("of_currency"))

_ACCOUNT = prepared(select(accounts).where(_is_account).with_for_update())
_OF_KEY = prepared(select(entries).where(entries.c.idempotency_key == bindparam("of_key")))
_UNDONE_BY = prepared(select(entries.c.kind).where(entries.c.undoes == bindparam("of_key")))
_LINES = prepared(select(lines).where(lines.c.entry_id == bindparam("of_entry")).order_by(lines.c.number))
_STANDING_HOLD = prepared(
    select(entries)
    .outerjoin(_ended, _ended.c.undoes == entries.c.idempotency_key)
    .where(entries.c.case_id == bindparam("of_case"), entries.c.kind == "hold", _ended.c.entry_id.is_(None))
    .order_by(entries.c.entry_id.desc())
    .limit(1)
)
_INSERT_ENTRY = prepared(insert(entries).returning(entries.c.entry_id))
_INSERT_LINES = prepared(insert(lines))
_CARRY = prepared(
    update(accounts)
    .where(_is_account)
    .values(posted=accounts.c.posted + bindparam("by_posted"), pending=accounts.c.pending + bindparam("by_pending"))
)


# ------------------------------------------------------------------------------------------------------ days of books


def closing_moment(text: str) -> datetime:
    """Return the moment up to which books are closed. If the text is a day, this is the end of the day in UTC.

    Raises ValueError for any other text.
    """
    try:
        return datetime.combine(day_of(text), time.max, UTC) if len(text) == 10 else moment_of(text)
    except ValueError as wrong:
        raise ValueError(f"'{text}' is no day such as 2026-11-30, and no moment such as 2026-11-30T18:00Z") from wrong


def closed_in_words(until: datetime) -> str:
    """Return the closing moment in words: `30 November 2026` if it is the end of that day, otherwise day and time."""
    return day_in_words(until) if _ends_a_day(until) else moment_in_words(until)


def _ends_a_day(at: datetime) -> bool:
    return at.astimezone(UTC).time() == time.max


# ----------------------------------------------------------------------------------------------------------- units


def _words(minor: int, currency: str) -> str:
    """Return an amount in minor units as text: `2,640.00 GBP`."""
    return in_words(_major(minor, currency), currency)
