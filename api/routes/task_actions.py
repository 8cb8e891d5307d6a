"""Routes for actions on a task other than a decision, such as claim, delegate, withdraw, ask, or change deadlines."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Db, IdempotencyKey, Plain, TheGateway, TheServices, VisibleTask
from api.gateway.erased import check_not_erased
from api.gateway.requests import ActionRequest
from api.http.callers import Caller
from api.http.exception_handlers import ANSWERED_ERRORS, problem_of_error
from api.http.problems import FieldError, Problem, ProblemBody, documented, forbidden, invalid
from api.http.schemas import checked_cursor
from api.http.security import check_may_nudge, viewer
from api.services.person_lookup import find_person
from domain.ids import decision_id_for
from domain.messages import Act
from domain.moments import AskedMoment, moment_text
from domain.task import TaskView
from store.cases import open_tasks, tasks
from store.db.connection import AsyncConnection
from store.notifications import reminders
from store.notifications.reminders import Nudge
from store.people import people
from store.people.people import Person, UnknownPerson

router = APIRouter(prefix="/tasks", tags=["tasks"])


class PendingAction(BaseModel):
    """The answer if no worker answered in time: the action is stored, and a worker does or refuses it later."""

    action_id: str = Field(description="The id of the action: `GET /actions/{action_id}` has its outcome")
    status: Literal["pending"] = "pending"


ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {
        "model": PendingAction,
        "description": "No worker answered: stored, `GET /actions/{action_id}` has the outcome",
    },
    **documented(401, 403, 404, 409, 422, 503),
}
Answered = TaskView | JSONResponse


class TaskActor:
    """The caller and the task in the path, with a method that sends actions on the task."""

    def __init__(self, task: VisibleTask, person: Caller, gateway: TheGateway, key: IdempotencyKey = None) -> None:
        self._task, self._person, self._gateway, self._key = task, person, gateway, key

    async def act(self, act: Act, body: "_ActionBody | None" = None, **fields: Any) -> Answered:
        """Send an action on the task to its case.

        Return the task after the action, or an answer 202 if a worker must still do the action.
        """
        request = ActionRequest(act=act, revision=body.revision if body else None, **fields)
        outcome = await self._gateway.act(self._person, self._task, request, self._key)
        if outcome.task is None:
            return JSONResponse(PendingAction(action_id=outcome.action_id).model_dump(), 202)
        return outcome.task


Acting = Annotated[TaskActor, Depends()]

AT_ONCE = 10
MOST = 1_000
"""The most open tasks that one call checks and reassigns."""


class _ActionBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    revision: int | None = Field(None, description="The task's `revision` that you saw; refused if it has changed")


QuestionId = Annotated[Plain, Path(max_length=100)]


class EmptyBody(_ActionBody):
    """A request without fields other than the revision."""


class HandOver(_ActionBody):
    """A request that names the person who gets the task."""

    to: Plain = Field(max_length=200, description="A person: id, name or e-mail address", examples=["manager-2"])
    reason: Plain = Field("", max_length=4000)


class NewQuestion(_ActionBody):
    """A question about a task, with the person who is asked."""

    to: Plain = Field(max_length=200, description="The person to ask: id, name or e-mail address")
    text: Plain = Field(min_length=1, max_length=4000, examples=["Which purchase order is this?"])


class NewAnswer(_ActionBody):
    """The answer to a question."""

    text: Plain = Field(min_length=1, max_length=4000, examples=["PO 4711, attached"])


class NewTimes(_ActionBody):
    """New deadlines of a task. A time that the request leaves out does not change."""

    due_at: AskedMoment | None = None
    expires_at: AskedMoment | None = None
    reason: Plain = Field(min_length=1, max_length=4000)


class Snooze(BaseModel):
    """The time until which the task is hidden from your own list."""

    model_config = ConfigDict(extra="forbid")

    until: AskedMoment


class TaskFilter(BaseModel):
    """The open tasks that match all given fields."""

    model_config = ConfigDict(extra="forbid")

    task_ids: list[Plain] | None = Field(None, max_length=MOST)
    process: Plain | None = None
    gate: Plain | None = None
    assignee: Plain | None = Field(None, description="The person who has the tasks: id, name or e-mail address")


class ManyHandOvers(BaseModel):
    """A request to give many tasks to one person."""

    model_config = ConfigDict(extra="forbid")

    to: Plain = Field(max_length=200, description="A person: id, name or e-mail address")
    filter: TaskFilter
    reason: Plain = Field("", max_length=4000)
    cursor: Plain | None = Field(None, max_length=1000, description="The `next_cursor` of the last answer")


class HandOverResult(BaseModel):
    """The outcome of giving one task to another person."""

    task_id: str
    status: str = Field(description="`done`, `refused`, or `pending`: stored until a worker is back")
    problem: ProblemBody | None = None


class HandOverResults(BaseModel):
    """One result for each task."""

    items: list[HandOverResult]
    next_cursor: str | None = Field(
        None, description="Not null if more tasks match: send the same request with this as `cursor`"
    )


@router.post("/{task_id}/claim", response_model=TaskView, responses=ANSWERS)
async def claim(actor: Acting, body: EmptyBody | None = None) -> Answered:
    """Claim a task that you can decide.

    Until the claim ends, for example because the task is released or escalated, only you can decide the task, or your
    substitute while you are away.
    """
    return await actor.act(Act.CLAIM, body)


@router.post("/{task_id}/release", response_model=TaskView, responses=ANSWERS)
async def release(actor: Acting, body: EmptyBody | None = None) -> Answered:
    """Release a task that you claimed: to all who can decide the task, or to the person who delegated the task to you.

    The person who delegated a task can release the task too, and admins can release every task.
    """
    return await actor.act(Act.RELEASE, body)


@router.post("/{task_id}/reassign", response_model=TaskView, responses=ANSWERS)
async def reassign(actor: Acting, body: HandOver) -> Answered:
    """Give a task to another person permanently. Admins only.

    If the new person releases the task, the task does not go back to the person who had it before.
    """
    return await actor.act(Act.REASSIGN, body, to=body.to, text=body.reason)


@router.post("/{task_id}/delegate", response_model=TaskView, responses=ANSWERS)
async def delegate(actor: Acting, body: HandOver) -> Answered:
    """Let another person decide a task for you. The audit log records both names.

    You, the other person or an admin can release the task, which gives the task back to you.
    """
    return await actor.act(Act.DELEGATE, body, to=body.to, text=body.reason)


@router.post("/{task_id}/withdraw", response_model=TaskView, responses=ANSWERS)
async def withdraw(actor: Acting, body: EmptyBody | None = None) -> Answered:
    """Take back your own decision on a task, while its gate is still open."""
    return await actor.act(Act.WITHDRAW, body)


@router.post("/{task_id}/questions", response_model=TaskView, responses=ANSWERS)
async def ask(actor: Acting, body: NewQuestion) -> Answered:
    """Ask a person, such as the requester or a colleague, a question about the task.

    The gate stays open; its timers stop if the policy says so.
    """
    return await actor.act(Act.ASK, body, to=body.to, text=body.text)


@router.post("/{task_id}/questions/{question_id}/answer", response_model=TaskView, responses=ANSWERS)
async def answer(actor: Acting, question_id: QuestionId, body: NewAnswer) -> Answered:
    """Answer a question about a task.

    The revision of the task changes, because reviewers must see the answer before they decide.
    """
    return await actor.act(Act.ANSWER, body, question=question_id, text=body.text)


@router.post("/{task_id}/questions/{question_id}/withdraw", response_model=TaskView, responses=ANSWERS)
async def withdraw_question(actor: Acting, question_id: QuestionId, body: EmptyBody | None = None) -> Answered:
    """Withdraw a question that has no answer yet. Timers that stopped for this question continue.

    For the person who asked, operators of the process and admins.
    """
    return await actor.act(Act.WITHDRAW_QUESTION, body, question=question_id)


@router.post("/{task_id}/clock", response_model=TaskView, responses=ANSWERS)
async def set_clock(actor: Acting, body: NewTimes) -> Answered:
    """Change when a task is due or expires. Admins only, with a reason."""
    return await actor.act(Act.SET_CLOCK, body, due_at=body.due_at, expires_at=body.expires_at, text=body.reason)


@router.post("/{task_id}/nudge", responses=documented(401, 403, 404, 409, 422, 503))
async def nudge(task: VisibleTask, person: Caller, db: Db, key: IdempotencyKey = None) -> Nudge:
    """Send a reminder to the people who can decide the task now, at most once in 24 hours.

    For the requester of the case, or the successor of the requester.

    A second reminder within 24 hours gets 409. The problem says when the last one was sent (`nudged_at`), and when you
    can send the next (`again_at`).
    """
    check_may_nudge(person, task)
    await check_not_erased(db, task)
    if task.kind == "changes":
        raise Problem(409, "The case waits for your changes, so there is nobody to remind.", kind="waits-for-you")
    event_id = f"nudge/{decision_id_for(person.id, task.task_id, key or uuid.uuid4().hex)}"
    try:
        async with db.write() as conn:
            return await reminders.nudge(conn, task, person.id, datetime.now(UTC), event_id)
    except reminders.ReminderTooSoon as no:
        last, again = moment_text(no.last.nudged_at), moment_text(no.last.again_at)
        said = f"The last reminder was sent at {last}. Send the next reminder from {again}."
        raise Problem(409, said, kind="nudged-already", **no.last.model_dump(mode="json")) from no
    except reminders.NotWaiting as no:
        raise Problem(409, "The task is already closed, so there is nobody to remind.", kind="already-closed") from no


@router.put("/{task_id}/follow-up", responses=documented(401, 404, 422, 503))
async def follow_up(task: VisibleTask, body: Snooze, person: Caller, db: Db) -> Snooze:
    """Snooze a task: hide it from your own list until the given time.

    Other people still see a snoozed task, and its timers run.
    """
    await check_not_erased(db, task)
    if body.until <= datetime.now(UTC):
        raise invalid("The time must be in the future.", [FieldError(field="until", message="must be in the future")])
    async with db.write() as conn:
        await tasks.snooze(conn, person.id, task.task_id, body.until)
    return body


@router.delete("/{task_id}/follow-up", status_code=204, responses=documented(401, 404, 422, 503))
async def no_follow_up(task: VisibleTask, person: Caller, db: Db) -> Response:
    """End the snooze of a task: show the task in your own list again."""
    async with db.write() as conn:
        await tasks.snooze(conn, person.id, task.task_id, None)
    return Response(status_code=204)


@router.post("/reassign", responses=documented(401, 403, 422, 503))
async def reassign_many(
    body: ManyHandOvers, person: Caller, services: TheServices, key: IdempotencyKey = None
) -> HandOverResults:
    """Give all open approval tasks that match the filter to one person.

    Operators give away the tasks of their processes, admins all tasks. The answer has one result for each task.

    One call checks at most a thousand tasks. To continue, repeat the request with `next_cursor` as `cursor`.
    """
    if not person.scope.operates:
        raise forbidden("Only operators of a process and admins reassign tasks.", "operators of a process, or admins")
    if not body.filter.model_dump(exclude_none=True):
        raise invalid(
            "Say which tasks to reassign.", [FieldError(field="filter", message="needs at least one condition")]
        )
    wanted = body.filter.model_dump()
    with checked_cursor():
        async with services.db.read() as conn:
            to = await find_person(conn, body.to, person, field="to", asking="To whom?")
            if body.filter.assignee:
                wanted["assignee"] = await _holder(conn, body.filter.assignee, person)
            found, following = await open_tasks.fitting(
                conn, viewer(person), reach=person.scope.operates, after=body.cursor, limit=MOST, **wanted
            )
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(task: TaskView) -> HandOverResult:
        async with slots:
            try:
                request = ActionRequest(act=Act.REASSIGN, to=to, text=body.reason)
                outcome = await services.gateway.act(person, task, request, key)
            except (Problem, *ANSWERED_ERRORS) as no:
                problem = no if isinstance(no, Problem) else problem_of_error(no)
                return HandOverResult(task_id=task.task_id, status="refused", problem=ProblemBody(**problem.body))
            return HandOverResult(task_id=task.task_id, status="done" if outcome.task else "pending")

    return HandOverResults(items=await asyncio.gather(*(one(task) for task in found)), next_cursor=following)


async def _holder(conn: AsyncConnection, text: str, by: Person) -> str:
    """Return the id of the person whom `text` names, and who has the tasks in question. The person may have left."""
    try:
        return (await people.get(conn, text)).id
    except UnknownPerson:
        return await find_person(conn, text, by, field="filter.assignee", asking="Whose?")
