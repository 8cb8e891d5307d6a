"""Routes for batches: check (`dry_run`) and upload files, read outcomes of rows, pause, resume and cancel uploads."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated
from urllib.parse import quote
from uuid import uuid4

from fastapi import APIRouter, Depends, File, Form, Path, Query, Request, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from api.container import Services
from api.deps import Cursor, Db, IdempotencyKey, Limit, Plain, Search, TheServices
from api.http.callers import Caller, caller_now
from api.http.problems import Problem, documented, not_found, unavailable
from api.http.schemas import Page, as_csv, checked_cursor, number_of, page_by_number
from api.http.security import Requester, actor, check_own_batch, may_see_batch, operates_batch, viewer
from api.services.on_behalf_of import person_meant
from api.services.open_streams import EventStream
from domain.batch import BatchAct, BatchOrder
from domain.erasure import CODE, check_content
from domain.ids import decision_id_for
from intake.mapping.mapping_choice import MAX_MAPPING, SEVERAL
from intake.upload import BatchReport
from store.cases import batches
from store.cases.batches import Batch, BatchRow, BatchStatus, RowOutcome
from store.people.people import Person

router = APIRouter(prefix="/batches", tags=["batches"])

CSV_TYPES = frozenset(
    # Browsers and tools send these types for a CSV, some of them on Windows.
    {"", "text/csv", "text/plain", "application/csv", "application/octet-stream", "application/vnd.ms-excel"}
    | {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "text/tab-separated-values"}
)
BAD: tuple[RowOutcome, ...] = ("invalid", "failed")
"""The outcomes of the rows that the person who uploaded the file must correct."""


class BatchAnswer(BatchReport):
    """One uploaded or checked file with the outcomes of its rows."""

    errors_url: str | None = Field(
        None, description="The invalid rows as CSV, to correct and upload again; null for a dry run"
    )


class BatchBrief(BaseModel):
    """A batch in a list."""

    batch_id: str
    process: str
    filename: str
    status: BatchStatus
    total: int = Field(description="Rows of the file; `GET` the batch for their outcomes")
    requester: str
    created_at: datetime
    closed_at: datetime | None = Field(description="When the last row was started")
    erased_at: datetime | None = Field(description="When the file, the data of the rows and the cases were erased")


def _multipart(request: Request) -> None:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Problem(415, "Send the file as multipart/form-data in a part called 'file'.", kind="not-multipart")


async def visible_batch(batch_id: Annotated[Plain, Path(max_length=100)], person: Caller, db: Db) -> Batch:
    """Return the batch with this id. Raises Problem 404 if there is none, or if the caller may not see the batch."""
    async with db.read() as conn:
        batch = await batches.get(conn, batch_id)
    if batch is None or not await may_see_batch(db, person, batch):
        raise not_found("batch")
    return batch


VisibleBatch = Annotated[Batch, Depends(visible_batch)]


@router.get("", responses=documented(401, 422, 503))
async def list_batches(
    person: Caller,
    db: Db,
    process: Search = None,
    status: Annotated[BatchStatus | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[BatchBrief]:
    """List uploads, newest first. People who oversee a process see all its uploads.

    Other people see their own uploads, and those of people who left and whose successor they are.
    """
    with checked_cursor():
        async with db.read() as conn:
            found, following = await batches.page(
                conn, viewer(person), process=process, status=status, cursor=cursor, limit=limit
            )
    items = [BatchBrief.model_validate(batch, from_attributes=True) for batch in found]
    return Page(items=items, next_cursor=following)


@router.post(
    "",
    status_code=202,
    dependencies=[Depends(_multipart)],
    responses={
        200: {"model": BatchAnswer, "description": "Dry run: what would happen; nothing was started"},
        **documented(401, 403, 413, 415, 422, 503),
    },
)
async def upload(
    person: Requester,
    services: TheServices,
    response: Response,
    file: Annotated[UploadFile, File(description="CSV or .xlsx: headings, and a row for each case")],
    process: Annotated[
        Plain,
        Query(
            max_length=60,
            examples=["payment"],
            description="The process of all rows. Without this, each row names its process in `task_type`",
        ),
    ] = SEVERAL,
    dry_run: bool = False,
    resubmit: Annotated[
        bool,
        Query(
            description="Submit your own cases that ended undone again, instead of reporting their rows as duplicates"
        ),
    ] = False,
    on_behalf_of: Annotated[
        Plain | None,
        Query(
            max_length=254,
            description="Only from a service account: the person for whom it asks, by id or e-mail address",
        ),
    ] = None,
    mapping: Annotated[
        str | None,
        Form(
            max_length=MAX_MAPPING,
            description="The name of a saved mapping, or one as a JSON object. Without it, one is suggested",
        ),
    ] = None,
    encoding: Annotated[
        Plain | None,
        Form(max_length=40, description="The encoding of a CSV, such as `Windows-1251`. Without it, it is detected"),
    ] = None,
    sheet: Annotated[
        Plain | None,
        Form(max_length=100, description="The sheet of a workbook. Without it, the first that holds a table"),
    ] = None,
) -> BatchAnswer:
    """Start a case for each row of a CSV or workbook that is valid and no duplicate.

    The answer lists the first 20 invalid rows with their errors. With `dry_run`, no case is started.
    """
    if (file.content_type or "").partition(";")[0].strip().lower() not in CSV_TYPES:
        raise Problem(
            415,
            f"The content type '{file.content_type}' is neither CSV nor .xlsx. Send a CSV or .xlsx file with its type.",
            kind="not-csv",
        )
    data = await file.read()
    if len(data) > services.settings.max_upload_bytes:
        most = services.settings.max_upload_bytes
        raise Problem(413, f"The file has more than {most:,} bytes. Split the file.", kind="too-large")
    behalf = await person_meant(services.db, person, on_behalf_of, services.policy.current, process)
    take = services.uploads.dry_run if dry_run else partial(services.uploads.start, on_behalf_of=behalf)
    opening = {"encoding": encoding or "", "sheet": sheet or ""}
    report = await take(
        process, file.filename or "upload.csv", data, person.id, mapping or None, opening, resubmit=resubmit
    )
    if dry_run:
        response.status_code = 200
    else:
        response.headers["Location"] = f"/api/v1/batches/{report.batch_id}"
    return _answer(report)


@router.get("/{batch_id}", responses=documented(401, 404, 422, 503))
async def one_batch(batch: VisibleBatch, services: TheServices) -> BatchAnswer:
    """Return the progress of an upload: the number of its rows by outcome and of its cases by status."""
    report = await services.uploads.report(batch.batch_id)
    if report is None:
        raise not_found("batch")
    return _answer(report)


@router.get(
    "/{batch_id}/events",
    response_class=EventStream,
    responses={200: {"description": "Server-sent events"}, **documented(401, 404, 422, 503)},
)
async def batch_events(request: Request, batch: VisibleBatch, services: TheServices) -> EventStream:
    """Stream the progress of an upload as server-sent events: an event `counts` now and after each change.

    The data of each event is `{status, rows, cases}` as in `GET /batches/{batch_id}`. When the batch and all its cases
    are closed, the event `end` comes with the same data. If a stream ends without the event `end`, the stream was cut:
    connect again. The gateway cuts each stream after 15 minutes.
    """

    async def still() -> Person | None:
        person = await caller_now(request)
        return person if person is not None and await may_see_batch(services.db, person, batch) else None

    return services.live.batch(batch.batch_id, still)


@router.get(
    "/{batch_id}/rows",
    response_model=Page[BatchRow],
    responses={
        200: {"content": {"text/csv": {}}, "description": "Rows; as text/csv the rows to correct, as in the file"},
        **documented(401, 404, 422, 503),
    },
)
async def batch_rows(
    batch: VisibleBatch,
    request: Request,
    person: Caller,
    services: TheServices,
    outcome: Annotated[RowOutcome | None, Query()] = None,
    differs: Annotated[
        bool | None,
        Query(description="True: only duplicates that differ from the existing case. False: only equal ones"),
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[BatchRow] | Response:
    """List the rows of a file in its order, each with its error and its case.

    With `Accept: text/csv`, the answer has the invalid and failed rows (or those with the given `outcome`) as they were
    in the file, with a column `error`, so that you can correct them.
    """
    if as_csv(request):
        return await bad_rows_csv(services, batch, person, BAD if outcome is None else (outcome,))
    after = number_of(cursor)
    async with services.db.read() as conn:
        rows = await batches.rows(conn, batch.batch_id, outcome, differs=differs, after=after, limit=limit + 1)
    page, following = page_by_number(rows, limit, lambda row: row.line)
    return Page(items=page, next_cursor=following)


class BatchReason(BaseModel):
    """The reason for pausing or resuming a batch."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[Plain, Field(min_length=1, max_length=2000)]


class CancelReason(BatchReason):
    """The reason for cancelling a batch, and whether its started cases are rolled back."""

    rollback_started: bool = Field(
        False,
        description="Also roll back the started cases. Completed cases are rolled back only if an operator or admin "
        "sends this",
    )


class BatchOrdered(BaseModel):
    """The answer to a request that was sent to the import. `GET` the batch to see the outcome."""

    batch_id: str
    status: BatchStatus = Field(description="As last recorded")


_MAY = documented(401, 403, 404, 409, 422, 503)


@router.post("/{batch_id}/pause", status_code=202, responses=_MAY)
async def pause_batch(
    batch: VisibleBatch, body: BatchReason, person: Caller, services: TheServices, key: IdempotencyKey = None
) -> BatchOrdered:
    """Pause an upload: start no more of its rows until it is resumed. Cases that are started continue."""
    return await _order(batch, BatchAct.PAUSE, body, person, services, key)


@router.post("/{batch_id}/resume", status_code=202, responses=_MAY)
async def resume_batch(
    batch: VisibleBatch, body: BatchReason, person: Caller, services: TheServices, key: IdempotencyKey = None
) -> BatchOrdered:
    """Resume a paused upload: start its other rows."""
    return await _order(batch, BatchAct.RESUME, body, person, services, key)


@router.post("/{batch_id}/cancel", status_code=202, responses=_MAY)
async def cancel_batch(
    batch: VisibleBatch, body: CancelReason, person: Caller, services: TheServices, key: IdempotencyKey = None
) -> BatchOrdered:
    """Cancel an upload: start no more of its rows, and roll back its started cases if `rollback_started` is true.

    If all rows of the upload are started, you can still cancel the upload, but only with `rollback_started`.
    """
    return await _order(batch, BatchAct.CANCEL, body, person, services, key)


async def _order(
    batch: Batch, act: BatchAct, body: BatchReason, person: Person, services: Services, key: str | None
) -> BatchOrdered:
    await check_own_batch(services.db, person, batch, f"{act} a batch")
    check_content(batch, "upload")
    rollback = isinstance(body, CancelReason) and body.rollback_started
    order = BatchOrder(
        id=decision_id_for(person.id, f"{batch.batch_id}/{act}", key) if key else uuid4().hex,
        act=act,
        by=actor(person),
        reason=body.reason,
        at=datetime.now(UTC),
        rollback_started=rollback,
        completed_too=rollback and await operates_batch(services.db, person, batch),
    )
    await services.gateway.order(batch, order, services.starter.launcher)
    return BatchOrdered(batch_id=batch.batch_id, status=batch.status)


async def bad_rows_csv(
    services: Services, batch: Batch, person: Person, outcomes: Sequence[RowOutcome] = BAD
) -> Response:
    """Return a CSV file with the rows that have these outcomes.

    Each row of the CSV has the error of the row, then its cells as in the file.
    """
    check_content(batch, "upload")
    try:
        data = await asyncio.to_thread((services.settings.uploads / batch.path).read_bytes)
    except (FileNotFoundError, IsADirectoryError):  # an erased upload has no path
        raise await _without_file(services, batch) from None
    text = await services.uploads.bad_rows(batch.batch_id, data, batch.format, outcomes, person.id)
    disposition = f'attachment; filename="{batch.batch_id}-rows.csv"'
    return Response(text, media_type="text/csv", headers={"Content-Disposition": disposition})


async def _without_file(services: Services, batch: Batch) -> Problem:
    """Return why the file of an upload is not there: it goes with the first case of the upload that is erased."""
    async with services.db.read() as conn:
        erased = await batches.has_erased_case(conn, batch.batch_id)
    if erased:
        said = "The file of this upload was erased together with a case of the upload."
        return Problem(409, said, kind="erased", code=CODE)
    return unavailable("The file of this upload is missing from the store. Ask an operator.")


def _answer(report: BatchReport) -> BatchAnswer:
    url = f"/api/v1/batches/{quote(report.batch_id)}/rows?outcome=invalid" if report.batch_id else None
    return BatchAnswer(**report.model_dump(), errors_url=url)
