"""The start page: signing in and out, what waits, the newest cases, the API docs."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from api.deps import InHouse
from api.pages.page import Context, SignedIn, SignIn, from_here, local, pages, render, templates
from api.security import COOKIE, person_of, viewer
from api.views import CaseBrief, brief
from store import cases, tasks
from workflows.models import TaskView

router = pages()

SHOWN = 20
"""Tasks and cases on the page; the API has the rest."""
SESSION_S = 12 * 3600


@dataclass(frozen=True)
class Home(Context):
    """`home.html`: the most urgent tasks and the newest cases that the person may see."""

    waiting: list[TaskView]
    newest: list[CaseBrief]
    shown: int = SHOWN


@router.api_route("/", methods=["GET", "HEAD"])
async def home(request: Request, person: SignedIn, parts: InHouse) -> Response:
    """What waits for the person and the newest cases they may see; for anybody else a form to sign in."""
    who = viewer(person)
    async with parts.db.read() as conn:
        waiting, _ = await tasks.inbox(conn, who, mine=True, status="open", sort="due_at", limit=SHOWN)
        newest, _ = await cases.page(conn, who, limit=SHOWN)
    briefs = [brief(case, parts.gateway.temporal_url(case.case_id)) for case in newest]
    return render(request, "home.html", Home(person, waiting, briefs))


@router.post("/sign-in", dependencies=[Depends(from_here)])
async def sign_in(
    request: Request,
    token: Annotated[str, Form(max_length=1000)],
    parts: InHouse,
    following: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Keep a token in a cookie that scripts cannot read, and go on to the page that was asked for."""
    person = await person_of(parts.db, token.strip())
    if person is None:
        return render(request, "sign_in.html", SignIn(None, local(following), wrong_token=True), 401)
    answer = RedirectResponse(local(following), status_code=303)
    answer.set_cookie(
        COOKIE,
        token.strip(),
        max_age=SESSION_S,
        httponly=True,
        # Lax, not strict: who follows a link of a mail comes from another site, and should be known. Forms of other
        # sites are refused, and GET changes nothing.
        samesite="lax",
        secure=parts.settings.public_url.startswith("https://"),
    )
    return answer


@router.post("/sign-out", dependencies=[Depends(from_here)])
async def sign_out() -> Response:
    """Forget the token in this browser."""
    answer = RedirectResponse("/", status_code=303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return answer


@router.api_route("/docs", methods=["GET", "HEAD"])
async def docs(request: Request) -> Response:
    """The API docs, from our own files: they work offline."""
    return templates.TemplateResponse(request, "docs.html")
