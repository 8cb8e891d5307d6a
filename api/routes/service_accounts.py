"""Routes for service accounts: accounts of programs, which ask and read, and never decide.

Admins create and change the accounts, auditors read them, and owners read theirs and make and revoke their tokens.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Db, Limit, Plain, Search, TheServices
from api.http.callers import Caller
from api.http.field_errors import field_errors
from api.http.problems import Problem, documented, forbidden, not_found
from api.http.schemas import Page
from api.http.security import Admin, is_in
from api.services.add_to_groups import ConfirmGroup, put_into
from api.services.person_lookup import find_person
from domain.moments import Moment
from domain.names import ADMINS
from domain.token_scopes import TokenScope
from store.db.database import Database
from store.people import service_accounts, tokens
from store.people.people import Person, UnknownPerson
from store.people.service_accounts import MOST_OWNERS, ServiceAccount
from store.people.tokens import Token, UnknownToken

router = APIRouter(prefix="/service-accounts", tags=["people"])

AccountId = Annotated[Plain, Path(max_length=200, examples=["invoice-bot"])]
TokenId = Annotated[Plain, Path(max_length=64)]
Owners = Annotated[
    list[Plain],
    Field(
        min_length=1, max_length=MOST_OWNERS, description="People who answer for the account: ids, names or addresses"
    ),
]
_READS, _KEEPS = documented(401, 403, 404, 422, 503), documented(401, 403, 404, 409, 422, 503)


class NewServiceAccount(BaseModel):
    """A new service account."""

    model_config = ConfigDict(extra="forbid")

    id: Plain = Field(max_length=200, description="Short; it never changes", examples=["invoice-bot"])
    name: Plain = Field(max_length=200, examples=["Invoice system"])
    owners: Owners = Field(examples=[["anna"]])
    scopes: list[TokenScope] = Field(min_length=1, description="The most that a token of the account may be used for")
    expires_at: Moment | None = Field(None, description="The latest end of its tokens. Without it, they have no end")
    groups: list[Plain] | None = Field(
        None, max_length=50, description="The groups of the account. Without them: those that its scopes need"
    )


class AccountChanges(BaseModel):
    """Changes of a service account."""

    model_config = ConfigDict(extra="forbid")

    owners: Owners


class NewAccountToken(BaseModel):
    """A new token of a service account. Without `scopes` and `expires_at`, the token has those of the account."""

    model_config = ConfigDict(extra="forbid")

    label: Plain = Field(min_length=1, max_length=60, examples=["nightly import"])
    scopes: list[TokenScope] | None = Field(None, min_length=1)
    expires_at: Moment | None = None


class MadeAccount(ServiceAccount):
    """A new service account with its first token. Only this answer shows the secret of the token."""

    token: str = Field(examples=["hg_..."])


class MadeAccountToken(BaseModel):
    """A new token of a service account. Only this answer shows the secret of the token."""

    id: str = Field(description="The id of the account")
    label: str
    token: str = Field(examples=["hg_..."])


class AccountDetail(ServiceAccount):
    """One service account with its tokens, the newest first."""

    token_list: list[Token]


async def visible_account(account_id: AccountId, person: Caller, db: Db) -> ServiceAccount:
    """Return the account. Raises Problem 404 if there is none, or the caller may not see the account."""
    try:
        async with db.read() as conn:
            account = await service_accounts.get(conn, account_id)
    except UnknownPerson as unknown:
        raise not_found("service account") from unknown
    if not (_reads_all(person) or person.id in account.owners):
        raise not_found("service account")
    return account


async def kept_account(account: Annotated[ServiceAccount, Depends(visible_account)], person: Caller) -> ServiceAccount:
    """Return the account. Raises Problem 404 as `visible_account`, 403 unless the caller is an admin or an owner."""
    if not (is_in(person, ADMINS) or person.id in account.owners):
        said = "Only its owners and admins make and revoke tokens of a service account, and deactivate the account."
        raise forbidden(said, f"owners of the account, members of {ADMINS}")
    return account


Visible = Annotated[ServiceAccount, Depends(visible_account)]
Kept = Annotated[ServiceAccount, Depends(kept_account)]


@router.get("", responses=documented(401, 403, 422, 503))
async def list_service_accounts(
    person: Caller, db: Db, cursor: Search = None, limit: Limit = 50
) -> Page[ServiceAccount]:
    """List service accounts, ordered by id. Admins and auditors see all accounts, other people those that they own."""
    owner = None if _reads_all(person) else person.id
    async with db.read() as conn:
        found = await service_accounts.listed(conn, owner=owner, after=cursor or "", limit=limit + 1)
    return Page(items=found[:limit], next_cursor=found[limit - 1].id if len(found) > limit else None)


@router.post("", status_code=201, responses=documented(401, 403, 404, 422, 503))
async def create_service_account(
    new: NewServiceAccount, admin: Admin, services: TheServices, confirm: ConfirmGroup = False
) -> MadeAccount:
    """Create a service account, and its first token. Only this answer shows the token. Admins only.

    Its owners, and the person for whom it asks, count as requester of all that it asks for: they never decide it.
    """
    async with services.db.read() as conn:
        owners = [
            await find_person(conn, each, admin, field="owners", asking="Who owns the account?") for each in new.owners
        ]
    with field_errors(field="id", others=("name", "groups", "owners", "scopes", "expires_at")):
        async with put_into(services, new.groups or [], confirm=confirm, field="groups") as conn:
            token = await service_accounts.create(
                conn,
                new.id,
                new.name,
                owners=owners,
                scopes=new.scopes,
                expires_at=new.expires_at,
                by=admin.id,
                groups=new.groups,
            )
            made = await service_accounts.get(conn, new.id)
    return MadeAccount(**made.model_dump(), token=token)


@router.get("/{account_id}", responses=_READS)
async def one_service_account(account: Visible, db: Db) -> AccountDetail:
    """Return one service account with its tokens, without their secrets. For admins, auditors and its owners."""
    return await _detail(db, account.id)


@router.patch("/{account_id}", responses=_KEEPS)
async def change_service_account(account: Visible, changes: AccountChanges, admin: Admin, db: Db) -> AccountDetail:
    """Change the owners of a service account. Admins only. An account without an active owner is suspended."""
    async with db.read() as conn:
        owners = [
            await find_person(conn, each, admin, field="owners", asking="Who owns the account?")
            for each in changes.owners
        ]
    with field_errors(field="owners"):
        async with db.write() as conn:
            await service_accounts.set_owners(conn, account.id, owners, by=admin.id)
    return await _detail(db, account.id)


@router.delete("/{account_id}", status_code=204, responses=_READS)
async def delete_service_account(account: Kept, person: Caller, db: Db) -> Response:
    """Deactivate a service account and revoke its tokens, as `POST /service-accounts/{account_id}/deactivate` does."""
    return await deactivate_service_account(account, person, db)


@router.post("/{account_id}/deactivate", status_code=204, responses=_READS)
async def deactivate_service_account(account: Kept, person: Caller, db: Db) -> Response:
    """Deactivate a service account and revoke all its tokens. Its cases continue. For its owners and admins."""
    async with db.write() as conn:
        await service_accounts.deactivate(conn, account.id, by=person.id)
    return Response(status_code=204)


@router.post("/{account_id}/reactivate", status_code=204, responses=_KEEPS)
async def reactivate_service_account(account: Visible, admin: Admin, db: Db) -> Response:
    """Reactivate a service account, which then needs a new token. Admins only."""
    if account.status != "deactivated":
        raise Problem(409, "The service account is not deactivated.", kind="nothing-to-do")
    async with db.write() as conn:
        await service_accounts.reactivate(conn, account.id, by=admin.id)
    return Response(status_code=204)


@router.post("/{account_id}/tokens", status_code=201, responses=_KEEPS)
async def make_account_token(account: Kept, new: NewAccountToken, person: Caller, db: Db) -> MadeAccountToken:
    """Create a token of a service account. Only this answer shows the token. For its owners and admins."""
    with field_errors(field="label", others=("scopes", "expires_at")):
        async with db.write() as conn:
            token = await service_accounts.new_token(
                conn, account.id, new.label, by=person.id, scopes=new.scopes, expires_at=new.expires_at
            )
    return MadeAccountToken(id=account.id, label=new.label.strip(), token=token)


@router.delete("/{account_id}/tokens/{token_id}", responses=_READS)
async def revoke_account_token(account: Kept, token_id: TokenId, person: Caller, db: Db) -> AccountDetail:
    """Revoke one token of a service account. For its owners and admins."""
    try:
        async with db.write() as conn:
            await tokens.revoke(conn, account.id, token_id, by=person.id)
    except UnknownToken as unknown:
        raise not_found("token") from unknown
    return await _detail(db, account.id)


def _reads_all(person: Person) -> bool:
    return person.scope.audits_installation


async def _detail(db: Database, id: str) -> AccountDetail:
    async with db.read() as conn:
        account = await service_accounts.get(conn, id)
        return AccountDetail(**account.model_dump(), token_list=await tokens.of(conn, id))
