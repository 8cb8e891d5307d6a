"""Read one accepted decision from the audit log, with the policy that its task followed."""

from typing import NamedTuple

from store.audit.audit_log import OF_A_CASE, StoredEvent, stored
from store.db.connection import AsyncConnection
from store.tables.audit import events

_RULED = ("gate_opened", "intervention_opened", "rules_changed")
"""Kinds of events that name the policy of a task."""


class Decided(NamedTuple):
    """The event of an accepted decision. `policy` is None if the task followed the policy of its case."""

    event: StoredEvent
    policy: str | None


async def decided(conn: AsyncConnection, case_id: str, decision_id: str) -> Decided | None:
    """Return a decision of a case; None if the audit log does not have the decision, or not yet, or it was erased."""
    query = OF_A_CASE.where(events.c.case_id == case_id, events.c.kind.in_(("decided", *_RULED)))
    policies: dict[str, str] = {}
    for row in (await conn.execute(query.order_by(events.c.seq))).mappings():
        event = stored(row)
        task_id = str(event.data.get("task_id"))
        if event.kind != "decided":
            policies[task_id] = event.data.get("policy") or policies.get(task_id, "")
        elif event.data.get("decision_id") == decision_id:
            return Decided(event, policies.get(task_id) or None)
    return None
