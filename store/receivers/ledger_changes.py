"""Changes of the ledger under dual control: one administrator asks for a change, another confirms the change.

A change opens an account, or adds money to an account.

A person who could ask for a change and confirm it alone could invent money and pay it out. A requested change is
visible to all administrators, can be withdrawn, and ends by itself after 7 days. A confirmed change takes effect in the
same transaction.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy import Row, insert, or_, select, update

from domain.input_errors import WrongField
from domain.money import decimals_of, in_words, major_units, minor_units
from domain.normalization import identity_key
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.receivers import idempotency
from store.receivers.ledger import CAPITAL, MOST_MINOR, PAYMENTS, book_funds, open_account
from store.tables.receivers import accounts, ledger_changes

WAITS_FOR = timedelta(days=7)
"""How long a change waits for confirmation."""
MAX_AMOUNT = Decimal(10) ** 12
"""The largest amount of one change, in any currency."""

Kind = Literal["open", "fund"]
Status = Literal["waiting", "confirmed", "withdrawn", "expired"]


class LedgerChange(BaseModel):
    """One change of the ledger that an administrator has asked for, and its state."""

    change_id: str
    kind: Kind
    account: str
    currency: str
    amount: str | None
    """The amount as a decimal string; None for an account that is opened without money."""
    reason: str
    status: Status
    asked_by: str
    asked_at: datetime
    expires_at: datetime
    closed_by: str | None
    closed_at: datetime | None

    @property
    def words(self) -> str:
        """Return a text such as `open account operating in GBP with 500.00 GBP`."""
        money = in_words(Decimal(self.amount), self.currency) if self.amount else ""
        if self.kind == "fund":
            return f"put {money} into account {self.account}"
        return f"open account {self.account} in {self.currency}" + (f" with {money}" if money else "")


class WrongChange(WrongField):
    """Raised if a change of the ledger is invalid."""


class UnknownChange(LookupError):
    """Raised if no change of the ledger has this id."""


class ChangeClosed(ValueError):
    """Raised if a change of the ledger does not wait for confirmation, or cannot take effect any more.

    `change` is the change in its present state.
    """

    def __init__(self, message: str, change: LedgerChange) -> None:
        super().__init__(message)
        self.change = change


class SamePerson(ValueError):
    """Raised if the person who asked for a change tries to confirm the change."""


async def ask(
    db: Database,
    kind: Kind,
    account: str,
    currency: str,
    amount: Decimal | None,
    reason: str,
    by: str,
    key: str | None = None,
) -> LedgerChange:
    """Ask for a change of the ledger. A second call with the same `key` returns the first change.

    Raises WrongChange for an invalid change, and when the same change is already waiting.
    """
    checked = _checked(kind, account, currency, amount, reason)

    async def write(conn: AsyncConnection) -> LedgerChange:
        if key and (first := await _by_key(conn, key)):
            same = {name: getattr(first, name) for name in ("kind", *checked)}
            if same != {"kind": kind, **checked}:
                raise WrongChange(
                    "idempotency_key", "this Idempotency-Key was used before, for another change: send a new key"
                )
            return _change(first)
        now = datetime.now(UTC)
        await _check_possible(conn, kind, checked)
        alike = select(ledger_changes).where(
            ledger_changes.c.kind == kind,
            ledger_changes.c.account == checked["account"],
            ledger_changes.c.currency == checked["currency"],
            ledger_changes.c.amount.is_not_distinct_from(checked["amount"]),
            ledger_changes.c.status == "waiting",
            ledger_changes.c.expires_at > now,
        )
        if other := (await conn.execute(alike)).first():
            said = f"{other.asked_by} already proposed the same change: {other.change_id}"
            raise WrongChange(
                "account",
                f"{said}: another administrator must confirm that change, or an administrator must withdraw it",
            )
        row = {"change_id": f"l{secrets.token_hex(8)}", "idempotency_key": key, "kind": kind, **checked}
        row |= {"status": "waiting", "asked_by": by, "asked_at": now, "expires_at": now + WAITS_FOR}
        row |= {"closed_by": None, "closed_at": None}
        await conn.execute(insert(ledger_changes).values(row))
        made = await get(conn, row["change_id"])
        await _note(conn, "ledger_change_asked", by, made, "asked to")
        return made

    return await idempotency.once(db, write)


async def confirm(db: Database, change_id: str, by: str) -> LedgerChange:
    """Confirm a change, so that it takes effect.

    A second call by the same person changes nothing and returns the present state of the change.

    Raises UnknownChange; SamePerson if `by` asked for the change; ChangeClosed if the change does not wait for
    confirmation or is not possible any more.
    """

    async def write(conn: AsyncConnection) -> LedgerChange:
        change, now = await get(conn, change_id, lock=True), datetime.now(UTC)
        if change.status == "confirmed" and _same(change.closed_by, by):
            return change
        _check_waits(change)
        if _same(change.asked_by, by):
            raise SamePerson("You proposed this change, so another administrator must confirm it.")
        minor = minor_units(Decimal(change.amount), change.currency) if change.amount else None
        wanted = {"account": change.account, "currency": change.currency, "amount": minor}
        try:
            await _check_possible(conn, change.kind, wanted)
        except WrongChange as wrong:
            raise ChangeClosed(f"The change is no longer possible: {wrong}. Withdraw the change.", change) from wrong
        if change.kind == "open":
            await open_account(conn, change.account, change.currency)
        if minor is not None:
            await book_funds(conn, f"ledger/{change_id}", change.account, change.currency, minor)
        done = await _close(conn, change, "confirmed", by, now)
        await _note(
            conn, "ledger_change_confirmed", by, done, f"confirmed a change that {change.asked_by} proposed: to"
        )
        return done

    return await idempotency.once(db, write)


async def withdraw(db: Database, change_id: str, by: str) -> LedgerChange:
    """Withdraw a change that waits for confirmation. A second call by the same person returns the present state of the
    change.

    Raises UnknownChange and ChangeClosed.
    """
    async with db.write() as conn:
        change = await get(conn, change_id, lock=True)
        if change.status == "withdrawn" and _same(change.closed_by, by):
            return change
        _check_waits(change)
        gone = await _close(conn, change, "withdrawn", by, datetime.now(UTC))
        await _note(conn, "ledger_change_withdrawn", by, gone, "withdrew the change: to")
        return gone


async def changes(
    conn: AsyncConnection, status: Status | None = None, *, before: str | None = None, limit: int = 50
) -> list[LedgerChange]:
    """Return changes, newest first; `before` is the id of the last one on the previous page."""
    now = datetime.now(UTC)
    query = select(ledger_changes).order_by(ledger_changes.c.asked_at.desc(), ledger_changes.c.change_id.desc())
    waits, over = ledger_changes.c.status == "waiting", ledger_changes.c.expires_at <= now
    match status:
        case "waiting":
            query = query.where(waits, ~over)
        case "expired":
            query = query.where(waits, over)
        case str():
            query = query.where(ledger_changes.c.status == status)
    if before is not None:
        last = (await conn.execute(select(ledger_changes).where(ledger_changes.c.change_id == before))).first()
        if last is None:
            raise ValueError("the cursor is not valid for this list: start without a cursor")
        at, id = ledger_changes.c.asked_at, ledger_changes.c.change_id
        query = query.where(or_(at < last.asked_at, (at == last.asked_at) & (id < before)))
    return [_change(row) for row in await conn.execute(query.limit(limit))]


# ---------------------------------------------------------------------------------------------------------- what may be


def _checked(kind: Kind, account: str, currency: str, amount: Decimal | None, reason: str) -> dict[str, Any]:
    """Return the values of a change in the form in which they are stored.

    Raises WrongChange if one of them is invalid.
    """
    try:
        name = identity_key(account)
    except ValueError as wrong:
        raise WrongChange("account", str(wrong)) from wrong
    if not 1 <= len(name) <= 120:
        raise WrongChange("account", "the name of an account has 1 to 120 characters")
    if name in (CAPITAL, PAYMENTS):
        raise WrongChange("account", f"'{name}' is the ledger's own: choose another name")
    try:
        decimals = decimals_of(currency)
    except ValueError as wrong:
        raise WrongChange("currency", str(wrong)) from wrong
    if not 1 <= len(reason.strip()) <= 500:
        raise WrongChange("reason", "enter a reason of 1 to 500 characters: the audit log keeps the reason")
    about = {"account": name, "currency": currency, "reason": reason.strip(), "amount": None}
    if amount is None:
        if kind == "fund":
            raise WrongChange("amount", "enter an amount")
        return about
    if not amount.is_finite() or not 0 < amount <= MAX_AMOUNT:
        raise WrongChange("amount", f"an amount is more than 0 and at most {MAX_AMOUNT:,f}")
    exponent = amount.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > decimals and amount != round(amount, decimals):
        raise WrongChange("amount", f"{currency} has {decimals or 'no'} decimals: enter no more decimals")
    return about | {"amount": minor_units(amount, currency)}


async def _check_possible(conn: AsyncConnection, kind: Kind, wanted: dict[str, Any]) -> None:
    """Raise WrongChange if the present state of the accounts does not allow the change."""
    name, currency, amount = wanted["account"], wanted["currency"], wanted["amount"]
    known = (await conn.execute(select(accounts).where(accounts.c.currency == currency))).all()
    there = next((each for each in known if each.name == name), None)
    if kind == "open":
        if there is not None:
            raise WrongChange("account", f"account '{name}' in {currency} already exists: fund the account instead")
    else:
        if there is None or not there.funded:
            names = ", ".join(sorted(each.name for each in known if each.funded)) or "none"
            raise WrongChange(
                "account", f"there is no account '{name}' in {currency}; open the account first. Accounts: {names}"
            )
        if not there.open:
            raise WrongChange("account", f"account '{name}' in {currency} is closed: choose another account")
    capital = next((abs(each.posted) for each in known if each.name == CAPITAL), 0)
    if max(there.posted if there else 0, capital) + (amount or 0) > MOST_MINOR:
        raise WrongChange(
            "amount",
            f"the account or the capital would exceed {in_words(major_units(MOST_MINOR, currency), currency)}, "
            "the most that the ledger keeps in one currency: enter a smaller amount",
        )


def _check_waits(change: LedgerChange) -> None:
    if change.status == "expired":
        raise ChangeClosed("The change expired without a confirmation. Propose the change again.", change)
    if change.status != "waiting":
        raise ChangeClosed(f"The change was already {change.status} by {change.closed_by}.", change)


def _same(one: str | None, other: str) -> bool:
    return one is not None and one.casefold() == other.casefold()


# ----------------------------------------------------------------------------------------------------------------- rows


async def _by_key(conn: AsyncConnection, key: str) -> Row[Any] | None:
    return (await conn.execute(select(ledger_changes).where(ledger_changes.c.idempotency_key == key))).first()


async def get(conn: AsyncConnection, change_id: str, *, lock: bool = False) -> LedgerChange:
    """Return one change. Raises UnknownChange."""
    query = select(ledger_changes).where(ledger_changes.c.change_id == change_id)
    row = (await conn.execute(query.with_for_update() if lock else query)).first()
    if row is None:
        raise UnknownChange(f"there is no change of the ledger with the id {change_id}")
    return _change(row)


def _change(row: Row[Any]) -> LedgerChange:
    status = "expired" if row.status == "waiting" and row.expires_at <= datetime.now(UTC) else row.status
    amount = None if row.amount is None else str(major_units(row.amount, row.currency))
    names = [name for name in LedgerChange.model_fields if name not in ("status", "amount")]
    return LedgerChange(**{name: getattr(row, name) for name in names}, status=status, amount=amount)


async def _close(conn: AsyncConnection, change: LedgerChange, status: Status, by: str, at: datetime) -> LedgerChange:
    its = ledger_changes.c.change_id == change.change_id
    await conn.execute(update(ledger_changes).where(its).values(status=status, closed_by=by, closed_at=at))
    return change.model_copy(update={"status": status, "closed_by": by, "closed_at": at})


async def _note(conn: AsyncConnection, kind: str, by: str, change: LedgerChange, said: str) -> None:
    fields: Sequence[str] = ("change_id", "kind", "account", "currency", "amount", "reason", "asked_by")
    data = {name: getattr(change, name) for name in fields}
    await audit_log.note(conn, kind, by=by, summary=f"{by} {said} {change.words}: {change.reason}", data=data)
