"""What every page has in common: the template, the person, and errors as pages in plain words."""

import hmac
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from fastapi.templating import Jinja2Templates
from jinja2 import StrictUndefined
from markupsafe import Markup

from api.pages import kit, texts
from api.pages.navigation import places
from api.problems import Problem
from api.refusals import REFUSALS, problem_of
from api.security import Visitor, csrf_of
from store import people, preferences
from store.people import Person
from store.sessions import SignedIn as SessionOf

templates = Jinja2Templates(Path(__file__).parent.parent / "templates")
# A name that a model does not have is a mistake of ours; as an empty text nobody would notice it.
templates.env.undefined = StrictUndefined
templates.env.add_extension("jinja2.ext.i18n")
templates.env.install_gettext_callables(  # type: ignore[attr-defined] # the extension adds it
    lambda message: texts.reader.get().texts.gettext(message),
    lambda one, many, number: texts.reader.get().texts.ngettext(one, many, number),
    newstyle=True,
)
templates.env.policies["ext.i18n.trimmed"] = True
templates.env.filters |= {
    "words": kit.readable,
    "when": lambda at: kit.time_text(at) if at else "",
    "in_path": kit.in_path,
    "capital": kit.capital,
    "step": kit.step_words,
    "span": kit.span,
}
templates.env.globals |= {
    "state": kit.state,
    "state_words": kit.state_words,
    "time": kit.time,
    "ago": kit.ago,
    "due": kit.due,
    "urgency": kit.urgency,
    "person_named": kit.person,
    "money": kit.money,
    "listed": kit.listed,
    "clock_words": kit.clock_words,
}

OURS = re.compile(
    r"/|/(notices|settings|incidents|requests|new|upload|batches|cases|dashboard|people|policy|mappings|audit)(\?[^\s\\]*)?"
    r"|/(tasks|cases|new|upload|batches|people|policy|incidents|audit)/[^/\\\s]+"
)
"""Where signing in may lead: pages of our own, whatever a link says."""


@dataclass(frozen=True)
class Context:
    """What a template is given. `person` is None for somebody who has not signed in.

    Every template also knows `csrf()`, `here` (the path), `places` (of the navigation), `preferences`, `demo` (people
    to switch to) and `session_ends`.
    """

    person: Person | None


@dataclass(frozen=True)
class SignIn(Context):
    """`sign_in.html`: the form, and where it leads."""

    following: str
    wrong: str = ""
    """Why the last try failed, in words."""
    name: str = ""
    """As it was typed."""


@dataclass(frozen=True)
class Wrong(Context):
    """`wrong.html`: what did not work, and what to do."""

    title: str
    detail: str
    advice: str
    back: str


class NotSignedIn(Exception):
    """The page is for people who have signed in."""


class MustChange(Exception):
    """The person has to choose a password of their own first."""


class Page(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with errors turned into pages."""
        answer = super().get_route_handler()

        async def in_html(request: Request) -> Response:
            _read_by(request, None)
            try:
                return await answer(request)
            except NotSignedIn:
                return sign_in_form(request, SignIn(None, local(_address(request))))
            except MustChange:
                return Response(status_code=303, headers={"Location": "/password"})
            except Problem as problem:
                return _wrong(request, problem)
            except RequestValidationError:
                return _wrong(request, Problem(422, texts._("This form is not complete.")))
            except REFUSALS as refusal:
                return _wrong(request, problem_of(refusal))

        return in_html


def pages() -> APIRouter:
    """A router of pages."""
    return APIRouter(route_class=Page, default_response_class=HTMLResponse)


async def _signed_in(request: Request, person: Visitor) -> Person:
    if person is None:
        raise NotSignedIn
    request.state.person = person.id
    signed_in: SessionOf | None = request.state.signed_in
    _read_by(request, signed_in.session.zone if signed_in else None, person)
    if signed_in and signed_in.must_change and request.url.path not in ("/password", "/sign-out"):
        raise MustChange
    return person


SignedIn = Annotated[Person, Depends(_signed_in)]
"""Who looks at the page; anybody else is asked to sign in, and comes back."""


def _read_by(request: Request, zone: str | None, person: Person | None = None) -> None:
    """Remember in which language and time zone the page is wanted: a person's own zone, else the browser's."""
    locale = request.app.state.house.settings.locale
    where = people.zone_of((person.time_zone if person else None) or zone)
    texts.reader.set(texts.Reader(locale=locale, zone=where, texts=texts.catalogue(locale)))


async def from_here(request: Request) -> None:
    """403 for a form that another site sent, by what browsers say of a POST and, within a session, by its secret.

    What is no browser has no cookie, and needs no secret.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if site not in {None, "same-origin", "none"} or foreign:
        raise Problem(403, texts._("This form was sent from another site."), kind="cross-site")
    # With a header no cookie is looked at, see `visitor`.
    if "authorization" in request.headers or not (wanted := csrf_of(request)):
        return
    given = request.headers.get("x-csrf") or (await request.form(max_files=10, max_fields=2000)).get("csrf")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), wanted.encode()):
        raise Problem(403, texts._("This form is from another session. Open the page again."), kind="cross-site")


def local(path: str) -> str:
    """The path, if it is that of a page of ours; else the start page. No link may lead to another site."""
    return path if OURS.fullmatch(path) else "/"


def render(
    request: Request, template: str, context: Context, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """The page. Templates see the fields of the context as names."""
    named = {each.name: getattr(context, each.name) for each in fields(context)}
    return templates.TemplateResponse(
        request, template, named | _around(request, context.person), status_code=status, headers=headers
    )


def _around(request: Request, person: Person | None) -> dict[str, Any]:
    """What the frame of every page needs."""
    signed_in: SessionOf | None = getattr(request.state, "signed_in", None)
    secret = csrf_of(request) if signed_in else ""
    ends: datetime | None = signed_in.session.ends_at if signed_in else None
    return {
        "csrf": lambda: Markup('<input type="hidden" name="csrf" value="{}">').format(secret),
        "secret": secret,
        "here": request.url.path,
        "places": places(person) if person else [],
        "preferences": signed_in.preferences if signed_in else preferences.DEFAULTS,
        "demo": demo_people(request) if person is None or signed_in else [],
        "session_ends": ends,
        "locale": texts.reader.get().locale,
    }


def demo_people(request: Request) -> list[str]:
    """Who can be signed in as by one click: the demo people, where only this machine reaches the gateway."""
    demo: list[str] = request.app.state.house.demo.people
    # Not by another name: a foreign site may point one at this machine.
    return demo if request.url.hostname in ("127.0.0.1", "localhost", "::1") else []


def sign_in_form(
    request: Request, form: SignIn, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """The page on which one signs in."""
    if request.headers.get("hx-request"):  # a part of a page cannot hold it: the browser goes there
        return Response(status_code=401, headers={"HX-Redirect": form.following})
    return render(request, "sign_in.html", form, status, headers)


def _address(request: Request) -> str:
    """Where to come back to: of a form that was sent, the page it stood on."""
    if request.method == "POST":
        return quote(request.scope["path"]).rpartition("/")[0] or "/"
    query = f"?{request.url.query}" if request.url.query else ""
    return quote(request.scope["path"]) + query


def too_large(request: Request) -> Response:
    """The page for a form that is larger than its address takes."""
    _read_by(request, None)
    page = Wrong(
        person=None,
        title=texts._("Too large"),
        detail=texts._("What you sent is larger than is taken here."),
        advice=texts._("Nothing was changed. Split it into several files, and send one after the other."),
        back=local(quote(request.scope["path"])),
    )
    return render(request, "wrong.html", page, 413)


def _advice(status: int) -> str:
    return {
        403: texts._("Nothing was changed."),
        404: texts._("The link may be old, or it is not for your eyes. Ask who sent it to you."),
        500: texts._("Nothing you see here is lost. Try again, and tell an operator if it stays so."),
        409: texts._("Nothing was changed. Look at it again."),
        422: texts._("Nothing was changed. Go back and mend it."),
        503: texts._("Nothing was lost. Try again in a moment."),
    }.get(status, "")


def as_page(request: Request, problem: Problem) -> Response | None:
    """The error as a page for who looks with a browser at what is no route of ours; None for a program."""
    path = request.scope["path"]
    if "text/html" not in request.headers.get("accept", "") or path.startswith(("/api/", "/static/")):
        return None
    _read_by(request, None)
    return _wrong(request, problem)


def _wrong(request: Request, problem: Problem) -> Response:
    status = problem.status
    signed_in: SessionOf | None = getattr(request.state, "signed_in", None)
    page = Wrong(
        person=signed_in.person if signed_in else None,
        title=problem.body["title"],
        detail=problem.body["detail"],
        advice=_advice(status),
        back=local(_address(request)) if request.method == "POST" else "/",
    )
    answer = render(request, "wrong.html", page, status)
    answer.headers.update(problem.headers or {})
    return answer
