"""The page of the ledger: its accounts, and the changes that administrators request and confirm."""

import uuid
from dataclasses import dataclass, field
from typing import Annotated, Literal

from fastapi import Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from api.deps import Plain, TheServices
from api.http.problems import Problem
from api.http.security import is_in, ledger_reader
from api.pages.parts.page import Context, SignedIn, check_same_site, pages, render
from api.pages.parts.translation import _
from api.pages.people import by_field
from api.routes import ledger as routes
from api.routes.ledger import ChangeId, NewAccount, NewFunds
from domain.names import ADMINS
from store.people.people import Person
from store.receivers.ledger_changes import LedgerChange
from store.receivers.ledger_reading import Balance

router = pages()

SHOWN = 50
"""The most changes on the page."""
Text = Annotated[Plain, Form(max_length=600)]
Act = Literal["confirm", "withdraw"]
Done = Literal["asked", "confirm", "withdraw"]


@dataclass(frozen=True)
class LedgerPage(Context):
    """The variables of `ledger/ledger.html`: accounts of the ledger, and requested changes."""

    balances: list[Balance]
    waiting: list[LedgerChange]
    closed: list[LedgerChange]
    may_change: bool
    key: str
    """An id that is made with the page, so that a form which is sent twice makes one request."""
    said: str = ""
    alert: str = ""
    act: str = ""
    """The name of the form that was refused: `open` or `fund`; empty if none was."""
    typed: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)


@router.api_route("/ledger", methods=["GET", "HEAD"])
async def ledger(
    request: Request, person: SignedIn, services: TheServices, done: Annotated[Done | None, Query()] = None
) -> Response:
    """Show the accounts, the changes that wait for a second administrator, and the outcomes of earlier changes."""
    await ledger_reader(person)
    said = {
        "asked": _("Another administrator must confirm the change."),
        "confirm": _("The change is confirmed and applied."),
        "withdraw": _("The change is withdrawn. The ledger was not changed."),
    }
    return await _shown(request, person, services, said=said[done] if done else "")


@router.post("/ledger/{act}", dependencies=[Depends(check_same_site)])
async def ask(
    request: Request,
    act: Literal["open", "fund"],
    person: SignedIn,
    services: TheServices,
    key: Annotated[Plain, Form(min_length=1, max_length=200)],
    account: Text = "",
    currency: Text = "",
    amount: Text = "",
    reason: Text = "",
) -> Response:
    """Request a new account (`open`) or a deposit (`fund`), as the JSON routes do."""
    typed = {"account": account.strip(), "currency": currency.strip().upper(), "reason": reason.strip()}
    money = {"amount": amount.strip()} if amount.strip() else {}
    try:
        if act == "open":
            await routes.open_account(NewAccount.model_validate(typed | money), person, services.db, Response(), key)
        else:
            new = NewFunds.model_validate({name: typed[name] for name in ("currency", "reason")} | money)
            await routes.fund_account(typed["account"], new, person, services.db, Response(), key)
    except (Problem, ValidationError) as no:
        if isinstance(no, Problem) and no.status != 422:
            raise
        typed |= {"amount": amount}
        return await _shown(request, person, services, 422, act=act, typed=typed, wrong=_wrong(no))
    return RedirectResponse("/ledger?done=asked", status_code=303)


@router.post("/ledger/changes/{change_id}/{act}", dependencies=[Depends(check_same_site)])
async def close(request: Request, change_id: ChangeId, act: Act, person: SignedIn, services: TheServices) -> Response:
    """Confirm or withdraw a requested change of the ledger, as the JSON routes do."""
    try:
        await (routes.confirm_change if act == "confirm" else routes.withdraw_change)(change_id, person, services.db)
    except Problem as no:
        if no.status not in (403, 409):
            raise
        await ledger_reader(person)
        return await _shown(request, person, services, no.status, alert=str(no.body["detail"]))
    return RedirectResponse(f"/ledger?done={act}", status_code=303)


def _wrong(no: Problem | ValidationError) -> dict[str, str]:
    """Return the errors of the form, by field."""
    if isinstance(no, Problem):
        return by_field(no)
    return {str(each["loc"][0]): each["msg"].removeprefix("Value error, ") for each in no.errors()}


async def _shown(
    request: Request,
    person: Person,
    services: TheServices,
    status: int = 200,
    *,
    said: str = "",
    alert: str = "",
    act: str = "",
    typed: dict[str, str] | None = None,
    wrong: dict[str, str] | None = None,
) -> Response:
    found = (await routes.change_list(person, services.db, None, None, SHOWN)).items
    waiting = (await routes.change_list(person, services.db, "waiting", None, SHOWN)).items
    page = LedgerPage(
        person=person,
        balances=(await routes.account_list(person, services)).items,
        waiting=waiting,
        closed=[each for each in found if each.status != "waiting"],
        may_change=is_in(person, ADMINS),
        key=uuid.uuid4().hex,
        said=said,
        alert=alert,
        act=act,
        typed=typed or {},
        wrong=wrong or {},
    )
    return render(request, "ledger/ledger.html", page, status)
