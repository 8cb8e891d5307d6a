"""Dependencies of routes as annotated type aliases, so that the signature of a route shows what the route needs."""

from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request
from pydantic import AfterValidator

from api.container import Services
from api.gateway.gateway import Gateway
from api.http.callers import Caller
from api.http.problems import not_found
from api.http.security import viewer
from core import logs
from domain.ids import reference_key
from domain.task import TaskView
from store.cases import cases, tasks
from store.cases.cases import CaseRow
from store.db.database import Database


async def services(request: Request) -> Services:
    """Return the services of the running gateway."""
    found: Services = request.app.state.services
    return found


TheServices = Annotated[Services, Depends(services)]


async def _db(services: TheServices) -> Database:
    return services.db


async def _gateway(services: TheServices) -> Gateway:
    return services.gateway


Db = Annotated[Database, Depends(_db)]
TheGateway = Annotated[Gateway, Depends(_gateway)]


def _plain(text: str) -> str:
    """Return the text unchanged. Raises ValueError for NUL and lone surrogates, which PostgreSQL cannot store."""
    if "\0" in text:
        raise ValueError("must not contain a NUL character: remove it")
    if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
        raise ValueError("must not contain half of a character (a lone surrogate): remove this half")
    return text


def _reference(text: str) -> str:
    reference_key(text)
    return text


Plain = Annotated[str, AfterValidator(_plain)]
Reference = Annotated[Plain, AfterValidator(_reference)]
"""The type of a parameter with the reference of a case."""

CaseId = Annotated[Plain, Path(examples=["payment:inv-1042"], description="Percent-encoded", max_length=1500)]
TaskId = Annotated[Plain, Path(examples=["t4c1f0a9e5b7d2c3a1f6e8b90"], max_length=100)]
Cursor = Annotated[
    Plain | None, Query(max_length=2000, description="The `next_cursor` of the page before", examples=[None])
]
Limit = Annotated[int, Query(ge=1, le=200)]
Search = Annotated[Plain | None, Query(max_length=200)]
IdempotencyKey = Annotated[
    Plain | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="A key of your choice: a repeat with the same key gets the first answer",
    ),
]


async def visible_case(case_id: CaseId, person: Caller, db: Db) -> CaseRow:
    """Return the case with this id. Raises Problem 404 if there is none, or if the caller may not see the case."""
    async with db.read() as conn:
        case = await cases.get(conn, case_id)
        if case is None or not await cases.may_see(conn, viewer(person), case_id):
            raise not_found("case")
    logs.about(case_id=case_id)
    return case


async def visible_task(task_id: TaskId, person: Caller, db: Db) -> TaskView:
    """Return the task with this id.

    Raises Problem 404 if there is none, or if the caller may not see the case of the task and the task does not name
    the caller.
    """
    async with db.read() as conn:
        task = await tasks.get(conn, task_id)
        if task is None:
            raise not_found("task")
        reader = viewer(person)
        if not (reader.is_named_on(task) or await cases.may_see(conn, reader, task.case_id)):
            raise not_found("task")
    logs.about(case_id=task.case_id, task_id=task_id)
    return task


VisibleCase = Annotated[CaseRow, Depends(visible_case)]
VisibleTask = Annotated[TaskView, Depends(visible_task)]
