"""Routes for the ledger: its entries and accounts. Two administrators must agree to open or fund an account."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from api.deps import Cursor, Db, IdempotencyKey, Limit, Plain, Reference, TheServices
from api.http.callers import Caller
from api.http.problems import FieldError, Problem, documented, forbidden, invalid, not_found
from api.http.schemas import Page, checked_cursor, number_of, page_by_number
from api.http.security import LedgerReader, check_admin, ledger_reader
from domain.money import EXPECTED_AMOUNT, PLAIN_NUMBER
from store.db.client_keys import scoped_key
from store.db.database import Database
from store.people.people import Person
from store.receivers import ledger_changes
from store.receivers.ledger_changes import ChangeClosed, LedgerChange, SamePerson, Status, UnknownChange, WrongChange
from store.receivers.ledger_reading import Balance, LedgerEntry, UnknownLedgerAccount

router = APIRouter(prefix="/ledger", tags=["ledger"])
_ASKS = documented(401, 403, 404, 422, 503)
_CLOSES = documented(401, 403, 404, 409, 422, 503)


def _as_text(value: Any) -> Any:
    """Return an amount of a request as text.

    Raises ValueError for a JSON number with a decimal point, which is not exact, and for a text that is no plain
    number.
    """
    if isinstance(value, float):
        raise ValueError("send the amount as a string such as '2640.00': a JSON number with a point is not exact")
    if isinstance(value, str) and not PLAIN_NUMBER.fullmatch(value):
        raise ValueError(EXPECTED_AMOUNT)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


AccountName = Annotated[Plain, Path(max_length=120, examples=["operating"])]
ChangeId = Annotated[Plain, Path(max_length=40, examples=["l4c1f0a9e5b7d2c3a"])]
Currency = Annotated[Plain, Field(min_length=3, max_length=3, examples=["GBP"])]
Amount = Annotated[
    Decimal,
    BeforeValidator(_as_text, json_schema_input_type=str),
    Field(gt=0, le=ledger_changes.MAX_AMOUNT, max_digits=20, examples=["250000.00"]),
]


class _Change(BaseModel):
    model_config = ConfigDict(extra="forbid")

    currency: Currency
    reason: Plain = Field(min_length=1, max_length=500, examples=["Account for the London office"])


class NewAccount(_Change):
    """A new account for payments."""

    account: Plain = Field(min_length=1, max_length=120, examples=["operating"])
    amount: Amount | None = Field(None, description="The opening balance; zero if left out")


class NewFunds(_Change):
    """An amount of money to add to an account from outside."""

    amount: Amount


class Balances(BaseModel):
    """The accounts for payments, ordered by name and currency."""

    items: list[Balance]


@router.get("/accounts", responses=documented(401, 404, 503))
async def account_list(_person: LedgerReader, services: TheServices) -> Balances:
    """List all accounts for payments."""
    return Balances(items=await services.ledger.balances())


@router.get("/accounts/{name}", responses=documented(401, 404, 422, 503))
async def account(
    name: AccountName,
    currency: Annotated[Plain, Query(max_length=10, examples=["GBP"])],
    _person: LedgerReader,
    services: TheServices,
) -> Balance:
    """Return an account. A hold does not change `balance`, but lowers `available`, which is `balance` - `held`."""
    try:
        return await services.ledger.balance(name, currency)
    except UnknownLedgerAccount as no:
        raise not_found("account") from no


@router.get("/entries", responses=documented(401, 404, 422, 503))
async def entries(
    _person: LedgerReader,
    services: TheServices,
    reference: Annotated[Reference | None, Query(max_length=1000, examples=["INV-1042"])] = None,
    case_id: Annotated[Plain | None, Query(max_length=1500)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[LedgerEntry]:
    """List the entries of the ledger in their order.

    Each deposit, hold, release, payment, refund or void has one entry. Entries made while you read the pages come at
    the end. With `reference` or `case_id`, you miss no entry. Without these filters, an entry whose transaction takes
    long may appear before the place that you have reached. To copy all entries, start again each time from a cursor
    that is a few minutes old.
    """
    after = number_of(cursor)
    items = await services.ledger.entries(reference, case_id=case_id, after=after, limit=limit + 1)
    page, more = page_by_number(items, limit, lambda entry: entry.entry_id)
    return Page(items=page, next_cursor=more)


# ------------------------------------------------------------------------------------------ what two people do together


@router.post("/accounts", status_code=202, responses=_ASKS)
async def open_account(
    new: NewAccount, person: Caller, db: Db, response: Response, key: IdempotencyKey = None
) -> LedgerChange:
    """Request a new account. The account opens when another admin confirms the request. Admins only."""
    wanted = await _asked(db, person, "open", new.account, new, new.amount, key)
    response.headers["Location"] = f"/api/v1/ledger/changes/{wanted.change_id}"
    return wanted


@router.post("/accounts/{name}/funds", status_code=202, responses=_ASKS)
async def fund_account(
    name: AccountName, new: NewFunds, person: Caller, db: Db, response: Response, key: IdempotencyKey = None
) -> LedgerChange:
    """Request money for an account. The money is added when another admin confirms the request. Admins only."""
    wanted = await _asked(db, person, "fund", name, new, new.amount, key)
    response.headers["Location"] = f"/api/v1/ledger/changes/{wanted.change_id}"
    return wanted


@router.get("/changes", responses=documented(401, 404, 422, 503))
async def change_list(
    _person: LedgerReader, db: Db, status: Status | None = None, cursor: Cursor = None, limit: Limit = 50
) -> Page[LedgerChange]:
    """List the requested changes of the ledger with their outcomes, newest first."""
    with checked_cursor():
        async with db.read() as conn:
            found = await ledger_changes.changes(conn, status, before=cursor, limit=limit + 1)
    return Page(items=found[:limit], next_cursor=found[limit - 1].change_id if len(found) > limit else None)


@router.get("/changes/{change_id}", responses=documented(401, 404, 422, 503))
async def one_change(change_id: ChangeId, _person: LedgerReader, db: Db) -> LedgerChange:
    """Return one requested change of the ledger."""
    with _refusals():
        async with db.read() as conn:
            return await ledger_changes.get(conn, change_id)


@router.post("/changes/{change_id}/confirm", responses=_CLOSES)
async def confirm_change(change_id: ChangeId, person: Caller, db: Db) -> LedgerChange:
    """Confirm a change of the ledger that another admin requested. Admins only. A repeat changes nothing."""
    await _check_keeps(person)
    with _refusals():
        return await ledger_changes.confirm(db, change_id, person.id)


@router.post("/changes/{change_id}/withdraw", responses=_CLOSES)
async def withdraw_change(change_id: ChangeId, person: Caller, db: Db) -> LedgerChange:
    """Withdraw a change of the ledger that is not confirmed yet. Admins only. A repeat changes nothing."""
    await _check_keeps(person)
    with _refusals():
        return await ledger_changes.withdraw(db, change_id, person.id)


async def _asked(
    db: Database,
    person: Person,
    kind: ledger_changes.Kind,
    name: str,
    new: _Change,
    amount: Decimal | None,
    key: str | None,
) -> LedgerChange:
    await _check_keeps(person)
    scoped = scoped_key(person.id, key) if key else None
    with _refusals():
        return await ledger_changes.ask(db, kind, name, new.currency, amount, new.reason, person.id, scoped)


async def _check_keeps(person: Person) -> None:
    """Raise Problem 404 for a caller who may not see the ledger, 403 for a caller who may only read it."""
    await ledger_reader(person)
    check_admin(person, "Only admins open and fund accounts.")


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except WrongChange as wrong:
        message = f"{str(wrong)[:1].upper()}{str(wrong)[1:]}."
        raise invalid(message, [FieldError(field=wrong.field, message=str(wrong))]) from wrong
    except UnknownChange as unknown:
        raise not_found("change of the ledger") from unknown
    except SamePerson as no:
        raise forbidden(str(no), "two administrators: one requests, another confirms") from no
    except ChangeClosed as closed:
        raise Problem(
            409, str(closed), kind="already-closed", change_id=closed.change.change_id, outcome=closed.change.status
        ) from closed
