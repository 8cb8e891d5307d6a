"""What people wanted to do with a task, other than decide it, when no worker answered; and what became of it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.messages import Act
from domain.records import ActionRecord
from store.db.database import fit, insert_into, insert_once
from store.tables.cases import actions


class ActionRow(BaseModel):
    """An action that was not answered at once."""

    model_config = ConfigDict(from_attributes=True)

    action_id: str
    task_id: str
    case_id: str
    person: str
    act: Act
    content: str
    status: Literal["pending", "done", "refused"]
    refusal: str
    code: str
    at: datetime


async def get(conn: AsyncConnection, action_id: str) -> ActionRow | None:
    """One action; None for one that was answered at once."""
    row = (await conn.execute(select(actions).where(actions.c.action_id == action_id))).one_or_none()
    return ActionRow.model_validate(row) if row else None


async def find_pending(conn: AsyncConnection, person: str, task_id: str, content: str) -> ActionRow | None:
    """The same action of the same person on the same task, if one is pending: sent again, it must not double."""
    query = select(actions).where(
        actions.c.task_id == task_id,
        actions.c.person == person,
        actions.c.content == content,
        actions.c.status == "pending",
    )
    row = (await conn.execute(query.order_by(actions.c.at).limit(1))).one_or_none()
    return ActionRow.model_validate(row) if row else None


async def add_pending(conn: AsyncConnection, action: ActionRecord, case_id: str) -> None:
    """Remember an action that goes by Signal, until the record of its case says what became of it."""
    await insert_once(conn, actions, _row(action, case_id) | {"status": "pending"})


async def record_results(conn: AsyncConnection, records: Iterable[ActionRecord], case_id: str) -> None:
    """Write what the case made of actions. The first answer stands."""
    rows = [_row(record, case_id) | {"status": "refused" if record.refusal else "done"} for record in records]
    if not rows:
        return
    new = insert_into(conn, actions)
    judged = new.on_conflict_do_update(
        index_elements=[actions.c.action_id],
        set_={name: new.excluded[name] for name in ("status", "refusal", "code")},
        where=actions.c.status == "pending",
    )
    await conn.execute(judged, rows)


async def settle(conn: AsyncConnection, action_id: str, refusal: str = "", code: str = "") -> None:
    """A pending action was answered when it was sent again."""
    answered = update(actions).where(actions.c.action_id == action_id, actions.c.status == "pending")
    status = "refused" if refusal else "done"
    await conn.execute(
        answered.values(status=status, refusal=fit(refusal, actions.c.refusal), code=fit(code, actions.c.code))
    )


def _row(action: ActionRecord, case_id: str) -> dict[str, Any]:
    return {
        "action_id": fit(action.action_id, actions.c.action_id),
        "task_id": fit(action.task_id, actions.c.task_id),
        "case_id": case_id,
        "person": fit(action.person, actions.c.person),
        "act": action.act,
        "content": action.content,
        "refusal": fit(action.refusal, actions.c.refusal),
        "code": fit(action.code, actions.c.code),
        "at": action.at,
    }
