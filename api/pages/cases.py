"""Pages of one case: its details, status and history, and the steps that a rollback undid or would undo."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Form, Request, Response, UploadFile
from fastapi.responses import RedirectResponse

from api.container import Services
from api.deps import CaseId, Cursor, TheServices, visible_case
from api.http.problems import Problem
from api.http.schemas import CaseDetail
from api.http.security import check_may_operate
from api.pages.event_words_of_cases import why_ended
from api.pages.parts.case_context import CaseContext, case_context
from api.pages.parts.erasure import REFUSALS, ErasureContext, erasure_context, refusal
from api.pages.parts.fields import ChangedField, LabelledField, changed, labelled
from api.pages.parts.page import Context, SignedIn, check_same_site, local_address, pages, render
from api.pages.parts.timeline import TimelineLine, timeline
from api.pages.parts.translation import _, ngettext
from api.routes.cases import CaseReason, cancel_case, roll_back_case, start_case_now, whole_timeline
from api.routes.erasure import ErasureReason, erase_case
from api.routes.evidence import NewComment, add_comment, download, store
from domain.base import FieldChange
from domain.task import TaskView
from store.audit.verification import verify_case
from store.cases.cases import CaseRow
from store.people.people import Person
from workflows.registry import shown_input

EVENTS = 200
"""The most events on one page of the history."""

router = pages()
files = pages()
"""The router of forms with a file. The body of such a form may be larger than that of other forms."""


@dataclass(frozen=True)
class RoundChanges:
    """The fields that changed between a round of a request and the round before."""

    number: int
    changes: Sequence[ChangedField]


@dataclass(frozen=True)
class CasePage(Context):
    """The variables of `case/page.html`: the case with its decisions and its history."""

    about: CaseContext
    case: CaseDetail
    now: str
    """What the case is doing at the moment, or how it ended, in a sentence."""
    fields: Sequence[LabelledField]
    open: Sequence[TaskView]
    rounds: Sequence[RoundChanges]
    erasure: ErasureContext
    record: str
    """The result of checking the audit log of the case, in a sentence."""
    alert: str


@router.api_route("/cases/{case_id}", methods=["GET", "HEAD"])
async def case(request: Request, case_id: CaseId, person: SignedIn, services: TheServices) -> Response:
    """Show the page of one case."""
    return await _shown(request, case_id, person, services)


@dataclass(frozen=True)
class HistoryPage(Context):
    """The variables of `case/history.html`: one page of the events of the case."""

    case: CaseRow
    story: Sequence[TimelineLine]
    technical: bool
    next_cursor: str | None
    first: bool


@router.api_route("/cases/{case_id}/history", methods=["GET", "HEAD"])
async def history(
    request: Request, case_id: CaseId, person: SignedIn, services: TheServices, cursor: Cursor = None
) -> Response:
    """Show all events of a case, oldest first."""
    found = await visible_case(case_id, person, services.db)
    page = await whole_timeline(found, services.db, cursor, EVENTS)
    shown = shown_input(found.process, found.input)
    told = HistoryPage(
        person=person,
        case=found,
        story=timeline(found.process, shown, page.items),
        technical=found.process in person.scope.audits,
        next_cursor=page.next_cursor,
        first=cursor is None,
    )
    return render(request, "case/history.html", told)


@router.post("/cases/{case_id}/comment", dependencies=[Depends(check_same_site)])
async def comment(
    case_id: CaseId,
    person: SignedIn,
    services: TheServices,
    text: Annotated[str, Form(max_length=4000)],
    back: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """Add a comment to the case, as the JSON route does."""
    found = await visible_case(case_id, person, services.db)
    await add_comment(found, NewComment(text=text.replace("\0", "")), person, services.db)
    return _back(case_id, back)


@files.post("/cases/{case_id}/attach", dependencies=[Depends(check_same_site)])
async def attach(
    request: Request,
    case_id: CaseId,
    person: SignedIn,
    services: TheServices,
    file: UploadFile,
    back: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """Attach a file to the case, as the JSON route does."""
    found = await visible_case(case_id, person, services.db)
    try:
        await store(services, found, person, file, "")
    except Problem as no:
        return await _refused(request, case_id, person, services, no)
    return _back(case_id, back)


@router.post("/cases/{case_id}/cancel", dependencies=[Depends(check_same_site)])
async def cancel(
    request: Request,
    case_id: CaseId,
    person: SignedIn,
    services: TheServices,
    reason: Annotated[str, Form(min_length=1, max_length=4000)],
) -> Response:
    """Cancel the case, as the JSON route does."""
    found = await visible_case(case_id, person, services.db)
    try:
        await cancel_case(found, CaseReason(reason=reason.replace("\0", "")), person, services.gateway)
    except Problem as no:
        return await _refused(request, case_id, person, services, no)
    return _back(case_id)


@router.post("/cases/{case_id}/start", dependencies=[Depends(check_same_site)])
async def start(request: Request, case_id: CaseId, person: SignedIn, services: TheServices) -> Response:
    """Start the case before its time, as the JSON route does."""
    found = await visible_case(case_id, person, services.db)
    try:
        await start_case_now(found, person, services.gateway, Response())
    except Problem as no:
        return await _refused(request, case_id, person, services, no)
    return _back(case_id)


@router.post("/cases/{case_id}/rollback", dependencies=[Depends(check_same_site)])
async def roll_back(
    request: Request,
    case_id: CaseId,
    person: SignedIn,
    services: TheServices,
    reason: Annotated[str, Form(min_length=1, max_length=4000)],
) -> Response:
    """Roll back a completed case, as the JSON route does."""
    found = await visible_case(case_id, person, services.db)
    try:
        await roll_back_case(found, CaseReason(reason=reason.replace("\0", "")), person, services, services.gateway)
    except Problem as no:
        return await _refused(request, case_id, person, services, no)
    return _back(case_id)


@router.post("/cases/{case_id}/erase", dependencies=[Depends(check_same_site)])
async def erase(
    request: Request,
    case_id: CaseId,
    person: SignedIn,
    services: TheServices,
    reason: Annotated[str, Form(max_length=1000)] = "",
    sure: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Ask for the erasure of the case, as the JSON route does, and show the request."""
    found = await visible_case(case_id, person, services.db)
    try:
        check_may_operate(person, found.process, "ask to erase a case")
        if not sure:
            raise Problem(422, _("Confirm that nobody can restore it."))
        asked = await erase_case(found, ErasureReason(reason=reason.replace("\0", "")), person, services)
    except REFUSALS as no:
        return await _refused(request, case_id, person, services, refusal(no))
    return _back(asked.request_id)


@router.get("/cases/{case_id}/attachments/{attachment_id}")
async def attachment(case_id: CaseId, attachment_id: str, person: SignedIn, services: TheServices) -> Response:
    """Download an attachment of the case, as the JSON route does."""
    return await download(await visible_case(case_id, person, services.db), attachment_id, services)


async def _shown(
    request: Request, case_id: str, person: Person, services: Services, alert: str = "", status: int = 200
) -> Response:
    whole = await case_context(await visible_case(case_id, person, services.db), person, services)
    seen = whole.case
    ended = seen.result if seen.closed_at else None
    page = CasePage(
        person=person,
        about=whole,
        case=seen,
        now=why_ended(ended.reason, ended.rule_at) if ended else (seen.step or ""),
        fields=labelled(seen.process, seen.input),
        open=[task for task in seen.tasks if task.status == "open"],
        rounds=_rounds(seen),
        erasure=await erasure_context(
            services,
            person,
            "case",
            seen.case_id,
            f"/cases/{quote(case_id, safe='')}",
            erased_at=seen.erased_at,
            may_ask=seen.process in person.scope.operates,
            ended=seen.closed_at is not None,
        ),
        record=await _record(case_id, services),
        alert=alert,
    )
    return render(request, "case/page.html", page, status)


def _rounds(case: CaseDetail) -> list[RoundChanges]:
    return [
        RoundChanges(
            int(event.data.get("round", 0)),
            changed(case.process, [FieldChange.model_validate(each) for each in event.data.get("changes") or []]),
        )
        for event in case.timeline
        if event.kind == "round_started" and event.data
    ]


async def _record(case_id: str, services: Services) -> str:
    """Check the audit log of the case, and return the result as a sentence for people."""
    async with services.db.read() as conn:
        found = await verify_case(conn, case_id, keys=services.keys.current())
    if found.problems:
        return _(
            "The audit log of this request was changed. Tell an auditor: %(what)s.", what="; ".join(found.problems)
        )
    told = ngettext(
        "Audit log checked: %(num)s entry, unchanged.", "Audit log checked: %(num)s entries, unchanged.", found.events
    )
    if found.erased:
        return told + " " + _("The content of %(erased)s entries was erased.", erased=found.erased)
    return told


async def _refused(request: Request, case_id: str, person: Person, services: Services, no: Problem) -> Response:
    return await _shown(request, case_id, person, services, str(no.body["detail"]), no.status)


def _back(case_id: str, back: str = "") -> Response:
    """Return a redirect to the page from which the form was sent: the page of the case, or of a task (`back`)."""
    here = f"/cases/{quote(case_id, safe='')}"
    page = local_address(back) if back else here
    return RedirectResponse(page if page.startswith("/tasks/") else here, status_code=303)
