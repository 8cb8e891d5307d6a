"""Routes for cases: start, list, read, start early, cancel, roll back."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Cursor, Db, IdempotencyKey, Limit, Plain, Search, TheGateway, TheServices, VisibleCase
from api.http.callers import Caller
from api.http.problems import Problem, documented
from api.http.schemas import (
    CaseBrief,
    CaseDetail,
    Page,
    TimelineItem,
    as_csv,
    brief,
    checked_cursor,
    detail,
    number_of,
    page_by_number,
    timeline_items,
)
from api.http.security import Requester, check_may_operate, check_own, viewer
from api.services.case_export import export
from api.services.on_behalf_of import person_meant
from cases.submit import DEFAULT_PRIORITY, CaseRequest
from core import logs
from domain.erasure import check_content
from domain.moments import Moment
from domain.status import Status
from intake import csv_output
from store.audit import timeline
from store.cases import cases, tasks
from store.cases.cases import CaseFilter
from store.erasure import requests

router = APIRouter(prefix="/cases", tags=["cases"])

PAYMENT = {
    "process": "payment",
    "reference": "INV-1042",
    "input": {
        "payee": "Northwind Paper Ltd",
        "amount": "1250.00",
        "currency": "GBP",
        "account": "operating",
        "due_date": "2027-01-31",
        "memo": "Paper for the spring catalogue",
        "payee_account": "GB82WEST12345698765432",
    },
    "priority": 3,
}


class CaseSubmission(BaseModel):
    """A request for a case."""

    model_config = ConfigDict(extra="forbid")

    process: str = Field(max_length=60)
    reference: str = Field(max_length=1000, description="Your business key, such as an invoice number; never a name")
    input: dict[str, Any] = Field(description="The input, valid by the JSON Schema in GET /processes/{name}")
    priority: int = Field(DEFAULT_PRIORITY, ge=1, le=5, description="1 is the highest")
    start_at: Moment | None = Field(None, description="When to start the case; a time with its zone")
    resubmits: str | None = Field(
        None, description="The rejected, expired, cancelled or failed case that you submit again"
    )
    on_behalf_of: Plain | None = Field(
        None,
        max_length=254,
        description="Only from a service account: the person for whom it asks, by id or e-mail address",
    )


class CaseReason(BaseModel):
    """The reason of the caller for cancelling or rolling back a case."""

    model_config = ConfigDict(extra="forbid")

    reason: Plain = Field(min_length=1, max_length=4000, examples=["The invoice was withdrawn"])


class StartedCase(BaseModel):
    """The answer to the start of a case, which is stored and runs or is scheduled."""

    case_id: str
    process: str
    reference: str
    status: Status
    requester: str
    on_behalf_of: str | None
    temporal_url: str


class Cancelling(BaseModel):
    """The answer to a cancellation, which was sent to the case. `GET` the case to see which steps it undoes."""

    case_id: str
    status: Status = Field(description="As last recorded")


class StartingNow(BaseModel):
    """The answer to an early start: the case begins now, or as soon as a worker runs."""

    case_id: str
    status: Status


class RollingBack(BaseModel):
    """The answer to a rollback, which runs or waits for its approval. `GET` the case to see which steps it undoes."""

    case_id: str
    status: Status = Field(description="As last recorded")
    workflow_id: str = Field(examples=["payment:inv-1042~rollback"])
    temporal_url: str


@router.post("", status_code=201, responses=documented(401, 403, 409, 422, 503))
async def start_case(
    new: Annotated[
        CaseSubmission, Body(openapi_examples={"payment": {"summary": "Pay one invoice", "value": PAYMENT}})
    ],
    person: Requester,
    services: TheServices,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> StartedCase:
    """Start a case. The requester is the caller.

    A service account can ask `on_behalf_of` a person. This person and the owners of the account then count as requester
    too: they see the case and can cancel the case, and never decide it.

    The answer is 409 if the process already has a case with this reference. The problem has the `case_id` of that case.
    If the caller may see that case, the problem also has its `case_status`, and in `differs` the fields with other
    values. To submit a case again that was rejected, expired, cancelled or failed, send its id as `resubmits`.
    """
    behalf = await person_meant(services.db, person, new.on_behalf_of, services.policy.current, new.process)
    known = new.model_dump() | {"on_behalf_of": behalf}
    request = CaseRequest(**known, idempotency_key=idempotency_key)
    row = (await services.starter.start_case(request, person.id)).row
    logs.about(case_id=row.case_id)
    later = row.start_at is not None and row.start_at > row.submitted_at
    response.headers["Location"] = f"/api/v1/cases/{quote(row.case_id, safe='')}"
    return StartedCase(
        case_id=row.case_id,
        process=row.process,
        reference=row.reference,
        status=Status.SCHEDULED if later else Status.RUNNING,  # the status at the start: a repeat gets the first answer
        requester=row.requester,
        on_behalf_of=row.on_behalf_of,
        temporal_url=services.gateway.temporal_url(row.case_id),
    )


@router.get(
    "",
    response_model=Page[CaseBrief],
    responses={
        200: {
            "content": {"text/csv": {}},
            "description": "A page of cases; as text/csv all of them with their results",
        },
        **documented(401, 422, 503),
    },
)
async def list_cases(
    person: Caller,
    request: Request,
    db: Db,
    gateway: TheGateway,
    process: Search = None,
    status: Annotated[Status | None, Query()] = None,
    batch_id: Search = None,
    requester: Search = None,
    ended: Annotated[bool | None, Query(description="True: only cases that have ended. False: only others")] = None,
    q: Search = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[CaseBrief] | Response:
    """List the cases the caller may see, newest first. `q` searches reference, title and id.

    With `Accept: text/csv`, the answer has all matching cases, without pages, each with its input and its result.
    """
    sought = CaseFilter(process=process, status=status, batch_id=batch_id, requester=requester, ended=ended, q=q)
    if as_csv(request):
        return await cases_csv(export(db, viewer(person), **sought))
    with checked_cursor():
        async with db.read() as conn:
            rows, following = await cases.page(conn, viewer(person), cursor=cursor, limit=limit, **sought)
    items = [brief(row, gateway.temporal_url(row.case_id)) for row in rows]
    return Page(items=items, next_cursor=following)


async def cases_csv(text: AsyncIterator[str]) -> Response:
    """Return a CSV file of cases as a stream: the rows are sent while further rows are read."""
    heading = await anext(text)  # before the answer begins, so that a missing database is still a 503

    async def whole() -> AsyncIterator[str]:
        yield heading
        async for part in text:
            yield part

    disposition = {"Content-Disposition": 'attachment; filename="cases.csv"'}
    return StreamingResponse(whole(), media_type=csv_output.MEDIA_TYPE, headers=disposition)


@router.get("/{case_id}", responses=documented(401, 404, 422, 503))
async def one_case(case: VisibleCase, db: Db, gateway: TheGateway) -> CaseDetail:
    """Return one case in the state that its Workflow has.

    If `stale` is true, the Workflow did not answer, and the answer is the last state in the database.
    """
    state = None if case.status.closed else await gateway.state(case.conductor)
    async with db.read() as conn:
        # Read after the query: no event is lost between the two, and an event in both is shown once.
        case = await cases.get(conn, case.case_id) or case
        recorded = await tasks.of_case(conn, case.case_id)
        happened = await timeline.of_case(conn, case)
        following = await cases.next_round(conn, case)
        erased_by = await requests.erased_by(conn, "case", case.case_id) if case.erased_at else None
    rollback_url = gateway.temporal_url(case.workflow_id) if case.workflow_id else None
    url = gateway.temporal_url(case.case_id)
    return detail(case, recorded, happened, state, url, following, rollback_url, erased_by)


@router.get("/{case_id}/timeline", responses=documented(401, 404, 422, 503))
async def whole_timeline(case: VisibleCase, db: Db, cursor: Cursor = None, limit: Limit = 50) -> Page[TimelineItem]:
    """List all events of a case, oldest first. `GET /cases/{case_id}` leaves some events out."""
    async with db.read() as conn:
        events = await timeline.page(conn, case.case_id, number_of(cursor), limit + 1)
    items, following = page_by_number(timeline_items(events), limit, lambda item: item.seq)
    return Page(items=items, next_cursor=following)


@router.post("/{case_id}/cancel", status_code=202, responses=documented(401, 403, 404, 409, 422, 503))
async def cancel_case(
    case: VisibleCase, body: CaseReason, person: Caller, gateway: TheGateway, idempotency_key: IdempotencyKey = None
) -> Cancelling:
    """Cancel a case. The case undoes its steps, newest first, and ends `cancelled`.

    For the requester (or the successor of the requester), operators of the process and admins. If a service account
    asked, also for its owners and the person for whom it asked; the account itself cancels only what it asked for.
    """
    check_own(person, case, "cancel a case")
    check_content(case)
    await gateway.cancel(person, case, body.reason, idempotency_key)
    return Cancelling(case_id=case.case_id, status=case.status)


@router.post(
    "/{case_id}/start",
    responses={
        202: {
            "model": StartingNow,
            "description": "No worker answered: the request is stored, and a worker starts the case later",
        },
        **documented(401, 403, 404, 409, 422, 503),
    },
)
async def start_case_now(
    case: VisibleCase,
    person: Caller,
    gateway: TheGateway,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> StartingNow:
    """Start a `scheduled` case before its time.

    For the requester (or the successor of the requester), operators of the process and admins.

    The audit log records who started the case. The answer is 409 if the case is not scheduled.
    """
    check_own(person, case, "start a case before its time")
    check_content(case)
    status = await gateway.start_now(person, case, idempotency_key)
    response.status_code = 202 if status is None else 200
    return StartingNow(case_id=case.case_id, status=status or case.status)


@router.post("/{case_id}/rollback", status_code=202, responses=documented(401, 403, 404, 409, 422, 503))
async def roll_back_case(
    case: VisibleCase, body: CaseReason, person: Caller, services: TheServices, gateway: TheGateway
) -> RollingBack:
    """Roll back a completed case: undo its steps, newest first. The case ends `rolled_back`.

    For operators of the process and admins.

    If the policy has a gate `rollback` for the process, people must approve the rollback first. The answer is 409 if
    the case is not completed, if it has no step that can be undone, if another rollback runs or is done, or if the
    system that must undo a step refuses; the problem then has the reason.
    """
    check_may_operate(person, case.process, "roll back a completed case")
    check_content(case)
    under_way = case.rollback if not case.status.closed else None
    if under_way and (under_way.by, under_way.reason) == (person.id, body.reason):
        given = case  # a repeat gets the first answer
    else:
        given = await services.rollbacks.ask(case, person.id, body.reason)
    if off := await gateway.begun(given.conductor):
        raise Problem(409, f"The rollback did not start: {off}", kind="not-rollable", case_id=case.case_id)
    async with services.db.read() as conn:
        given = await cases.get(conn, case.case_id) or given
    return RollingBack(
        case_id=given.case_id,
        status=Status.ROLLING_BACK if given.status is Status.STARTING else given.status,
        workflow_id=given.conductor,
        temporal_url=gateway.temporal_url(given.conductor),
    )
