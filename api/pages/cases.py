"""One case as a page: what it is about, what happened, and what was undone or would be."""

from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response

from api.deps import CaseId, InHouse, visible_case
from api.pages.page import Context, SignedIn, pages, render
from api.routes.cases import one_case
from api.views import CaseDetail
from workflows.registry import PROCESSES

router = pages()


@dataclass(frozen=True)
class Case(Context):
    """`case.html`: the case with its tasks and its timeline."""

    case: CaseDetail
    fields: dict[str, Any]
    """The input by its labels."""


@router.api_route("/cases/{case_id}", methods=["GET", "HEAD"])
async def case(request: Request, case_id: CaseId, person: SignedIn, parts: InHouse) -> Response:
    """The case."""
    seen = await one_case(await visible_case(case_id, person, parts.db), parts.db, parts.gateway)
    process = PROCESSES.get(seen.process)
    labels = process.words.labels if process else {}
    fields = {labels.get(name, name): value for name, value in seen.input.items() if value is not None}
    return render(request, "case.html", Case(person, seen, fields))
