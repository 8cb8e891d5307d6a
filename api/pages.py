"""Pages for people: what waits, the newest cases, and the API docs. HTML over the same functions as the JSON routes."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.templating import Jinja2Templates

from api.deps import House, InHouse
from api.problems import Problem
from api.security import COOKIE, Visitor, person_of, viewer
from api.views import CaseBrief, brief
from store import cases, tasks
from store.people import Person
from workflows.models import TaskView

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
templates = Jinja2Templates(Path(__file__).parent / "templates")

SHOWN = 20
"""Tasks and cases on the page; the API has the rest."""
SESSION_S = 12 * 3600


@dataclass(frozen=True)
class Home:
    """What `home.html` shows. `person` is None for somebody who has not signed in; the lists are empty then."""

    person: Person | None
    temporal_ui_url: str
    waiting: list[TaskView]
    newest: list[CaseBrief]
    wrong_token: bool = False
    shown: int = SHOWN


@router.get("/")
async def home(request: Request, person: Visitor, parts: InHouse) -> Response:
    """What waits for the person and the newest cases they may see; for anybody else a form to sign in."""
    return _render(request, await _home(parts, person))


@router.post("/sign-in")
async def sign_in(request: Request, token: Annotated[str, Form(max_length=1000)], parts: InHouse) -> Response:
    """Keep a token in a cookie that scripts and other sites cannot use."""
    _check_same_origin(request)
    person = await person_of(parts.db, token.strip())
    if person is None:
        return _render(request, Home(None, parts.settings.temporal_ui_url, [], [], wrong_token=True), status=401)
    answer = RedirectResponse("/", status_code=303)
    answer.set_cookie(
        COOKIE,
        token.strip(),
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=parts.settings.public_url.startswith("https://"),
    )
    return answer


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """Forget the token in this browser."""
    _check_same_origin(request)
    answer = RedirectResponse("/", status_code=303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The API docs, from our own files: they work offline."""
    return templates.TemplateResponse(request, "docs.html")


async def _home(parts: House, person: Person | None) -> Home:
    if person is None:
        return Home(None, parts.settings.temporal_ui_url, [], [])
    who = viewer(person)
    async with parts.db.read() as conn:
        waiting, _ = await tasks.inbox(conn, who, mine=True, status="open", sort="due_at", limit=SHOWN)
        newest, _ = await cases.page(conn, who, limit=SHOWN)
    return Home(
        person=person,
        temporal_ui_url=parts.settings.temporal_ui_url,
        waiting=waiting,
        newest=[brief(case, parts.gateway.temporal_url(case.case_id)) for case in newest],
    )


def _render(request: Request, page: Home, status: int = 200) -> Response:
    context = {each.name: getattr(page, each.name) for each in fields(page)}
    return templates.TemplateResponse(request, "home.html", context, status_code=status)


def _check_same_origin(request: Request) -> None:
    """403 for a form that another site sent. Browsers say where a POST comes from; what is no browser has no cookie."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if site not in {None, "same-origin", "none"} or foreign:
        raise Problem(403, "This form was sent from another site.", kind="cross-site")
