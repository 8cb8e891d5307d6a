"""Routes for tasks: list tasks, read one task, and decide."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from api.deps import (
    Cursor,
    Db,
    IdempotencyKey,
    Limit,
    Plain,
    Search,
    TheServices,
    VisibleTask,
    visible_task,
)
from api.gateway.requests import DecisionOutcome, DecisionRequest, PasskeyAnswer
from api.gateway.temporal import UPDATE_PATIENCE_S
from api.http.callers import Caller
from api.http.exception_handlers import ANSWERED_ERRORS, problem_of_error
from api.http.problems import Problem, ProblemBody, documented
from api.http.schemas import Page, TaskDetail, checked_cursor
from api.http.security import can_decide, viewer
from api.services.decision_receipt import receipt_of
from api.services.if_approved import if_approved
from api.services.reveal import revealable
from domain.proof.receipt import MEDIA_TYPE, DecisionReceipt
from domain.status import Status
from domain.task import TaskView
from store.cases import cases, task_lists, tasks
from store.cases.task_lists import TaskFilter
from workflows.engine.saga import plan_of

router = APIRouter(prefix="/tasks", tags=["tasks"])

BULK_AT_ONCE = 20
BULK_PATIENCE_S = 6.0
"""The most seconds to wait for workers in one request with many decisions.

If no worker answers, the first decisions use all of this time, and the others are sent as Signals without waiting.
"""
LEAST_PATIENCE_S = 0.2


Password = Annotated[str | None, Field(min_length=1, max_length=1000)]


class DecisionBody(BaseModel):
    """A person's decision on a task, without its confirmation."""

    model_config = ConfigDict(extra="forbid")

    verdict: str = Field(max_length=60, description="One of the task's `verdicts`", examples=["approve"])
    comment: Plain | None = Field(None, max_length=4000, examples=["Checked against the purchase order"])
    revision: StrictInt | None = Field(
        None,
        description="The task's `revision` that you saw; refused if it has changed. Needed unless the policy says "
        '`revision = "optional"`',
    )
    edits: dict[str, Any] | None = Field(
        None, description="Fields in `editable` of the task with new values, to approve, submit again or retry"
    )
    decision_id: Plain | None = Field(
        None, min_length=1, max_length=200, description="Your id: a repeat with the same id gets the first answer"
    )

    def answer(self, **more: Any) -> DecisionRequest:
        """Return the decision as the argument of `Gateway.decide`. `more` are further fields of this argument."""
        return DecisionRequest(
            verdict=self.verdict, comment=self.comment or "", revision=self.revision, edits=self.edits or {}, **more
        )


class NewDecision(DecisionBody):
    """A person's decision on a task.

    If the task's `confirm` is not `none`, the decision needs `password` or `passkey`. Without them the answer is the
    problem `ConfirmNeeded`, which says what to send.
    """

    password: Password = Field(None, description="Your password, if the task's `confirm` is `password`")
    passkey: PasskeyAnswer | None = Field(None, description="What your passkey has signed, with its `nonce`")


class DecisionAnswer(BaseModel):
    """The answer to a decision.

    `accepted`: the decision counts, and `task` is the task after the decision. `pending`: the decision is stored until
    a worker applies or refuses it.
    """

    decision_id: str
    status: Literal["accepted", "pending"]
    task: TaskView | None = None
    case_status: Status | None = Field(None, description="When the decision was accepted")

    @classmethod
    def of(cls, decided: DecisionOutcome) -> "DecisionAnswer":
        """Return the answer of the API for an outcome that the gateway returned."""
        return cls(status="accepted" if decided.accepted else "pending", **decided.model_dump())


class BulkItem(DecisionBody):
    """One of many decisions in a request."""

    task_id: Plain = Field(max_length=100)


class Bulk(BaseModel):
    """A request with up to a hundred decisions."""

    model_config = ConfigDict(extra="forbid")

    items: list[BulkItem] = Field(min_length=1, max_length=100)
    password: Password = Field(
        None, description="Your password, which confirms all decisions of the request that need a password"
    )


class BulkResult(BaseModel):
    """The outcome of one of many decisions."""

    task_id: str
    status: Literal["accepted", "pending", "refused"]
    decision_id: str | None = None
    case_status: Status | None = None
    problem: ProblemBody | None = None


class BulkAnswer(BaseModel):
    """The results of many decisions, in the order of the items of the request."""

    items: list[BulkResult]


APPROVE = {
    "summary": "Approve",
    "value": {"verdict": "approve", "comment": "Checked against the purchase order", "revision": 1},
}
REJECT = {
    "summary": "Reject, safe to repeat",
    "value": {"verdict": "reject", "comment": "Paid already", "revision": 1, "decision_id": "inbox-7f3a"},
}
PENDING: dict[int | str, dict[str, Any]] = {
    202: {
        "model": DecisionAnswer,
        "description": "No worker answered: stored, `GET /decisions/{decision_id}` has the outcome",
    }
}


@router.get("", responses=documented(401, 422, 503))
async def inbox(
    person: Caller,
    db: Db,
    mine: Annotated[bool, Query(description="Only tasks that the caller may decide now")] = False,
    status: Annotated[Literal["open", "closed"] | None, Query()] = None,
    process: Search = None,
    gate: Search = None,
    q: Search = None,
    sort: Annotated[Literal["due_at", "-opened_at", "priority"], Query()] = "due_at",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[TaskView]:
    """List the tasks that the caller may see, by due time, newest first, or by priority (1 first).

    In the order by due time, tasks without a due time come last.

    While you read the pages, no task is left out. A task whose due time or priority changes meanwhile comes again at
    the end.
    """
    with checked_cursor():
        async with db.read() as conn:
            sought = TaskFilter(whose="mine" if mine else "all", status=status, process=process, gate=gate, q=q)
            items, following = await task_lists.page(
                conn, viewer(person), sought, datetime.now(UTC), sort=sort, cursor=cursor, limit=limit
            )
    return Page(items=items, next_cursor=following)


@router.get("/{task_id}", responses=documented(401, 404, 422, 503))
async def one_task(task: VisibleTask, person: Caller, services: TheServices) -> TaskDetail:
    """Return one task, whether the caller can decide it, and what an approval and a rejection would do."""
    gateway = services.gateway
    state = await gateway.state(task.workflow_id or task.case_id) if task.status == "open" else None
    live = next((each for each in state.tasks if each.task_id == task.task_id), task) if state else task
    by = await gateway.actor(person, live)
    plan, case = state.rollback_plan if state else [], None
    of_case = state.tasks if state else []
    if task.status == "open":
        async with services.db.read() as conn:
            case = await cases.get(conn, task.case_id)
            if state is None:
                # Read again: the decision may have been recorded since the Workflow failed to answer.
                live = await tasks.get(conn, task.task_id) or task
                of_case = await tasks.of_case(conn, task.case_id)
        if state is None:
            plan = plan_of(case.plan) if case and live.status == "open" else []
    return TaskDetail(
        **live.model_dump(),
        can_decide=can_decide(live, by),
        revealable=revealable(services.policy.current, person, live.process),
        if_approved=await if_approved(live, case, of_case, plan, services.starter.pinned),
        rollback_plan=plan,
        stale=live.status == "open" and state is None,
    )


@router.get(
    "/{task_id}/receipt",
    response_class=Response,
    responses={
        200: {
            "description": "A JSON Web Signature in its compact form, signed with a key of `GET /audit/keys`",
            "content": {MEDIA_TYPE: {"schema": DecisionReceipt.model_json_schema()}},
        },
        **documented(401, 404, 409, 422, 503),
    },
)
async def receipt(
    task: VisibleTask,
    services: TheServices,
    decision_id: Annotated[
        Plain | None, Query(min_length=1, max_length=200, description="Needed if the task has several decisions")
    ] = None,
) -> Response:
    """Return a signed receipt of a decision, for everybody who may see the task.

    Anybody can verify the receipt with the public keys, without an account: see docs/reference/receipts.md.
    """
    signed = await receipt_of(
        services.db, task, decision_id, key=services.signing_key, issuer=services.settings.public_url
    )
    return Response(
        signed, media_type=MEDIA_TYPE, headers={"Content-Disposition": 'attachment; filename="receipt.jws"'}
    )


@router.post(
    "/{task_id}/decision",
    responses={**PENDING, **documented(401, 403, 404, 409, 422, 428, 503)},
)
async def decide(
    task: VisibleTask,
    new: Annotated[NewDecision, Body(openapi_examples={"approve": APPROVE, "reject": REJECT})],
    person: Caller,
    services: TheServices,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> DecisionAnswer:
    """Decide a task. The decision is accepted, refused with the reason, or stored until a worker runs.

    The answer comes within 4 s; for a case whose Workflow cannot continue, within 10 s.

    If the policy asks you to confirm the decision, the first answer is 403 `ConfirmNeeded`. Send the same decision
    again: for the `method` `password` with the field `password`, for `passkey` with the field `passkey`. A browser
    makes its `credential` from the `options` of the problem. The `nonce` is valid once, for 5 minutes and for exactly
    this decision. Without a browser, open the `review_url`.
    """
    confirmed = await services.confirmations.by_password(person, new.password) if new.password else None
    request = new.answer(confirmation=confirmed, passkey=new.passkey)
    decided = await services.gateway.decide(person, task, request, new.decision_id or idempotency_key)
    response.status_code = 200 if decided.accepted else 202
    return DecisionAnswer.of(decided)


@router.post("/decisions", responses=documented(401, 422, 503))
async def decide_many(
    bulk: Bulk, person: Caller, services: TheServices, idempotency_key: IdempotencyKey = None
) -> BulkAnswer:
    """Decide up to a hundred tasks in one request. Each decision is accepted or refused on its own.

    A repeat decides nothing twice if it has the same `decision_id` for each task, or the same `Idempotency-Key`.

    One `password` confirms all decisions that need a password. Decisions that need a passkey are refused here: each
    needs a signature of its own, on the page of its task.
    """
    confirmed = await services.confirmations.by_password(person, bulk.password) if bulk.password else None
    slots = asyncio.Semaphore(BULK_AT_ONCE)
    clock = asyncio.get_running_loop().time
    deadline = clock() + BULK_PATIENCE_S

    async def one(item: BulkItem) -> BulkResult:
        async with slots:
            patience = min(UPDATE_PATIENCE_S, max(LEAST_PATIENCE_S, deadline - clock()))
            try:
                task = await visible_task(item.task_id, person, services.db)
                client_id = item.decision_id or idempotency_key
                request = item.answer(confirmation=confirmed, of_many=True)
                decided = await services.gateway.decide(person, task, request, client_id, patience)
            except (Problem, *ANSWERED_ERRORS) as no:
                problem = no if isinstance(no, Problem) else problem_of_error(no)
                return BulkResult(task_id=item.task_id, status="refused", problem=ProblemBody(**problem.body))
            done = DecisionAnswer.of(decided)
            return BulkResult(task_id=item.task_id, **done.model_dump(include={"status", "decision_id", "case_status"}))

    return BulkAnswer(items=await asyncio.gather(*(one(item) for item in bulk.items)))
