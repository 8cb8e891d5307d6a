"""The start page: what waits, the newest cases; and the API docs."""

from dataclasses import dataclass

from fastapi import Request, Response

from api.deps import InHouse
from api.pages.page import Context, SignedIn, pages, render, templates
from api.security import viewer
from api.views import CaseBrief, brief
from store import cases, tasks
from workflows.models import TaskView

router = pages()

SHOWN = 20
"""Tasks and cases on the page; the API has the rest."""


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


@router.api_route("/docs", methods=["GET", "HEAD"])
async def docs(request: Request) -> Response:
    """The API docs, from our own files: they work offline."""
    return templates.TemplateResponse(request, "docs.html")
