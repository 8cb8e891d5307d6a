"""What people do with a task other than decide it: claim, hand over, take back, ask, move the clock."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import Db, IdempotencyKey, InHouse, Plain, TheGateway, VisibleTask
from api.gateway import Acted, Wish
from api.http.exception_handlers import REFUSALS, problem_of
from api.http.problems import FieldError, Problem, ProblemBody, documented, invalid
from api.http.schemas import our_cursor
from api.http.security import Caller, check_admin, check_may_nudge, viewer
from api.services.person_lookup import whom
from domain.ids import decision_id_for
from domain.messages import Act
from domain.moments import AskedMoment, moment_text
from domain.task import TaskView
from store.cases import open_tasks, tasks
from store.notifications import reminders
from store.notifications.reminders import Nudge
from store.people import people
from store.people.people import Person, UnknownPerson

router = APIRouter(prefix="/tasks", tags=["tasks"])


class PendingAction(BaseModel):
    """An action that no worker answered. It is stored, and done or refused when one does."""

    action_id: str = Field(description="`GET /actions/{action_id}` tells what became of it")
    status: Literal["pending"] = "pending"


ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {"model": PendingAction, "description": "No worker answered: stored, `GET /actions/{action_id}` tells more"},
    **documented(401, 403, 404, 409, 422, 503),
}
Answered = TaskView | JSONResponse


def answered(acted: Acted) -> Answered:
    """The task as it is then; 202 for what waits for a worker."""
    if acted.task is None:
        return JSONResponse(PendingAction(action_id=acted.action_id).model_dump(), 202)
    return acted.task


AT_ONCE = 10
MOST = 1_000
"""Tasks that one call reassigns."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    revision: int | None = Field(None, description="The task's `revision` you looked at; refused when it has changed")


class Nothing(_Body):
    """No more to say."""


class HandOver(_Body):
    """Somebody else's from now on."""

    to: Plain = Field(max_length=200, description="A person: id, name or e-mail address", examples=["manager-2"])
    reason: Plain = Field("", max_length=4000)


class NewQuestion(_Body):
    """Something one wants to know before deciding."""

    to: Plain = Field(max_length=200, description="The requester, or a colleague: id, name or e-mail address")
    text: Plain = Field(min_length=1, max_length=4000, examples=["Which purchase order is this?"])


class NewAnswer(_Body):
    """The answer to a question."""

    text: Plain = Field(min_length=1, max_length=4000, examples=["PO 4711, attached"])


class Clock(_Body):
    """New times; those left out stay."""

    due_at: AskedMoment | None = None
    expires_at: AskedMoment | None = None
    reason: Plain = Field(min_length=1, max_length=4000)


class Later(BaseModel):
    """Until when."""

    model_config = ConfigDict(extra="forbid")

    until: AskedMoment


class Filter(BaseModel):
    """Which open tasks; those that fit all that is given."""

    model_config = ConfigDict(extra="forbid")

    task_ids: list[Plain] | None = Field(None, max_length=MOST)
    process: Plain | None = None
    gate: Plain | None = None
    assignee: Plain | None = Field(None, description="Whose claimed tasks: id, name or e-mail address")


class ManyHandOvers(BaseModel):
    """Tasks that are handed to one person."""

    model_config = ConfigDict(extra="forbid")

    to: Plain = Field(max_length=200, description="A person: id, name or e-mail address")
    filter: Filter
    reason: Plain = Field("", max_length=4000)
    cursor: Plain | None = Field(None, max_length=1000, description="The `next_cursor` of the call before")


class Done(BaseModel):
    """What became of one task."""

    task_id: str
    status: str = Field(description="`done`, `refused`, or `pending`: stored until a worker is back")
    problem: ProblemBody | None = None


class ManyDone(BaseModel):
    """One result for each task."""

    items: list[Done]
    next_cursor: str | None = Field(None, description="Not null: more tasks fit. Send the same again with it")


@router.post("/{task_id}/claim", response_model=TaskView, responses=ANSWERS)
async def claim(
    task: VisibleTask, person: Caller, gateway: TheGateway, body: Nothing | None = None, key: IdempotencyKey = None
) -> Answered:
    """Take a task: nobody else decides it until it is given back. Who may decide it may claim it."""
    return answered(await gateway.act(person, task, Wish(act=Act.CLAIM, revision=body.revision if body else None), key))


@router.post("/{task_id}/release", response_model=TaskView, responses=ANSWERS)
async def release(
    task: VisibleTask, person: Caller, gateway: TheGateway, body: Nothing | None = None, key: IdempotencyKey = None
) -> Answered:
    """Give a task back: to all candidates, or to whoever delegated it. Admins may do it for anybody."""
    return answered(
        await gateway.act(person, task, Wish(act=Act.RELEASE, revision=body.revision if body else None), key)
    )


@router.post("/{task_id}/reassign", response_model=TaskView, responses=ANSWERS)
async def reassign(
    task: VisibleTask, person: Caller, gateway: TheGateway, body: HandOver, key: IdempotencyKey = None
) -> Answered:
    """Hand a task to somebody for good. Admins only."""
    wish = Wish(act=Act.REASSIGN, to=body.to, text=body.reason, revision=body.revision)
    return answered(await gateway.act(person, task, wish, key))


@router.post("/{task_id}/delegate", response_model=TaskView, responses=ANSWERS)
async def delegate(
    task: VisibleTask, person: Caller, gateway: TheGateway, body: HandOver, key: IdempotencyKey = None
) -> Answered:
    """Let somebody else decide in one's place. They give it back by `release`, or decide: both names are recorded."""
    wish = Wish(act=Act.DELEGATE, to=body.to, text=body.reason, revision=body.revision)
    return answered(await gateway.act(person, task, wish, key))


@router.post("/{task_id}/withdraw", response_model=TaskView, responses=ANSWERS)
async def withdraw(
    task: VisibleTask, person: Caller, gateway: TheGateway, body: Nothing | None = None, key: IdempotencyKey = None
) -> Answered:
    """Take back one's own decision while the gate is still open."""
    return answered(
        await gateway.act(person, task, Wish(act=Act.WITHDRAW, revision=body.revision if body else None), key)
    )


@router.post("/{task_id}/questions", response_model=TaskView, responses=ANSWERS)
async def ask(
    task: VisibleTask, person: Caller, gateway: TheGateway, body: NewQuestion, key: IdempotencyKey = None
) -> Answered:
    """Ask the requester or a colleague. The gate stays open; its clock stands still if the policy says so."""
    wish = Wish(act=Act.ASK, to=body.to, text=body.text, revision=body.revision)
    return answered(await gateway.act(person, task, wish, key))


@router.post("/{task_id}/questions/{question_id}/answer", response_model=TaskView, responses=ANSWERS)
async def answer(
    task: VisibleTask,
    question_id: Annotated[Plain, Path(max_length=100)],
    person: Caller,
    gateway: TheGateway,
    body: NewAnswer,
    key: IdempotencyKey = None,
) -> Answered:
    """Answer a question. The revision of the task moves: reviewers know more than they did."""
    wish = Wish(act=Act.ANSWER, question=question_id, text=body.text, revision=body.revision)
    return answered(await gateway.act(person, task, wish, key))


@router.post("/{task_id}/questions/{question_id}/withdraw", response_model=TaskView, responses=ANSWERS)
async def withdraw_question(
    task: VisibleTask,
    question_id: Annotated[Plain, Path(max_length=100)],
    person: Caller,
    gateway: TheGateway,
    body: Nothing | None = None,
    key: IdempotencyKey = None,
) -> Answered:
    """Take back a question that has no answer; the clock goes on. For whoever asked it, operators and admins."""
    wish = Wish(act=Act.WITHDRAW_QUESTION, question=question_id, revision=body.revision if body else None)
    return answered(await gateway.act(person, task, wish, key))


@router.post("/{task_id}/clock", response_model=TaskView, responses=ANSWERS)
async def set_clock(
    task: VisibleTask, person: Caller, gateway: TheGateway, body: Clock, key: IdempotencyKey = None
) -> Answered:
    """Extend or shorten a task. Admins only, with a reason."""
    wish = Wish(
        act=Act.SET_CLOCK,
        due_at=body.due_at,
        expires_at=body.expires_at,
        text=body.reason,
        revision=body.revision,
    )
    return answered(await gateway.act(person, task, wish, key))


@router.post("/{task_id}/nudge", responses=documented(401, 403, 404, 409, 422, 503))
async def nudge(task: VisibleTask, person: Caller, db: Db, key: IdempotencyKey = None) -> Nudge:
    """Remind those who may decide the task now, once in 24 hours. For whoever asked for the case.

    409 within that time: the problem says `nudged_at` and `again_at`.
    """
    check_may_nudge(person, task.requester)
    if task.kind == "changes":
        raise Problem(409, "It waits for your changes, so nobody else is to be reminded.", kind="waits-for-you")
    event_id = f"nudge/{decision_id_for(person.id, task.task_id, key or uuid.uuid4().hex)}"
    try:
        async with db.write() as conn:
            return await reminders.nudge(conn, task, person.id, datetime.now(UTC), event_id)
    except reminders.TooSoon as no:
        said = f"They were reminded at {moment_text(no.last.nudged_at)}. Again from {moment_text(no.last.again_at)} on."
        raise Problem(409, said, kind="nudged-already", **no.last.model_dump(mode="json")) from no
    except reminders.NotWaiting as no:
        raise Problem(409, "This is decided, so nobody is to be reminded.", kind="already-closed") from no


@router.put("/{task_id}/follow-up", responses=documented(401, 404, 422, 503))
async def follow_up(task: VisibleTask, body: Later, person: Caller, db: Db) -> Later:
    """Hide a task from one's own list until then. It waits for others as before, and its clock runs."""
    if body.until <= datetime.now(UTC):
        raise invalid("Until when?", [FieldError(field="until", message="must lie in the future")])
    async with db.write() as conn:
        await tasks.follow_up(conn, person.id, task.task_id, body.until)
    return body


@router.delete("/{task_id}/follow-up", status_code=204, responses=documented(401, 404, 422, 503))
async def no_follow_up(task: VisibleTask, person: Caller, db: Db) -> Response:
    """Show the task again."""
    async with db.write() as conn:
        await tasks.follow_up(conn, person.id, task.task_id, None)
    return Response(status_code=204)


@router.post("/reassign", responses=documented(401, 403, 422, 503))
async def reassign_many(body: ManyHandOvers, person: Caller, parts: InHouse, key: IdempotencyKey = None) -> ManyDone:
    """Hand open tasks that fit to one person, one result each. Admins only.

    One call looks at a thousand tasks. `next_cursor` leads to those behind them.
    """
    check_admin(person, "Only admins reassign tasks.")
    if not body.filter.model_dump(exclude_none=True):
        raise invalid("Say which tasks.", [FieldError(field="filter", message="needs at least one condition")])
    wanted = body.filter.model_dump()
    with our_cursor():
        async with parts.db.read() as conn:
            to = await whom(conn, body.to, person, field="to", asking="To whom?")
            if body.filter.assignee:
                wanted["assignee"] = await _holder(conn, body.filter.assignee, person)
            found, following = await open_tasks.fitting(conn, viewer(person), after=body.cursor, limit=MOST, **wanted)
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(task: TaskView) -> Done:
        async with slots:
            try:
                wish = Wish(act=Act.REASSIGN, to=to, text=body.reason)
                acted = await parts.gateway.act(person, task, wish, key)
            except (Problem, *REFUSALS) as no:
                problem = no if isinstance(no, Problem) else problem_of(no)
                return Done(task_id=task.task_id, status="refused", problem=ProblemBody(**problem.body))
            return Done(task_id=task.task_id, status="done" if acted.task else "pending")

    return ManyDone(items=await asyncio.gather(*(one(task) for task in found)), next_cursor=following)


async def _holder(conn: AsyncConnection, text: str, by: Person) -> str:
    """Whose claimed tasks are meant; also those of somebody who has left, by their id."""
    try:
        return (await people.get(conn, text)).id
    except UnknownPerson:
        return await whom(conn, text, by, field="filter.assignee", asking="Whose?")
