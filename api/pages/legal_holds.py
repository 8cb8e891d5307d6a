"""The page of legal holds: the list, and the forms that place and lift a hold."""

from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.container import Services
from api.deps import Cursor, Plain, TheServices
from api.pages.parts.erasure import REFUSALS, refusal
from api.pages.parts.page import Context, SignedIn, check_same_site, local_address, pages, render
from api.pages.parts.translation import _
from api.routes import legal_holds as routes
from api.routes.legal_holds import HoldId, HoldLifted, NewHold, holder
from domain.erasure import SubjectKind
from store.cases.legal_holds import LegalHold
from store.people.people import Person

router = pages()

SHOWN = 50


@dataclass(frozen=True)
class HoldsPage(Context):
    """The variables of `legal_holds/list.html`: the legal holds that the reader may see."""

    holds: list[LegalHold]
    lifted: bool
    """True if the list also has holds that were lifted."""
    address: str
    next_cursor: str | None
    first: bool
    alert: str = ""
    typed: dict[str, str] = field(default_factory=dict)


@router.api_route("/legal-holds", methods=["GET", "HEAD"])
async def listed(
    request: Request,
    person: SignedIn,
    services: TheServices,
    lifted: Annotated[bool, Query()] = False,
    cursor: Cursor = None,
) -> Response:
    """Show the legal holds, as the JSON route does."""
    return render(request, "legal_holds/list.html", await _page(person, services, lifted, cursor))


@router.post("/legal-holds", dependencies=[Depends(check_same_site)])
async def place(
    request: Request,
    person: SignedIn,
    services: TheServices,
    kind: Annotated[SubjectKind, Form()],
    subject: Annotated[Plain, Form(min_length=1, max_length=900)],
    reason: Annotated[Plain, Form(min_length=3, max_length=1000)],
    back: Annotated[str, Form(max_length=2000)] = "/legal-holds",
) -> Response:
    """Place a legal hold, as the JSON route does."""
    await holder(person)
    try:
        new = NewHold(kind=kind, subject=subject, reason=reason)
        await routes.place_hold(new, person, services.db)
    except REFUSALS as refused:
        no = refusal(refused)
        alert = str(no.body["detail"])
        if no.status == 404:
            alert = _("There is no %(what)s with this ID, or you may not see it.", what=_KINDS[kind]())
        typed = {"kind": kind, "subject": subject, "reason": reason}
        page = await _page(person, services, False, None, alert=alert, typed=typed)
        return render(request, "legal_holds/list.html", page, 422)
    return RedirectResponse(local_address(back), status_code=303)


@router.post("/legal-holds/{hold_id}/lift", dependencies=[Depends(check_same_site)])
async def lift(
    request: Request,
    hold_id: HoldId,
    person: SignedIn,
    services: TheServices,
    reason: Annotated[Plain, Form(min_length=3, max_length=1000)],
    back: Annotated[str, Form(max_length=2000)] = "/legal-holds",
) -> Response:
    """Lift a legal hold, as the JSON route does."""
    await holder(person)
    try:
        await routes.lift_hold(hold_id, HoldLifted(reason=reason), person, services.db)
    except REFUSALS as refused:
        no = refusal(refused)
        if no.status == 404:
            raise
        page = await _page(person, services, True, None, alert=str(no.body["detail"]))
        return render(request, "legal_holds/list.html", page, no.status)
    return RedirectResponse(local_address(back), status_code=303)


_KINDS = {"case": lambda: _("request"), "person": lambda: _("person"), "upload": lambda: _("upload")}


async def _page(
    person: Person,
    services: Services,
    lifted: bool,
    cursor: str | None,
    *,
    alert: str = "",
    typed: dict[str, str] | None = None,
) -> HoldsPage:
    await holder(person)
    found = await routes.list_holds(person, services.db, lifted=lifted, cursor=cursor, limit=SHOWN)
    address = f"/legal-holds?{urlencode({'lifted': 'true'})}" if lifted else "/legal-holds"
    return HoldsPage(person, found.items, lifted, address, found.next_cursor, cursor is None, alert, typed or {})
