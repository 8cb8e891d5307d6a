"""What became of a claim, a question or another action that was answered with 202."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.deps import Db, Plain
from api.http.problems import documented, not_found
from api.http.security import Caller, viewer
from api.http.workflow_refusals import REFUSAL_CODES
from domain.messages import Act
from domain.refusals import RefusalCode
from store.cases import actions

router = APIRouter(prefix="/actions", tags=["tasks"])


class ActionState(BaseModel):
    """One action as it is recorded."""

    action_id: str
    status: Literal["pending", "done", "refused"]
    refusal: str | None = Field(description="Why it was refused, in one sentence")
    code: RefusalCode | None = Field(description=REFUSAL_CODES, examples=[RefusalCode.ALREADY_CLOSED])
    task_id: str
    case_id: str
    act: Act
    at: datetime


@router.get("/{action_id}", responses=documented(401, 404, 422, 503))
async def one_action(action_id: Annotated[Plain, Path(max_length=100)], person: Caller, db: Db) -> ActionState:
    """Whether an action waits, was done or was refused. For who sent it, and for those who see everything."""
    async with db.read() as conn:
        found = await actions.get(conn, action_id)
    if found is None or not (found.person == person.id or viewer(person).sees_all):
        raise not_found("action")
    return ActionState(
        action_id=found.action_id,
        status=found.status,
        refusal=found.refusal or None,
        code=RefusalCode.of(found.code) if found.code else None,
        task_id=found.task_id,
        case_id=found.case_id,
        act=found.act,
        at=found.at,
    )
