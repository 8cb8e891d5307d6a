"""One case as a page: what it is about, what happened, and what was undone or would be."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Form, Request, Response, UploadFile
from fastapi.responses import RedirectResponse

from api.deps import CaseId, InHouse, visible_case
from api.pages.page import Context, SignedIn, from_here, labelled, pages, render
from api.routes.cases import Reason, one_case, roll_back_case
from api.routes.evidence import NewComment, add_comment, download, store
from api.security import is_in
from api.views import CaseDetail
from store import evidence
from store.evidence import Attachment
from workflows.models import ADMINS, OPERATORS

router = pages()


@dataclass(frozen=True)
class Case(Context):
    """`case.html`: the case with its tasks and its timeline."""

    case: CaseDetail
    fields: dict[str, Any]
    """The input by its labels."""
    attachments: list[Attachment]
    may_operate: bool


@router.api_route("/cases/{case_id}", methods=["GET", "HEAD"])
async def case(request: Request, case_id: CaseId, person: SignedIn, parts: InHouse) -> Response:
    """The case."""
    seen = await one_case(await visible_case(case_id, person, parts.db), parts.db, parts.gateway)
    fields = labelled(seen.process, seen.input)
    async with parts.db.read() as conn:
        attachments = await evidence.attached(conn, seen.case_id)
    return render(request, "case.html", Case(person, seen, fields, attachments, is_in(person, OPERATORS, ADMINS)))


@router.post("/cases/{case_id}/comment", dependencies=[Depends(from_here)])
async def comment(
    case_id: CaseId, person: SignedIn, parts: InHouse, text: Annotated[str, Form(max_length=4000)]
) -> Response:
    """Say something, as the JSON route does."""
    found = await visible_case(case_id, person, parts.db)
    await add_comment(found, NewComment(text=text.replace("\0", "")), person, parts.db)
    return RedirectResponse(f"/cases/{quote(case_id, safe='')}", status_code=303)


@router.post("/cases/{case_id}/rollback", dependencies=[Depends(from_here)])
async def roll_back(
    case_id: CaseId, person: SignedIn, parts: InHouse, reason: Annotated[str, Form(min_length=1, max_length=4000)]
) -> Response:
    """Roll a completed case back, as the JSON route does."""
    found = await visible_case(case_id, person, parts.db)
    await roll_back_case(found, Reason(reason=reason.replace("\0", "")), person, parts, parts.gateway)
    return RedirectResponse(f"/cases/{quote(case_id, safe='')}", status_code=303)


@router.post("/cases/{case_id}/attach", dependencies=[Depends(from_here)])
async def attach(case_id: CaseId, person: SignedIn, parts: InHouse, file: UploadFile) -> Response:
    """Attach a file, as the JSON route does."""
    await store(parts, await visible_case(case_id, person, parts.db), person, file, "")
    return RedirectResponse(f"/cases/{quote(case_id, safe='')}", status_code=303)


@router.get("/cases/{case_id}/attachments/{attachment_id}")
async def attachment(case_id: CaseId, attachment_id: str, person: SignedIn, parts: InHouse) -> Response:
    """Download it, as the JSON route does."""
    return await download(await visible_case(case_id, person, parts.db), attachment_id, parts)
