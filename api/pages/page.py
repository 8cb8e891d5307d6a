"""What every page has in common: the template, the person, and errors as pages in plain words."""

import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from fastapi.templating import Jinja2Templates
from pydantic import BaseModel

from api.markdown import to_html
from api.problems import Problem
from api.refusals import REFUSALS, problem_of
from api.security import Visitor
from store.people import Person
from workflows.registry import PROCESSES

templates = Jinja2Templates(Path(__file__).parent.parent / "templates")
templates.env.filters["words"] = lambda name: str(name).replace("_", " ").replace("-", " ")
templates.env.filters["when"] = lambda at: at.strftime("%Y-%m-%d %H:%M UTC") if at else ""
templates.env.filters["in_path"] = lambda name: quote(name, safe="")

OURS = re.compile(r"/|/notices|/incidents|/(tasks|cases)/[^/\\\s]+")
"""Where signing in may lead: pages of our own, whatever a link says."""


@dataclass(frozen=True)
class Context:
    """What a template is given. `person` is None for somebody who has not signed in."""

    person: Person | None


@dataclass(frozen=True)
class SignIn(Context):
    """`sign_in.html`: the form, and where it leads."""

    following: str
    wrong_token: bool = False


@dataclass(frozen=True)
class Wrong(Context):
    """`wrong.html`: what did not work, and what to do."""

    title: str
    detail: str
    advice: str
    back: str


class NotSignedIn(Exception):
    """The page is for people who have signed in."""


class Page(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with errors turned into pages."""
        answer = super().get_route_handler()

        async def in_html(request: Request) -> Response:
            try:
                return await answer(request)
            except NotSignedIn:
                return render(request, "sign_in.html", SignIn(None, local(quote(request.scope["path"]))))
            except Problem as problem:
                return _wrong(request, problem)
            except RequestValidationError:
                return _wrong(request, Problem(422, "This form is not complete."))
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
    return person


SignedIn = Annotated[Person, Depends(_signed_in)]
"""Who looks at the page; anybody else is asked to sign in, and comes back."""


async def from_here(request: Request) -> None:
    """403 for a form that another site sent. Browsers say where a POST comes from; what is no browser has no cookie."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if site not in {None, "same-origin", "none"} or foreign:
        raise Problem(403, "This form was sent from another site.", kind="cross-site")


def local(path: str) -> str:
    """The path, if it is that of a page of ours; else the start page. No link may lead to another site."""
    return path if OURS.fullmatch(path) else "/"


def render(request: Request, template: str, context: Context, status: int = 200) -> Response:
    """The page. Templates see the fields of the context as names."""
    named = {each.name: getattr(context, each.name) for each in fields(context)}
    return templates.TemplateResponse(request, template, named, status_code=status)


def labelled(process_name: str, shown_input: Mapping[str, Any]) -> dict[str, Any]:
    """The input of a case by its labels, without what is not there; Markdown as HTML."""
    process = PROCESSES.get(process_name)
    labels = process.words.labels if process else {}
    markdown = process.words.markdown if process else frozenset()
    return {
        labels.get(name, name): to_html(value) if name in markdown and isinstance(value, str) else value
        for name, value in shown_input.items()
        if value not in (None, "", [])
    }


def plain(value: Any) -> Any:
    """A value as the templates show it: models as mappings."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


_ADVICE = {
    403: "Nothing was changed.",
    404: "The link may be old, or it is not for your eyes. Ask who sent it to you.",
    409: "Nothing was changed. Look at it again.",
    422: "Nothing was changed. Go back and mend it.",
    503: "Nothing was lost. Try again in a moment.",
}


def _wrong(request: Request, problem: Problem) -> Response:
    status = problem.status
    page = Wrong(
        person=None,
        title=problem.body["title"],
        detail=problem.body["detail"],
        advice=_ADVICE.get(status, ""),
        back=local(quote(request.scope["path"]).removesuffix("/decide")) if request.method == "POST" else "/",
    )
    answer = render(request, "wrong.html", page, status)
    answer.headers.update(problem.headers or {})
    return answer
