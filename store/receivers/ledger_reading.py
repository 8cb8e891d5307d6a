"""Queries of the ledger: balances, entries, and earlier payments to a payee."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel
from sqlalchemy import Integer, Row, and_, bindparam, func, or_, select

from domain.ids import reference_key
from domain.money import major_units
from domain.normalization import fold
from store.audit.verification import ledger_check
from store.db.database import Database
from store.db.prepared import Prepared, prepared
from store.tables.receivers import accounts, entries, lines

Layer = Literal["posted", "pending"]
Kind = Literal["fund", "hold", "release", "capture", "refund", "void"]


class UnknownLedgerAccount(LookupError):
    """Raised if the ledger has no account with this name, or none in the currency that was asked for."""


class PastPayment(NamedTuple):
    """An earlier payment that is still valid: its money is held, or was paid and not refunded."""

    reference: str
    at: datetime
    amount: Decimal
    currency: str
    payee_account: str | None
    captured: bool


class Balance(BaseModel):
    """The amounts of one account, as strings with the decimals of the currency.

    A hold does not change `balance`; `available` is `balance` minus `held`.
    """

    account: str
    currency: str
    balance: str
    held: str
    available: str


class LedgerLine(BaseModel):
    """One side of an entry. Either `debit` or `credit` is zero."""

    layer: Layer
    account: str
    currency: str
    debit: str
    credit: str


class LedgerEntry(BaseModel):
    """One entry of the ledger: an effect with its lines, or an entry of the kind `void`, which has no lines."""

    entry_id: int
    idempotency_key: str
    kind: Kind
    undoes: str | None
    case_id: str | None
    reference: str
    at: datetime
    lines: list[LedgerLine]


class LedgerReading:
    """Reads balances, entries and earlier payments of the ledger."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def balance(self, name: str, currency: str) -> Balance:
        """Return one account in one currency. Raises UnknownLedgerAccount."""
        name = fold(name)
        async with self._db.read() as conn:
            row = (await conn.execute(select(accounts).where(is_account(name, currency)))).one_or_none()
        if row is None:
            raise UnknownLedgerAccount(f"there is no account '{name}' in {currency}")
        return _balance(row)

    async def balances(self) -> list[Balance]:
        """Return all accounts that make payments, by name and currency."""
        query = select(accounts).where(accounts.c.funded).order_by(accounts.c.name, accounts.c.currency)
        async with self._db.read() as conn:
            return [_balance(row) for row in await conn.execute(query)]

    async def entries(
        self, reference: str | None = None, *, case_id: str | None = None, after: int = 0, limit: int = 200
    ) -> list[LedgerEntry]:
        """Return the entries of one reference or of one case, in the order of their creation.

        References are compared without case.

        `after` is the last `entry_id` of the previous page. Raises ValueError for an invalid reference.
        """
        wanted = [entries.c.entry_id > after]
        if reference is not None:
            wanted.append(entries.c.reference_key == reference_key(reference))
        if case_id is not None:
            wanted.append(entries.c.case_id == case_id)
        async with self._db.read() as conn:
            found = (await conn.execute(select(entries).where(*wanted).order_by(entries.c.entry_id).limit(limit))).all()
            ids = [entry.entry_id for entry in found]
            sides: dict[int, list[LedgerLine]] = {entry_id: [] for entry_id in ids}
            by_number = select(lines).where(lines.c.entry_id.in_(ids)).order_by(lines.c.entry_id, lines.c.number)
            for line in await conn.execute(by_number):
                sides[line.entry_id].append(
                    LedgerLine(
                        layer=line.layer,
                        account=line.account,
                        currency=line.currency,
                        debit=str(major_units(line.debit, line.currency)),
                        credit=str(major_units(line.credit, line.currency)),
                    )
                )
        return [LedgerEntry(**entry._mapping, lines=sides[entry.entry_id]) for entry in found]

    async def payee_history(self, key: str, *, before_case: str, limit: int = 1000) -> list[PastPayment]:
        """Return the payee's latest valid payments, newest first; `key` is the key of the payee (`payee_key`).

        Each case gives one payment, whether its money is held or paid. Only holds that were booked before the hold of
        `before_case` count. So of two equal payments that run at the same time, exactly one has the other in its
        history. If `before_case` has no hold, all holds count.
        """
        asked = {"of_payee": key, "before_case": before_case, "most": limit}
        async with self._db.read() as conn:
            return [
                PastPayment(
                    reference=row.reference,
                    at=row.at,
                    amount=major_units(row.amount, row.currency),
                    currency=row.currency,
                    payee_account=row.payee_account,
                    captured=bool(row.captured),
                )
                for row in await conn.execute(_PAYEE_HISTORY, asked)
            ]

    async def check(self) -> list[str]:
        """Return one sentence for each error in the sums of the ledger; no sentence if all debits equal all credits."""
        async with self._db.read() as conn:
            return await ledger_check.check(conn)


def _balance(row: Row[Any]) -> Balance:
    held = max(-row.pending, 0)  # incoming pending money is neither held nor available
    return Balance(
        account=row.name,
        currency=row.currency,
        balance=str(major_units(row.posted, row.currency)),
        held=str(major_units(held, row.currency)),
        available=str(major_units(row.posted - held, row.currency)),
    )


def is_account(name: Any, currency: Any) -> Any:
    """Return the SQL condition for the row of one account in one currency."""
    return and_(accounts.c.name == name, accounts.c.currency == currency)


def _payee_history() -> Prepared:
    ended, refunded, own = entries.alias("ended"), entries.alias("refunded"), entries.alias("own")
    is_own_hold = (own.c.case_id == bindparam("before_case"), own.c.kind == "hold")
    own_hold = select(func.min(own.c.entry_id)).where(*is_own_hold).scalar_subquery()
    stands = or_(ended.c.kind.is_(None), and_(ended.c.kind == "capture", refunded.c.kind.is_(None)))
    return prepared(
        select(entries, ended.c.kind.is_not(None).label("captured"))
        .outerjoin(ended, ended.c.undoes == entries.c.idempotency_key)
        .outerjoin(refunded, refunded.c.undoes == ended.c.idempotency_key)
        .where(entries.c.payee_key == bindparam("of_payee"), entries.c.kind == "hold", stands)
        .where(or_(own_hold.is_(None), entries.c.entry_id < own_hold))
        .order_by(entries.c.at.desc(), entries.c.entry_id.desc())
        .limit(bindparam("most", type_=Integer)),
        long=True,
    )


_PAYEE_HISTORY = _payee_history()
