"""Refuse decisions and actions that wait for a worker although no Workflow will answer them.

A Workflow that was terminated in Temporal loses the messages it had not read. A Workflow that was reset does not know
messages that came later. Without this job, the senders of these messages would wait for ever.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, select, update

from domain.case import CaseEvent
from domain.refusals import RefusalCode
from store.audit import refusal_counts
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.tables.cases import actions, decisions, tasks

OLD = timedelta(minutes=1)
"""How long a Workflow may take to answer messages that arrived just before its task closed."""
AT_ONCE = 100
WHY = "The task closed before this decision or action was carried out, so it had no effect."


class UnansweredMessages:
    """The job of the worker that refuses decisions and actions that no Workflow will answer."""

    def __init__(self, db: Database, old: timedelta = OLD) -> None:
        self._db, self._old = db, old

    async def look(self) -> int:
        """Refuse unanswered messages whose task is closed, and return their number.

        At most 100 decisions and 100 actions are refused in one run.
        """
        found = 0
        for table, id_name in ((decisions, "decision_id"), (actions, "action_id")):
            async with self._db.read() as conn:
                ids = await _left(conn, table, id_name, datetime.now(UTC) - self._old)
            for id in ids:
                async with self._db.write() as conn:
                    found += await _refuse(conn, table, id_name, id)
        return found


async def _left(conn: AsyncConnection, table: Table, id_name: str, before: datetime) -> list[str]:
    still_open = select(tasks.c.task_id).where(tasks.c.task_id == table.c.task_id, tasks.c.status == "open")
    query = select(table.c[id_name]).where(table.c.status == "pending", table.c.at < before, ~still_open.exists())
    return list((await conn.execute(query.order_by(table.c.at).limit(AT_ONCE))).scalars())


async def _refuse(conn: AsyncConnection, table: Table, id_name: str, id: str) -> bool:
    """Store the refusal of a message in its row and in the audit log.

    Return False if the message was answered in the meantime.
    """
    waiting = update(table).where(table.c[id_name] == id, table.c.status == "pending")
    refused = waiting.values(status="refused", refusal=WHY, code=RefusalCode.ALREADY_CLOSED.value).returning(table)
    row = (await conn.execute(refused)).mappings().one_or_none()
    if row is None:
        return False
    await refusal_counts.record(conn, _event(row, id_name, table), row["person"])
    return True


def _event(row: Any, id_name: str, table: Table) -> CaseEvent:
    kind, wanted = ("decision", row["verdict"]) if table is decisions else ("action", row["act"])
    return CaseEvent(
        event_id=f"left/{row[id_name]}",
        case_id=row["case_id"],
        at=datetime.now(UTC),
        kind=f"{kind}_refused",
        actor="holdgate",
        summary=f"{row['person']} was refused to {wanted.replace('_', ' ')}: {WHY}",
        data={
            "task_id": row["task_id"],
            id_name: row[id_name],
            ("verdict" if table is decisions else "act"): wanted,
            "code": RefusalCode.ALREADY_CLOSED.value,
            "reason": WHY,
            "claimed": row["person"],
        },
    )
