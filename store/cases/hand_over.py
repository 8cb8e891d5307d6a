"""Give a case to another Workflow, which rolls it back."""

from typing import Any

from sqlalchemy import update

from domain.case import CaseEvent
from domain.ids import rollback_id_for
from domain.rollback import RollbackAsked
from domain.start_digest import start_digest
from domain.status import Status
from store.audit import audit_log
from store.cases import cases as case_rows, tasks
from store.cases.cases import CaseRow
from store.db.connection import AsyncConnection
from store.tables.cases import cases


async def hand_over(conn: AsyncConnection, case: CaseRow, asked: RollbackAsked, event: CaseEvent) -> CaseRow | None:
    """Store that another Workflow, the rollback, runs the case from now on.

    The status is `starting` until the rollback runs.

    `case` is the row as the caller read it. If the row was changed in the meantime, write nothing and return None.
    """
    values: dict[str, Any] = {
        "workflow_id": rollback_id_for(case.case_id, asked.number),
        "rollback": asked.model_dump(mode="json"),
        "plan": [undo.model_dump(mode="json") for undo in case.plan],
        "status": Status.STARTING,
        "closed_at": None,
        "resubmit_at": None,
        "updated_at": asked.at,
    }
    start = case.model_dump(mode="json") | {name: values[name] for name in ("workflow_id", "plan")}
    values["start_digest"] = start_digest(start | {"asked": values["rollback"], "policy_hash": asked.policy_hash})
    same = cases.c.workflow_id == case.workflow_id if case.workflow_id else cases.c.workflow_id.is_(None)
    closed = cases.c.closed_at.is_not(None) if case.closed_at else cases.c.closed_at.is_(None)
    unchanged = (same, closed, cases.c.status == case.status, cases.c.erased_at.is_(None))
    given = update(cases).where(cases.c.case_id == case.case_id, *unchanged)
    if not (await conn.execute(given.values(values))).rowcount:
        return None
    await tasks.close_remaining(conn, case.case_id, asked.at)
    await audit_log.append(conn, [event])
    return await case_rows.get(conn, case.case_id)
