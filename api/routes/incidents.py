"""Routes for incidents: failures, such as of a step or an undo, that wait for a decision of operators."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.deps import Db, IdempotencyKey, Limit, Plain, Search, TheServices
from api.http.problems import documented
from api.http.security import Operator
from api.routes.tasks import Bulk, BulkAnswer, BulkItem, Password, decide_many
from domain.gate import REASONS
from domain.status import Verdict
from store.cases import incidents
from store.cases.incidents import Incidents

router = APIRouter(prefix="/incidents", tags=["incidents"])

AnswerToMany = Literal["retry", "skip", "done_by_hand", "roll_back"]


class IncidentQueue(BaseModel):
    """Groups of incidents, the largest first."""

    items: list[Incidents]
    next_cursor: None = None


class BulkRetry(BaseModel):
    """One decision for many incidents. `task_ids` are the tasks of one group in the list of incidents."""

    model_config = ConfigDict(extra="forbid")

    verdict: AnswerToMany
    task_ids: Annotated[list[Plain], Field(min_length=1, max_length=incidents.AT_ONCE)]
    revisions: dict[Plain, int] = Field(
        {},
        description="The revision that you saw, by task. Without one, the decision is for the task as it is now: "
        "the incidents of a group have the same cause",
    )
    comment: Plain = Field("", max_length=4000, examples=["The account is unlocked again"])
    decision_id: Plain | None = Field(
        None, min_length=1, max_length=200, description="Your id: a repeat with the same id gets the first answers"
    )
    password: Password = Field(None, description="Your password, if the policy asks for it at incidents")

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if self.verdict in REASONS and not self.comment.strip():
            raise ValueError(REASONS[Verdict(self.verdict)])
        return self


@router.get("", responses=documented(401, 404, 422, 503))
async def list_incidents(person: Operator, db: Db, process: Search = None, limit: Limit = 50) -> IncidentQueue:
    """List open incidents, grouped by process, step and cause. For operators of the processes and admins."""
    async with db.read() as conn:
        return IncidentQueue(items=await incidents.groups(conn, person.scope.operates, process, limit))


@router.post("/decisions", responses=documented(401, 404, 422, 503))
async def answer_incidents(
    bulk: BulkRetry, person: Operator, services: TheServices, idempotency_key: IdempotencyKey = None
) -> BulkAnswer:
    """Make the same decision for up to a hundred incidents. The answer has one result for each incident.

    A repeat with the same `decision_id` or `Idempotency-Key` decides nothing twice.

    `skip` and `done_by_hand` need a comment.
    """
    key = bulk.decision_id or idempotency_key
    async with services.db.read() as conn:
        revisions = await incidents.revisions(conn, person.scope.operates, bulk.task_ids) | bulk.revisions
    items = [
        BulkItem(
            task_id=task_id,
            verdict=bulk.verdict,
            comment=bulk.comment,
            revision=revisions.get(task_id),
            decision_id=key,
        )
        for task_id in dict.fromkeys(bulk.task_ids)
    ]
    return await decide_many(Bulk(items=items, password=bulk.password), person, services)
