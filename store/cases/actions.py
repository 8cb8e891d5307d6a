"""Actions on tasks (not decisions) that no worker answered at once, and the results of these actions."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import select, update

from domain.messages import Act
from domain.records import ActionRecord
from store.db.connection import AsyncConnection
from store.db.database import fit, insert_into, insert_once
from store.tables.cases import actions


class ActionRow(BaseModel):
    """An action that no worker answered at once, and its result if there is one."""

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
    """Return the stored action with this id, or None if no such action is stored.

    Actions that a worker answered at once are not stored.
    """
    row = (await conn.execute(select(actions).where(actions.c.action_id == action_id))).one_or_none()
    return ActionRow.model_validate(row) if row else None


async def find_pending(conn: AsyncConnection, person: str, task_id: str, content: str) -> ActionRow | None:
    """Return the unanswered action of the same person, on the same task, with the same content; None without one.

    A caller uses this function so that a repeated HTTP request does not act twice.
    """
    query = select(actions).where(
        actions.c.task_id == task_id,
        actions.c.person == person,
        actions.c.content == content,
        actions.c.status == "pending",
    )
    row = (await conn.execute(query.order_by(actions.c.at).limit(1))).one_or_none()
    return ActionRow.model_validate(row) if row else None


async def add_pending(conn: AsyncConnection, action: ActionRecord, case_id: str) -> None:
    """Store an action sent by Signal, until the Workflow writes its result with `cases.record`."""
    await insert_once(conn, actions, _row(action, case_id) | {"status": "pending"})


async def record_results(conn: AsyncConnection, records: Iterable[ActionRecord], case_id: str) -> None:
    """Store the results of actions that the Workflow decided.

    If an action has a result already, this result does not change.
    """
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
    """Store the result of an action that had no result, after the action was sent again and a worker answered it."""
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
