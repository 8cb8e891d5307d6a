"""Routes for the outcome of a decision, or of another action on a task, to which the gateway answered 202."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, field_validator

from api.deps import Db, Plain, TheGateway
from api.gateway.refusal_problems import REFUSAL_CODES
from api.http.callers import Caller
from api.http.problems import documented, not_found
from domain.messages import Act
from domain.refusals import RefusalCode
from store.cases import actions, cases, tasks
from store.db.database import Database
from store.people.people import Person

router = APIRouter(tags=["tasks"])

MessageId = Annotated[Plain, Path(max_length=100)]
_ASKS = documented(401, 404, 422, 503)


class _Outcome(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    refusal: str | None = Field(description="Why the message was refused, in one sentence")
    code: RefusalCode | None = Field(description=REFUSAL_CODES, examples=[RefusalCode.ALREADY_CLOSED])
    task_id: str
    case_id: str
    at: datetime

    @field_validator("refusal", mode="before")
    @classmethod
    def _without_refusal(cls, text: str) -> str | None:
        return text or None

    @field_validator("code", mode="before")
    @classmethod
    def _known_code(cls, text: str) -> RefusalCode | None:
        return RefusalCode.of(text) if text else None


class DecisionState(_Outcome):
    """A decision and its status, as they are recorded."""

    decision_id: str
    status: Literal["pending", "accepted", "refused", "withdrawn"]
    verdict: str


class ActionState(_Outcome):
    """An action on a task and its status, as they are recorded."""

    action_id: str
    status: Literal["pending", "done", "refused"]
    act: Act


@router.get("/decisions/{decision_id}", responses=_ASKS)
async def one_decision(decision_id: MessageId, person: Caller, db: Db, gateway: TheGateway) -> DecisionState:
    """Return the status of a decision: pending, counted or refused.

    For the person who made the decision, and people who oversee the process. The status `withdrawn` means that the
    decision counted until the person took it back.
    """
    async with db.read() as conn:
        found = await tasks.decision(conn, decision_id)
    if found is None and await gateway.noted(decision_id):
        async with db.read() as conn:
            found = await tasks.decision(conn, decision_id)
    if found is None or not await _may_see(db, person, found.person, found.case_id):
        raise not_found("decision")
    return DecisionState.model_validate(found)


@router.get("/actions/{action_id}", responses=_ASKS)
async def one_action(action_id: MessageId, person: Caller, db: Db) -> ActionState:
    """Return the status of an action: pending, done or refused.

    For the person who sent the action, and people who oversee the process.
    """
    async with db.read() as conn:
        found = await actions.get(conn, action_id)
    if found is None or not await _may_see(db, person, found.person, found.case_id):
        raise not_found("action")
    return ActionState.model_validate(found)


async def _may_see(db: Database, reader: Person, sender: str, case_id: str) -> bool:
    if sender == reader.id or reader.scope.sees.everywhere:
        return True
    async with db.read() as conn:
        case = await cases.get(conn, case_id) if reader.scope.sees else None
    return case is not None and case.process in reader.scope.sees
