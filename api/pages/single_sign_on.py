"""Routes of single sign-on: to the identity provider, back from it, and the provider's own sign-out (back-channel).

Without `HOLDGATE_OIDC_ISSUER`, each of these routes answers 404 with a problem that names the setting.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from api.container import Services
from api.deps import TheServices
from api.http.callers import Visitor
from api.http.step_up import check_presence
from api.http.ways_to_sign_in import not_configured
from api.oidc import attempts
from api.oidc.attempts import Attempt
from api.oidc.errors import NotAccepted, ProviderDown
from api.pages.parts.page import (
    LONGEST_ADDRESS,
    Context,
    PageRoute,
    SignedIn,
    SignInPage,
    as_page,
    check_same_site,
    local_address,
    render,
    sign_in_form,
)
from api.pages.parts.translation import _
from api.pages.sign_in import welcome
from core.settings import Settings
from store.people import failed_sign_ins

if TYPE_CHECKING:  # needs libraries that take long to import
    from api.oidc.single_sign_on import SingleSignOn


class SingleSignOnRoute(PageRoute):
    """A page that only exists with an identity provider."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route, which answers 404 without an identity provider."""
        answer = super().get_route_handler()

        async def configured(request: Request) -> Response:
            if request.app.state.services.single_sign_on is not None:
                return await answer(request)
            problem = not_configured("HOLDGATE_OIDC_ISSUER", "Single sign-on")
            return as_page(request, problem) or problem.response()

        return configured


router = APIRouter(route_class=SingleSignOnRoute, default_response_class=HTMLResponse)


@dataclass(frozen=True)
class ConnectPage(Context):
    """`connect.html`: the link to the identity provider, for a person who connects an account there."""

    provider: str
    address: str


@router.get("/sign-in/oidc")
async def sign_in(
    request: Request,
    services: TheServices,
    following: Annotated[str, Query(max_length=LONGEST_ADDRESS)] = "/",
    again: bool = False,
) -> Response:
    """Send the browser to the identity provider. With `again`, the provider asks who the person is in any case."""
    page = local_address(following)
    attempt = Attempt(page if len(page) <= attempts.LONGEST_FOLLOWING else "/", again=again)
    try:
        address = await _sign_on(services).address(attempt)
    except (ProviderDown, NotAccepted) as error:
        return await _refused(request, services, error, attempt)
    return _remembered(RedirectResponse(address, status_code=303), attempt, services)


@router.get("/sign-in/oidc/callback")
async def callback(request: Request, services: TheServices, _person: Visitor) -> Response:
    """Sign in the person who comes back from the identity provider."""
    settings, params = services.settings, dict(request.query_params)
    attempt = attempts.of_cookie(request.cookies.get(_cookie(settings)), _sign_on(services).box)
    try:
        if attempt and attempt.connect is not None:
            attempt.check(params.get("state", ""))
            signed_in = request.state.signed_in
            if signed_in is None or signed_in.person.id != attempt.connect:
                raise NotAccepted("connect", "another person is signed in")
        found = await _sign_on(services).finish(params, attempt)
    except (ProviderDown, NotAccepted) as error:
        return await _refused(request, services, error, attempt)
    assert attempt is not None
    answer = await welcome(
        request, services, found.person, "oidc", attempt.following, found.zone, provider=found.provider
    )
    return _forgotten(answer, settings)


@router.post("/sign-in/oidc/connect", dependencies=[Depends(check_same_site)])
async def connect(
    request: Request,
    person: SignedIn,
    services: TheServices,
    password: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Let the signed-in person connect an account of the identity provider, after a fresh sign-in or a password.

    Otherwise somebody at an open browser could connect their own account, and sign in as this person later.
    """
    signed_in = request.state.signed_in
    await check_presence(services.db, person, signed_in.session if signed_in else None, password)
    attempt = Attempt("/settings", connect=person.id)
    try:
        address = await _sign_on(services).address(attempt)
    except (ProviderDown, NotAccepted) as error:
        return await _refused(request, services, error, attempt)
    page = render(request, "connect.html", ConnectPage(person, _sign_on(services).name, address))
    return _remembered(page, attempt, services)


@router.post("/sign-out/oidc")
async def sign_out(services: TheServices, logout_token: Annotated[str, Form(max_length=20_000)] = "") -> JSONResponse:
    """End the sessions that the identity provider has ended (OpenID Connect Back-Channel Logout 1.0).

    The provider calls this route itself, so the signature of the token takes the place of a session and of `csrf`.
    """
    try:
        await _sign_on(services).sign_out(logout_token)
    except NotAccepted as no:
        said = f"the logout token is not accepted ({no.why})"
        return JSONResponse({"error": "invalid_request", "error_description": said}, 400)
    except ProviderDown:
        said = "the keys of the identity provider cannot be read"
        return JSONResponse({"error": "temporarily_unavailable", "error_description": said}, 503, {"Retry-After": "10"})
    return JSONResponse({})


async def _refused(
    request: Request, services: Services, error: ProviderDown | NotAccepted, attempt: Attempt | None
) -> Response:
    """Return the sign-in page with the reason and the other ways to sign in."""
    name, following = _sign_on(services).name, attempt.following if attempt else "/"
    if isinstance(error, ProviderDown):
        said = _("%(provider)s does not answer. Try again in a moment.", provider=name)
        return sign_in_form(request, SignInPage(None, following, said), 503, {"Retry-After": "10"})
    async with services.db.write() as conn:
        await failed_sign_ins.note(conn, "oidc", error.why, error.person, datetime.now(UTC))
    answer = sign_in_form(request, SignInPage(None, following, _sentence(error, name)), 401)
    return answer if error.why in STILL_OPEN else _forgotten(answer, services.settings)


STILL_OPEN = ("state", "cookie")
"""Reasons that do not end the attempt of the browser: a page of another site could cause them."""


def _sentence(error: NotAccepted, name: str) -> str:
    """Return why the sign-in failed, for the person."""
    match error.why:
        case "state" | "cookie" | "late":
            return _(
                "This sign-in was finished already, took longer than 10 minutes, or began in another browser or tab. "
                "Sign in again."
            )
        case "declined":
            return _("%(provider)s did not sign you in, because you or %(provider)s declined.", provider=name)
        case "deactivated":
            return _("Your account in Holdgate is deactivated. Ask an administrator.")
        case "service":
            return _("This account belongs to a program, and only people sign in to the pages.")
        case "address-in-use":
            return _(
                "Somebody in Holdgate already has your e-mail address or user name, and your account of %(provider)s "
                "is not connected to that person. If this is you, sign in as before and connect the account in your "
                "settings. Otherwise ask an administrator.",
                provider=name,
            )
        case "connected":
            return _("This account of %(provider)s belongs to another person in Holdgate.", provider=name)
        case "connect":
            return _("Sign in to Holdgate first, then connect your account of %(provider)s again.", provider=name)
        case _:
            return _(
                "The answer of %(provider)s was not accepted (%(why)s). Sign in again, and tell an administrator if "
                "this continues.",
                provider=name,
                why=error.why,
            )


def _sign_on(services: Services) -> "SingleSignOn":
    found = services.single_sign_on
    assert found is not None  # `SingleSignOnRoute` has checked it
    return found


def _cookie(settings: Settings) -> str:
    return attempts.SECURE_COOKIE if settings.https else attempts.COOKIE


def _remembered(answer: Response, attempt: Attempt, services: Services) -> Response:
    """Return the answer with the cookie of the attempt. It is Lax, because the browser comes back from another site."""
    answer.set_cookie(
        _cookie(services.settings),
        attempt.cookie(_sign_on(services).box),
        max_age=attempts.LASTS_S,
        httponly=True,
        samesite="lax",
        secure=services.settings.https,
    )
    return answer


def _forgotten(answer: Response, settings: Settings) -> Response:
    answer.delete_cookie(_cookie(settings), httponly=True, samesite="lax", secure=settings.https)
    return answer
