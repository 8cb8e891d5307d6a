"""Forms to sign out, in one browser or everywhere.

A person who signed in with an identity provider may also sign out there. The answer is then a page with a link to the
provider: the Content-Security-Policy of the pages lets no form lead to another site.
"""

from dataclasses import dataclass

from fastapi import Depends, Request, Response
from fastapi.responses import RedirectResponse

from api.container import Services
from api.deps import TheServices
from api.http.callers import COOKIE, SECURE_COOKIE, Visitor
from api.pages.parts.page import Context, SignedIn, check_same_site, pages, render
from store.people import sessions
from store.people.sessions import Session

router = pages()


@dataclass(frozen=True)
class SignedOutPage(Context):
    """`signed_out.html`: the person is signed out here, and perhaps not at the identity provider."""

    provider: str
    address: str
    """The address at which the person signs out of the provider."""


@router.post("/sign-out", dependencies=[Depends(check_same_site)])
async def sign_out(request: Request, services: TheServices, _person: Visitor) -> Response:
    """End the session of this browser."""
    if signed_in := request.state.signed_in:
        async with services.db.write() as conn:
            await sessions.end(conn, signed_in.session)
    return await _signed_out(request, services, signed_in.session if signed_in else None)


@router.post("/sign-out-everywhere", dependencies=[Depends(check_same_site)])
async def sign_out_everywhere(request: Request, person: SignedIn, services: TheServices) -> Response:
    """End all sessions of the person."""
    async with services.db.write() as conn:
        await sessions.end_all(conn, person.id, by=person.id)
    signed_in = request.state.signed_in
    return await _signed_out(request, services, signed_in.session if signed_in else None)


async def _signed_out(request: Request, services: Services, session: Session | None) -> Response:
    """Return the answer without the cookie of the session: the sign-in page, or the way to sign out of the provider."""
    answer: Response = RedirectResponse("/", status_code=303)
    sign_on = services.single_sign_on
    if session and sign_on and (address := await sign_on.sign_out_address(session)):
        request.state.signed_in = None  # the page belongs to nobody any more
        answer = render(request, "signed_out.html", SignedOutPage(None, sign_on.name, address))
    https = services.settings.https
    answer.delete_cookie(SECURE_COOKIE if https else COOKIE, httponly=True, samesite="lax", secure=https)
    return answer
