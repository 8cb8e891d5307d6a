"""Make the receipt of a decision: a signed statement for people outside Holdgate."""

from datetime import UTC, datetime

from api.http.problems import FieldError, Problem, invalid
from domain.erasure import check_content
from domain.moments import rfc3339
from domain.proof.keys import SigningKey
from domain.proof.receipt import DecisionReceipt
from domain.task import TaskView
from store.audit.decided import decided
from store.cases import cases, tasks
from store.db import installation
from store.db.database import Database


async def receipt_of(db: Database, task: TaskView, decision_id: str | None, *, key: SigningKey, issuer: str) -> str:
    """Return the receipt of a decision on a task. Without `decision_id`, the task must have one decision.

    `issuer` is the address of this gateway. The caller has checked that the reader may see the task: the receipt names
    no person whom the task does not name. Raises Problem: 404 if there is no such decision, or it was not accepted; 409
    if the task has no decision; 422 if it has several and `decision_id` is None.
    """
    chosen = decision_id or _only_decision(task)
    async with db.read() as conn:
        if (its := await cases.get(conn, task.case_id)) is not None:
            check_content(its)
        row = await tasks.decision(conn, chosen)
        found = await decided(conn, task.case_id, chosen)
        case = await cases.get(conn, task.case_id)
        if row is None or row.task_id != task.task_id or row.status not in ("accepted", "withdrawn"):
            raise Problem(404, "The task has no accepted decision with this id.", kind="not-found")
        if found is None or case is None:
            raise Problem(
                404,
                "The decision is not in the audit log yet, or it was erased. Try again in a moment.",
                kind="not-found",
            )
        return DecisionReceipt(
            iss=issuer,
            iat=int(datetime.now(UTC).timestamp()),
            installation=await installation.id_of(conn),
            process=task.process,
            case=task.case_id,
            task=task.task_id,
            gate=task.gate,
            decision=chosen,
            verdict=found.event.data["verdict"],
            status=row.status,
            by=found.event.actor,
            on_behalf_of=found.event.data.get("on_behalf_of"),
            requester=task.requester,
            asked_for=task.asked_for,
            at=rfc3339(row.at),
            via=found.event.data["via"],
            revision=found.event.data["revision"],
            shown=found.event.data["shown"],
            policy=found.policy or case.policy_hash,
        ).signed(key)


def _only_decision(task: TaskView) -> str:
    match task.decisions:
        case []:
            raise Problem(409, "The task has no decision yet.", kind="not-decided")
        case [one]:
            return one.decision_id
        case several:
            ids = ", ".join(each.decision_id for each in several)
            error = FieldError(field="decision_id", message=f"name one of the decisions: {ids}")
            raise invalid(f"The task has {len(several)} decisions.", [error])
