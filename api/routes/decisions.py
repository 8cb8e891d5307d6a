"""What became of a decision that was answered with 202."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.deps import Db, Plain
from api.http.problems import documented, not_found
from api.http.security import Caller, viewer
from api.http.workflow_refusals import REFUSAL_CODES
from domain.refusals import RefusalCode
from store.cases import tasks

router = APIRouter(prefix="/decisions", tags=["tasks"])


class DecisionState(BaseModel):
    """One decision as it is recorded."""

    decision_id: str
    status: Literal["pending", "accepted", "refused"]
    refusal: str | None = Field(description="Why it was refused, in one sentence")
    code: RefusalCode | None = Field(description=REFUSAL_CODES, examples=[RefusalCode.ALREADY_CLOSED])
    task_id: str
    case_id: str
    verdict: str
    at: datetime


@router.get("/{decision_id}", responses=documented(401, 404, 422, 503))
async def one_decision(decision_id: Annotated[Plain, Path(max_length=100)], person: Caller, db: Db) -> DecisionState:
    """Whether a decision waits, counted or was refused. For who made it, and for those who see everything."""
    async with db.read() as conn:
        found = await tasks.decision(conn, decision_id)
    if found is None or not (found.person == person.id or viewer(person).sees_all):
        raise not_found("decision")
    return DecisionState(
        decision_id=found.decision_id,
        status=found.status,
        refusal=found.refusal or None,
        code=RefusalCode.of(found.code) if found.code else None,
        task_id=found.task_id,
        case_id=found.case_id,
        verdict=found.verdict,
        at=found.at,
    )
