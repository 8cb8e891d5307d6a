"""Pages of service accounts: the list with the form for a new account, and one account with its tokens."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fastapi import Depends, Form, Path, Query, Request, Response
from pydantic import ValidationError

from api.container import Services
from api.deps import Db, Plain, TheServices
from api.http.problems import Problem
from api.http.security import admin, is_in
from api.pages.parts.page import Context, SignedIn, check_same_site, pages, render
from api.pages.parts.token_end import end_of_day
from api.pages.parts.translation import _
from api.pages.people import by_field
from api.routes import service_accounts as routes
from api.routes.service_accounts import AccountChanges, AccountDetail, NewAccountToken, NewServiceAccount
from domain.names import ADMINS
from domain.token_scopes import TokenScope
from store.people.people import Person
from store.people.service_accounts import ServiceAccount

router = pages()

AccountId = Annotated[Plain, Path(max_length=200)]
Text = Annotated[Plain, Form(max_length=4000)]
Act = Literal["owners", "token", "revoke", "deactivate", "reactivate"]
ADDRESS = "/service-accounts"


@dataclass(frozen=True)
class AccountsPage(Context):
    """`service_accounts/list.html`: a page of the list, and the form for a new account."""

    accounts: list[ServiceAccount]
    next_cursor: str | None
    first: bool
    may_change: bool
    reads_people: bool
    """True if the reader may see the pages of people."""
    scopes: list[str]
    typed: dict[str, Any] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    """The errors of the form, by field."""


@dataclass(frozen=True)
class AccountPage(Context):
    """`service_accounts/account.html`: one account with its tokens, and the outcome of the last form."""

    account: AccountDetail
    may_change: bool
    keeps_tokens: bool
    """True if the reader may make and revoke tokens of the account."""
    reads_people: bool
    act: str = ""
    """The name of the form that the reader sent last; empty if none was sent."""
    done: str = ""
    wrong: str = ""
    shown_once: str = ""
    """A new token, which is shown only on this page."""


@router.api_route(ADDRESS, methods=["GET", "HEAD"])
async def accounts(
    request: Request, person: SignedIn, db: Db, cursor: Annotated[Plain | None, Query(max_length=200)] = None
) -> Response:
    """Show the service accounts that the reader may see."""
    return render(request, "service_accounts/list.html", await _list(person, db, cursor))


@router.post(ADDRESS, dependencies=[Depends(check_same_site)])
async def create(
    request: Request,
    person: SignedIn,
    services: TheServices,
    id: Text = "",
    name: Text = "",
    owners: Text = "",
    expires: Text = "",
) -> Response:
    """Create a service account, as the JSON route does, and show its first token."""
    await admin(person)
    wanted = [str(each) for each in (await request.form()).getlist("scopes")]
    texts = {"id": id.strip(), "name": name.strip(), "owners": owners.strip(), "expires": expires.strip()}
    typed: dict[str, Any] = {**texts, "scopes": wanted}
    said = {"id": texts["id"], "name": texts["name"], "owners": _names(owners), "scopes": wanted}
    try:
        new = NewServiceAccount.model_validate({**said, "expires_at": end_of_day(expires)})
        made = await routes.create_service_account(new, person, services)
    except (Problem, ValidationError) as no:
        wrong = by_field(no)
        page = await _list(
            person, services.db, None, typed=typed, wrong={**wrong, "expires": wrong.get("expires_at", "")}
        )
        return render(request, "service_accounts/list.html", page, 422)
    told = _("The service account is created. Its first token, shown only once:")
    shown = await _one(person, made.id, services, act="token", done=told, shown_once=made.token)
    return render(request, "service_accounts/account.html", shown, 201)


@router.api_route(f"{ADDRESS}/{{account_id}}", methods=["GET", "HEAD"])
async def one(request: Request, account_id: AccountId, person: SignedIn, services: TheServices) -> Response:
    """Show one service account."""
    return render(request, "service_accounts/account.html", await _one(person, account_id, services))


@router.post(f"{ADDRESS}/{{account_id}}/{{act}}", dependencies=[Depends(check_same_site)])
async def change(
    request: Request,
    account_id: AccountId,
    act: Act,
    person: SignedIn,
    services: TheServices,
    value: Text = "",
    expires: Text = "",
) -> Response:
    """Change a service account, as the JSON routes do, and show the outcome."""
    account = await routes.visible_account(account_id, person, services.db)
    try:
        done, shown_once = await _changed(account, act, value.strip(), expires, person, services)
    except (Problem, ValidationError) as no:
        if isinstance(no, Problem) and no.status not in (409, 422):
            raise
        page = await _one(person, account_id, services, act=act, wrong=" ".join(by_field(no).values()))
        return render(request, "service_accounts/account.html", page, no.status if isinstance(no, Problem) else 422)
    page = await _one(person, account_id, services, act=act, done=done, shown_once=shown_once)
    return render(request, "service_accounts/account.html", page)


async def _changed(
    account: ServiceAccount, act: Act, value: str, expires: str, person: Person, services: Services
) -> tuple[str, str]:
    """Change the account. Return the message for the page, and a token that the page shows only once."""
    db = services.db
    if act == "owners":
        await admin(person)
        await routes.change_service_account(account, AccountChanges(owners=_names(value)), person, db)
        return _("The owners are changed."), ""
    if act == "reactivate":
        await admin(person)
        await routes.reactivate_service_account(account, person, db)
        return _("The service account is active again. Create a token for the account."), ""
    kept = await routes.kept_account(account, person)
    if act == "token":
        new = NewAccountToken.model_validate({"label": value, "expires_at": end_of_day(expires)})
        made = await routes.make_account_token(kept, new, person, db)
        return _("The new token, shown only once:"), made.token
    if act == "revoke":
        await routes.revoke_account_token(kept, value, person, db)
        return _("The token is revoked."), ""
    await routes.deactivate_service_account(kept, person, db)
    return _("The service account is deactivated, and its tokens are revoked."), ""


async def _list(person: Person, db: Db, cursor: str | None, **more: Any) -> AccountsPage:
    found = await routes.list_service_accounts(person, db, cursor=cursor)
    reads_people = person.scope.audits_installation
    scopes = [scope.value for scope in TokenScope]
    return AccountsPage(
        person, found.items, found.next_cursor, cursor is None, is_in(person, ADMINS), reads_people, scopes, **more
    )


async def _one(person: Person, id: str, services: Services, **more: Any) -> AccountPage:
    account = await routes.visible_account(id, person, services.db)
    shown = await routes.one_service_account(account, services.db)
    keeps = is_in(person, ADMINS) or person.id in account.owners
    return AccountPage(person, shown, is_in(person, ADMINS), keeps, person.scope.audits_installation, **more)


def _names(typed: str) -> list[str]:
    """Return the names of people in a text, which are separated by commas."""
    return [name for name in (part.strip() for part in typed.split(",")) if name]
