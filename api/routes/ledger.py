"""The demo ledger: what payments did to money."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.deps import Cursor, InHouse, Limit, Plain
from api.problems import documented, not_found
from api.security import Overseer
from api.views import Page, number_of, page_by_number
from store.ledger import Balance, LedgerEntry, UnknownAccount

router = APIRouter(prefix="/ledger", tags=["ledger"])


@router.get("/accounts/{name}", responses=documented(401, 404, 422, 503))
async def account(
    name: Annotated[Plain, Path(max_length=120, examples=["operating"])],
    currency: Annotated[Plain, Query(max_length=10, examples=["GBP"])],
    _person: Overseer,
    parts: InHouse,
) -> Balance:
    """What lies in an account. A hold leaves `balance` and lowers `available` = `balance` - `held`."""
    try:
        return await parts.ledger.balance(name, currency)
    except UnknownAccount as no:
        raise not_found("account") from no


@router.get("/entries", responses=documented(401, 404, 422, 503))
async def entries(
    _person: Overseer,
    parts: InHouse,
    reference: Annotated[Plain | None, Query(max_length=1000, examples=["INV-1042"])] = None,
    case_id: Annotated[Plain | None, Query(max_length=1500)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[LedgerEntry]:
    """One entry for each effect, in the order they were made."""
    after = number_of(cursor)
    items = await parts.ledger.entries(reference, case_id=case_id, after=after, limit=limit + 1)
    page, more = page_by_number(items, limit, lambda entry: entry.entry_id)
    return Page(items=page, next_cursor=more)
