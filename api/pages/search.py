"""The page All requests: search cases by reference, payee, upload, requester, state and request type; also as CSV."""

from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from api.deps import Cursor, Search, TheServices
from api.http.schemas import CaseBrief, Page
from api.http.security import viewer
from api.pages.parts.page import Context, SignedIn, pages, render
from api.routes.cases import cases_csv, list_cases
from api.services.case_export import export
from domain.status import Status
from store.cases.cases import CaseFilter
from workflows.registry import PROCESSES

router = pages()

SHOWN = 50
"""The most cases on one page."""


@dataclass(frozen=True)
class SearchPage(Context):
    """The variables of `search/cases.html`: the cases that match the search."""

    cases: list[CaseBrief]
    sought: dict[str, str]
    """The filters as the person entered them, by name. An empty filter matches all cases."""
    kinds: dict[str, str]
    statuses: list[str]
    next_cursor: str | None
    first: bool
    address: str
    csv: str
    """The address from which the person can download all matching cases as CSV."""


@router.api_route("/cases", methods=["GET", "HEAD"])
async def find(
    request: Request,
    person: SignedIn,
    services: TheServices,
    q: Search = None,
    process: Search = None,
    status: Annotated[Status | Literal[""] | None, Query()] = None,
    batch_id: Search = None,
    requester: Search = None,
    format: Literal["csv"] | None = None,
    cursor: Cursor = None,
) -> Response:
    """Show the cases that match the search and that the person may see, newest first, as the JSON route does."""
    typed = {"q": q, "process": process, "status": status, "batch_id": batch_id, "requester": requester}
    given = {name: value.strip() for name, value in typed.items() if value and value.strip()}
    sought = CaseFilter(
        q=given.get("q"),
        process=given.get("process"),
        status=given.get("status"),
        batch_id=given.get("batch_id"),
        requester=given.get("requester"),
    )
    if format == "csv":
        return await cases_csv(export(services.db, viewer(person), **sought))
    found = await list_cases(
        person,
        request,
        services.db,
        services.gateway,
        process=sought["process"],
        status=Status(status) if status else None,
        batch_id=sought["batch_id"],
        requester=sought["requester"],
        q=sought["q"],
        cursor=cursor,
        limit=SHOWN,
    )
    if not isinstance(found, Page):  # a request for CSV by header gets it here, too
        return found
    page = SearchPage(
        person=person,
        cases=found.items,
        sought={name: given.get(name, "") for name in typed},
        kinds={name: process.words.nouns[1] for name, process in PROCESSES.items() if name in person.scope.knows},
        statuses=[each.value for each in Status if each is not Status.STARTING],
        next_cursor=found.next_cursor,
        first=cursor is None,
        address=f"/cases?{urlencode(given)}" if given else "/cases",
        csv=f"/cases?{urlencode({**given, 'format': 'csv'})}",
    )
    return render(request, "search/cases.html", page)
