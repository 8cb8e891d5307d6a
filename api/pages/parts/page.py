"""Functions and classes for all pages: render templates, find the signed-in person, show errors as pages."""

import hmac
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from fastapi.templating import Jinja2Templates
from jinja2 import StrictUndefined
from markupsafe import Markup
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from api.http.callers import Visitor, bearer, csrf_of, visitor
from api.http.exception_handlers import ANSWERED_ERRORS, problem_of_error
from api.http.origins import is_foreign
from api.http.problems import Problem
from api.http.rate_limits import LimitReached, admitted
from api.http.strict_requests import check_address
from api.pages.parts import formatting, translation
from api.pages.parts.navigation import places
from api.services.relying_party import RelyingParty, obstacle, relying_party
from store.people import page_preferences, people
from store.people.people import Person
from store.people.sessions import SignedIn as SessionOf

templates = Jinja2Templates(Path(__file__).parents[2] / "templates")
# A template that names a missing variable is a defect. As an empty text it would stay unnoticed.
templates.env.undefined = StrictUndefined
templates.env.add_extension("jinja2.ext.i18n")
templates.env.install_gettext_callables(  # type: ignore[attr-defined] # the extension adds it
    lambda message: translation.reader.get().texts.gettext(message),
    lambda one, many, number: translation.reader.get().texts.ngettext(one, many, number),
    newstyle=True,
)
templates.env.policies["ext.i18n.trimmed"] = True
templates.env.filters |= {
    "words": formatting.readable,
    "request_type": formatting.request_type,
    "when": lambda at: formatting.time_text(at) if at else "",
    "in_path": formatting.in_path,
    "capital": formatting.capital,
    "step": formatting.step_words,
    "span": formatting.span,
    "isolated": formatting.isolated,
    "plain": formatting.plain,
}
templates.env.globals |= {
    "state": formatting.state,
    "state_words": formatting.state_words,
    "verdict_words": formatting.verdict_words,
    "signature_words": formatting.signature_words,
    "time": formatting.time,
    "as_shown": formatting.as_shown,
    "ago": formatting.ago,
    "due": formatting.due,
    "urgency": formatting.urgency,
    "person_named": formatting.person,
    "provider_named": formatting.provider_named,
    "money": formatting.money,
    "titled": formatting.titled,
    "listed": formatting.listed,
    "clock_words": formatting.clock_words,
    "what_failed": formatting.what_failed,
}

PAGE_ADDRESS = re.compile(
    r"/(|notices|settings|incidents|requests|new|upload|batches|cases|dashboard|people|groups|service-accounts|ledger|legal-holds|policy"
    r"|mappings|audit"
    r"|(tasks|cases|new|upload|batches|bulk|people|service-accounts|policy|incidents|audit)/[^/\\\s?]+|cases/[^/\\\s?]+/history)(\?[^\s\\]*)?"
)
"""The pattern of addresses to which the sign-in page may redirect: pages of Holdgate, never another site."""
LONGEST_ADDRESS = 8_000
"""The most characters of an address to which the sign-in page returns.

The address of an upload is long, because it has the settings of the upload. Escaped in the sign-in form, an address of
this length still fits the size limit for visitors.
"""
WENT_THROUGH = "holdgate-sent-"
"""The start of the name of a cookie that tells the browser that a form was accepted.

The value of the form's field `draft` completes the name. The answer to the form must set this cookie, because the next
page may be another one, such as an error or the sign-in page.
"""


@dataclass(frozen=True)
class Context:
    """Base class for the variables that a handler passes to a template; each page has a subclass.

    `person` is None for a visitor who is not signed in.

    Every template also knows the variables of `_around`, such as `csrf()`, `here` (the path), `places` (of the
    navigation), `opens` (the paths of these places: a page links to one of them only if the reader may open it),
    `preferences`, `demo` (people to switch to), `demo_link` (whether the demo runs here), `session_ends` and
    `account_news` (whether the person has unread news about their account).
    """

    person: Person | None


@dataclass(frozen=True)
class SignInPage(Context):
    """The variables of `sign_in.html`: the form, and the address to open after the sign-in."""

    following: str
    wrong: str = ""
    """Why the last attempt to sign in failed, in words; empty if there was none."""
    name: str = ""
    """The name, as the person entered it."""
    party: RelyingParty | None = None
    """The site of the passkeys; None if browsers refuse passkeys here."""
    provider: str = ""
    """The name of the identity provider; empty without single sign-on."""
    passwords: bool = True
    """True if people can sign in by password, passkey and token."""


@dataclass(frozen=True)
class ErrorPage(Context):
    """`error.html`: an error, and what to do next."""

    title: str
    detail: str
    advice: str
    back: str


class NotSignedIn(Exception):
    """Raised if a page needs a signed-in person, but nobody is signed in."""


class MustChange(Exception):
    """Raised if the person must set a new password before they can open another page."""


class PageRequest(Request):
    """A request that removes NUL characters from its form, because PostgreSQL refuses them."""

    async def form(self, **limits: Any) -> FormData:  # type: ignore[override] # nobody here enters it as a context
        """Return the sent form without NUL characters in its texts. Files in the form are unchanged."""
        sent = await super().form(**limits)
        return FormData(
            [
                (name.replace("\0", ""), value.replace("\0", "") if isinstance(value, str) else value)
                for name, value in sent.multi_items()
            ]
        )


class PageRoute(APIRoute):
    """A route that answers errors with an HTML page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route, which turns errors into pages.

        If the route needs a signed-in person, the handler checks the sign-in before it reads body and parameters.
        """
        answer = super().get_route_handler()
        for_people = _asks_for(_signed_in, self.dependant)

        async def in_html(given: Request) -> Response:
            request = PageRequest(given.scope, given.receive)
            _read_by(request, None)
            try:
                person = await visitor(request, await bearer(request)) if for_people else None
                async with admitted(request):
                    if for_people:
                        await _signed_in(request, person)
                    check_address(request.scope)
                    return await _noted(request, await answer(request))
            except NotSignedIn:
                # A GET shows the sign-in form as its answer. A POST was not accepted, and its status says so.
                status = 401 if request.method == "POST" else 200
                why = getattr(request.state, "refused", None) or ""
                return sign_in_form(request, SignInPage(None, address_of(request), why), status)
            except MustChange:
                return Response(status_code=303, headers={"Location": "/password"})
            except LimitReached as problem:
                problem.body["detail"] = translation._(
                    "There were too many requests in a short time. Try again in %(num)s s.", num=problem.seconds
                )
                return _wrong(request, problem)
            except Problem as problem:
                return _wrong(request, problem)
            except RequestValidationError:
                return _wrong(
                    request,
                    Problem(
                        422, translation._("This form is incomplete. Go back, reload the page and send the form again.")
                    ),
                )
            except ANSWERED_ERRORS as refusal:
                return _wrong(request, problem_of_error(refusal))
            finally:
                await request.close()  # files of a form that only `check_same_site` has read

        return in_html


def _asks_for(dependency: Callable[..., Any], dependant: Dependant) -> bool:
    return dependant.call is dependency or any(_asks_for(dependency, each) for each in dependant.dependencies)


async def _noted(request: Request, answer: Response) -> Response:
    """Add a cookie to the answer if its form was accepted, so that the browser deletes the saved draft of the form."""
    if request.method != "POST" or answer.status_code >= 400 or getattr(request.state, "unfinished", False):
        return answer
    try:
        draft = (await request.form()).get("draft")
    except HTTPException:  # the route did not read the body, and the body is no form
        return answer
    if isinstance(draft, str) and re.fullmatch(r"[0-9a-f-]{1,40}", draft):
        https = request.app.state.services.settings.https
        answer.set_cookie(WENT_THROUGH + draft, "1", max_age=600, samesite="strict", secure=https)
    return answer


def unfinished(request: Request) -> None:
    """Record that the form of this request is not finished, so that the browser keeps the saved draft of the form."""
    request.state.unfinished = True


def pages() -> APIRouter:
    """Return a router for pages: its routes are `PageRoute`, and are not in the OpenAPI document."""
    return APIRouter(route_class=PageRoute, default_response_class=HTMLResponse)


async def _signed_in(request: Request, person: Visitor) -> Person:
    if person is None:
        raise NotSignedIn
    request.state.person = person.id
    signed_in: SessionOf | None = request.state.signed_in
    _read_by(request, signed_in.session.zone if signed_in else None, person)
    if signed_in and signed_in.must_change and request.scope["path"] not in ("/password", "/sign-out"):
        raise MustChange
    return person


SignedIn = Annotated[Person, Depends(_signed_in)]
"""The type of the parameter for the signed-in person. A visitor is asked to sign in, and then returns to the page."""


def _read_by(request: Request, zone: str | None, person: Person | None = None) -> None:
    """Set the language and the time zone of the answer.

    The time zone is the person's own; without one, it is `zone`, the zone of the browser.
    """
    locale = request.app.state.services.settings.locale
    where = people.zone_of((person.time_zone if person else None) or zone)
    translation.reader.set(translation.Reader(locale=locale, zone=where, texts=translation.catalogue(locale)))


async def check_same_site(request: Request) -> None:
    """Raise Problem 403 for a form from another site.

    Browsers send headers that name the site of the form. If the browser has a session, the form must also contain the
    secret of the session. Clients without a session, such as a person who signs in again after the session has ended,
    need no secret, and neither do clients with an `Authorization` header.
    """
    ours = request.app.state.services.settings.public_url
    if is_foreign(request.headers, ours):
        said = translation._(
            "This form was sent from another site. Open Holdgate at %(url)s. If you use another address, "
            "ask an administrator to set HOLDGATE_PUBLIC_URL to that address.",
            url=ours,
        )
        raise Problem(403, said, kind="cross-site")
    await visitor(request, await bearer(request))
    if request.state.signed_in is None:
        return
    given = request.headers.get("x-csrf") or (await request.form(max_files=10, max_fields=2000)).get("csrf")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), csrf_of(request).encode()):
        raise Problem(403, translation._("This form is from another session. Open the page again."), kind="cross-site")


def scripted(request: Request) -> bool:
    """Return True if a script of a page sent the request, so that the answer need not be a whole page."""
    accept = request.headers.get("accept", "")
    if "hx-request" in request.headers or ("application/json" in accept and "text/html" not in accept):
        return True
    return request.headers.get("sec-fetch-mode", "navigate") != "navigate"


def local_address(path: str) -> str:
    """Return the path if it leads to a page of Holdgate, else `/`, so that no redirect leads to another site."""
    return path if len(path) <= LONGEST_ADDRESS and PAGE_ADDRESS.fullmatch(path) else "/"


def render(
    request: Request, template: str, context: Context, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the page that the template makes. The fields of `context` are the variables of the template."""
    named = {each.name: getattr(context, each.name) for each in fields(context)}
    return templates.TemplateResponse(
        request, template, named | _around(request, context.person), status_code=status, headers=headers
    )


def _around(request: Request, person: Person | None) -> dict[str, Any]:
    """Return the variables for the frame of every page: navigation, session, preferences."""
    signed_in: SessionOf | None = getattr(request.state, "signed_in", None)
    secret = csrf_of(request) if signed_in else ""
    services = request.app.state.services
    ends: datetime | None = signed_in.session.ends_at if signed_in else None
    menu = places(person) if person else []
    return {
        "csrf": lambda: Markup('<input type="hidden" name="csrf" value="{}">').format(secret),
        "secret": secret,
        "here": request.scope["path"],
        "page_address": address_of(request),
        "page_home": address_of(request).partition("?")[0],
        "places": menu,
        "opens": {place.path for place in menu},
        "preferences": signed_in.preferences if signed_in else page_preferences.DEFAULTS,
        "demo": services.demo.people(request) if person is None or signed_in else [],
        "demo_link": services.demo.is_here(request),
        "session_ends": ends,
        "account_news": bool(signed_in and signed_in.news),
        "locale": translation.reader.get().locale,
    }


def sign_in_form(
    request: Request, form: SignInPage, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the sign-in page; for a request of a script, return an answer 401."""
    if request.headers.get("hx-request"):  # the form does not fit into a part of a page, so the browser opens the page
        return Response(status_code=401, headers={"HX-Redirect": form.following})
    if scripted(request):
        return Problem(
            401, translation._("You have been signed out. Sign in again."), kind="unauthenticated"
        ).response()
    settings = request.app.state.services.settings
    passwords = settings.passwords == "on"
    party = relying_party(settings) if passwords and not obstacle(settings) else None
    provider = settings.oidc_label if settings.oidc_issuer else ""
    shown = replace(form, following=local_address(form.following), party=party, provider=provider, passwords=passwords)
    return render(request, "sign_in.html", shown, status, headers)


def address_of(request: Request) -> str:
    """Return the address of the page that the reader sees, with its filters.

    For a sent form, this is the page of the form.
    """
    # Not `request.url`: it is built from the Host header, which any client can set.
    query = "?" + request.scope["query_string"].decode("latin-1") if request.scope["query_string"] else ""
    own = quote(request.scope["path"]) + query
    if request.method != "POST":
        return _nearest(own)
    # A task beside the inbox is a part of that page, and has its own address.
    before = _path_of(request.headers.get("referer", "")) if "hx-request" not in request.headers else ""
    return _nearest(before or own)


def _path_of(address: str) -> str:
    """Return the path and the query of an address; empty for an invalid address, such as `http://[`."""
    try:
        came = urlsplit(address)
    except ValueError:
        return ""
    return f"{came.path}?{came.query}" if came.query else came.path


def _nearest(address: str) -> str:
    """Return the address if it is a page of Holdgate.

    For the address of a form, return the address of the page above, which has the form.
    """
    if PAGE_ADDRESS.fullmatch(address):
        return address
    path = address.partition("?")[0]
    while path and not PAGE_ADDRESS.fullmatch(path):
        path = path.rpartition("/")[0]
    return path or "/"


def too_large(request: Request) -> Response:
    """Return the error page for a form or file that is too large."""
    _read_by(request, None)
    page = ErrorPage(
        person=None,
        title=translation._("Too large"),
        detail=translation._("The form or file is larger than Holdgate accepts."),
        advice=translation._(
            "No data was changed. Split the file into several files, and upload the files one by one."
        ),
        back=local_address(quote(request.scope["path"])),
    )
    return render(request, "error.html", page, 413)


def _advice(status: int) -> str:
    return {
        403: translation._("Nothing was changed."),
        404: translation._(
            "The link may be outdated, or you have no permission for this page. Ask the person who sent the link."
        ),
        500: translation._("No data was lost. Try again, and tell an operator if the error continues."),
        409: translation._("No data was changed. Reload the page and try again."),
        422: translation._("No data was changed. Go back and correct your input."),
        503: translation._("No data was lost. Try again in a moment."),
    }.get(status, "")


def as_page(request: Request, problem: Problem) -> Response | None:
    """Return a problem as an error page, if a browser opened an address not below `/api` or `/static`; else None."""
    path = request.scope["path"]
    if "text/html" not in request.headers.get("accept", "") or path.startswith(("/api/", "/static/")):
        return None
    _read_by(request, None)
    return _wrong(request, problem)


def _wrong(request: Request, problem: Problem) -> Response:
    status = problem.status
    if "hx-request" in request.headers:  # the error appears beside the form, which stays; see `app.js`
        told = json.dumps({"refused": f"{problem.body['detail']} {_advice(status)}".strip()})
        return Response(
            status_code=status, headers={"HX-Reswap": "none", "HX-Trigger": told, **(problem.headers or {})}
        )
    if scripted(request):
        return problem.response()
    signed_in: SessionOf | None = getattr(request.state, "signed_in", None)
    page = ErrorPage(
        person=signed_in.person if signed_in else None,
        title=problem.body["title"],
        detail=problem.body["detail"],
        advice=_advice(status),
        back=address_of(request) if request.method == "POST" or status >= 500 or status == 429 else "/",
    )
    answer = render(request, "error.html", page, status)
    answer.headers.update(problem.headers or {})
    return answer
