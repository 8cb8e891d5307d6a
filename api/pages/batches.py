"""Pages of uploads: the list of uploads, and one upload with its rows, its progress and its actions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.container import Services
from api.deps import Cursor, Plain, TheServices
from api.http.callers import Bearer, looked_up
from api.http.problems import Problem
from api.http.schemas import Page
from api.http.security import asks, may_see_batch, operates_batch
from api.pages.parts.erasure import REFUSALS, ErasureContext, erasure_context, refusal
from api.pages.parts.formatting import in_path
from api.pages.parts.page import Context, SignedIn, check_same_site, pages, render
from api.pages.parts.translation import _
from api.routes.batches import (
    BatchAnswer,
    BatchBrief,
    BatchReason,
    CancelReason,
    bad_rows_csv,
    batch_rows,
    cancel_batch,
    list_batches,
    one_batch,
    pause_batch,
    resume_batch,
    visible_batch,
)
from api.routes.erasure import ErasureReason, erase_upload
from api.services.open_streams import EventStream
from domain.status import Status
from store.cases.batches import Batch, BatchRow, BatchStatus, RowOutcome
from store.people.people import Person
from workflows.registry import PROCESSES

router = pages()

SHOWN = 50
"""The most uploads, or rows of an upload, on one page."""


@dataclass(frozen=True)
class UploadsPage(Context):
    """The variables of `batches/list.html`: the uploads that the person may see."""

    batches: list[BatchBrief]
    status: str
    next_cursor: str | None
    first: bool
    address: str


@dataclass(frozen=True)
class UploadPage(Context):
    """`batches/batch.html`: one upload."""

    batch: BatchAnswer
    kind: str
    labels: Mapping[str, str]
    done: int
    """The number of valid rows that were started, or could not be started."""
    statuses: dict[str, int]
    """The number of cases of the upload for each possible status, so that scripts can update the numbers."""
    may_order: bool
    may_roll_back: bool
    ended: bool
    """True if the upload does not change until a person acts."""
    outcome: RowOutcome | None
    rows: Page[BatchRow]
    erasure: ErasureContext
    first: bool
    wrong: str = ""
    reason: str = ""
    """The reason that the person entered in the last form."""


@router.api_route("/batches", methods=["GET", "HEAD"])
async def several(
    request: Request,
    person: SignedIn,
    services: TheServices,
    status: Annotated[BatchStatus | Literal[""], Query()] = "",
    cursor: Cursor = None,
) -> Response:
    """List the uploads that the person may see, newest first, as the JSON route does."""
    found = await list_batches(person, services.db, status=status or None, cursor=cursor, limit=SHOWN)
    address = f"/batches?{urlencode({'status': status})}" if status else "/batches"
    page = UploadsPage(person, found.items, status, found.next_cursor, cursor is None, address)
    return render(request, "batches/list.html", page)


async def _visible(batch_id: Plain, person: SignedIn, services: TheServices) -> Batch:
    return await visible_batch(batch_id, person, services.db)


Visible = Annotated[Batch, Depends(_visible)]


@router.api_route("/batches/{batch_id}", methods=["GET", "HEAD"])
async def one(
    request: Request,
    batch: Visible,
    person: SignedIn,
    services: TheServices,
    outcome: Annotated[RowOutcome | None, Query()] = None,
    cursor: Cursor = None,
) -> Response:
    """Show one upload, and its rows with one outcome."""
    return await _page(request, batch, person, services, outcome, cursor)


@router.get("/batches/{batch_id}/events", response_class=EventStream)
async def events(request: Request, batch: Visible, credentials: Bearer, services: TheServices) -> EventStream:
    """Stream the progress of an upload, as the JSON route does. The stream also ends when the person's session ends."""

    async def still() -> Person | None:
        person = await looked_up(request, credentials)
        return person if person is not None and await may_see_batch(services.db, person, batch) else None

    return services.live.batch(batch.batch_id, still)


@router.get("/batches/{batch_id}/bad-rows.csv")
async def bad_rows(batch: Visible, person: SignedIn, services: TheServices) -> Response:
    """Download the invalid and failed rows of an upload as CSV, as the JSON route does by default, to correct them."""
    return await bad_rows_csv(services, batch, person)


@router.post("/batches/{batch_id}/{act}", dependencies=[Depends(check_same_site)])
async def order(
    request: Request,
    batch: Visible,
    act: Literal["pause", "resume", "cancel", "erase"],
    person: SignedIn,
    services: TheServices,
    reason: Annotated[Plain, Form(max_length=2000)] = "",
    rollback_started: Annotated[bool, Form()] = False,
    sure: Annotated[Plain, Form(max_length=10)] = "",
) -> Response:
    """Pause, resume or cancel the import of an upload, or ask for its erasure, as the JSON routes do."""
    try:
        if not reason.strip():
            raise Problem(422, _("Enter a reason. The audit log shows your reason."))
        if act == "erase":
            if not sure:
                raise Problem(422, _("Confirm that nobody can restore it."))
            asked = await erase_upload(batch, ErasureReason(reason=reason.strip()), person, services)
            return RedirectResponse(f"/cases/{in_path(asked.request_id)}", status_code=303)
        if act == "cancel":
            body = CancelReason(reason=reason, rollback_started=rollback_started)
            await cancel_batch(batch, body, person, services)
        else:
            await (pause_batch if act == "pause" else resume_batch)(batch, BatchReason(reason=reason), person, services)
    except REFUSALS as refused:
        no = refusal(refused)
        return await _page(request, batch, person, services, wrong=no.body["detail"], reason=reason, status=no.status)
    return RedirectResponse(f"/batches/{batch.batch_id}", status_code=303)


async def _page(
    request: Request,
    batch: Batch,
    person: Person,
    services: Services,
    outcome: RowOutcome | None = None,
    cursor: str | None = None,
    *,
    wrong: str = "",
    reason: str = "",
    status: int = 200,
) -> Response:
    answer = await one_batch(batch, services)
    outcome = outcome or _worst(answer)
    empty: Page[BatchRow] = Page(items=[])
    rows = await batch_rows(batch, request, person, services, outcome, cursor=cursor, limit=SHOWN) if outcome else empty
    if isinstance(rows, Response):  # a request for CSV gets it here, too
        return rows
    words = PROCESSES[batch.process].words if batch.process in PROCESSES else None
    operates = await operates_batch(services.db, person, batch)
    ended = answer.closed_at is not None and all(Status(each).closed for each in answer.cases)
    page = UploadPage(
        person=person,
        batch=answer,
        kind=words.nouns[1] if words else _("requests"),
        labels=words.labels if words else {},
        done=answer.rows.started + answer.rows.failed,
        statuses={each.value: answer.cases.get(each, 0) for each in Status},
        may_order=(asks(person, batch) or operates) and batch.erased_at is None,
        may_roll_back=operates,
        ended=ended,
        outcome=outcome,
        rows=rows,
        erasure=await erasure_context(
            services,
            person,
            "upload",
            batch.batch_id,
            f"/batches/{batch.batch_id}",
            erased_at=batch.erased_at,
            may_ask=operates,
            ended=ended,
        ),
        first=cursor is None,
        wrong=wrong,
        reason=reason,
    )
    return render(request, "batches/batch.html", page, status)


def _worst(batch: BatchAnswer) -> RowOutcome | None:
    """Return the outcome whose rows the page shows first: the most serious one; None if no row has an outcome yet."""
    order: tuple[RowOutcome, ...] = ("invalid", "failed", "duplicate", "started")
    return next((each for each in order if getattr(batch.rows, each)), None)
