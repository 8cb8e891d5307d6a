"""Carry out an operator's decision on a blocked case, because its Workflow cannot receive the decision."""

from datetime import UTC, datetime

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from cases.plan_in_history import plan_in_history
from cases.rollback import Rollbacks
from core.signed_client import signed
from domain.case import CaseEvent, CaseState
from domain.messages import Decision, Resynchronise
from domain.proof.envelope import SignedText
from domain.proof.keys import SigningKey
from domain.records import DecisionRecord
from domain.status import Outcome, Status, Verdict
from domain.task import DecisionView, TaskView
from domain.undo import joined
from store.cases import blocked, cases, proofs, tasks
from store.db.database import Database


class Settlement:
    """Carries out operators' decisions on blocked cases."""

    def __init__(self, db: Database, client: Client, rollbacks: Rollbacks, key: SigningKey) -> None:
        self._db, self._client, self._rollbacks = db, client, rollbacks
        self._key = key

    async def settle(self, task: TaskView, decision: Decision) -> Status | None:
        """Carry out the decision and return the new status of the case; None if the task was already decided.

        If this process crashes in between, a reconcile job finds the blocked case again. Raises RPCError if Temporal
        does not answer.
        """
        view = DecisionView(
            decision_id=decision.id,
            verdict=decision.verdict,
            by=decision.by.id,
            at=decision.at,
            comment=decision.comment,
        )
        async with self._db.write() as conn:
            one = await blocked.by_task(conn, task.task_id)
            if one is None or not await tasks.close(conn, task.task_id, Outcome(decision.verdict.value), decision.at):
                return None
            await tasks.record_decisions(conn, [DecisionRecord(decision=decision)], task.case_id)
            proven = signed(decision, self._key, self._client.namespace, one.workflow_id)
            text = SignedText.of(proven, self._client.namespace, one.workflow_id)
            await proofs.add(conn, [text], task.case_id)
            await blocked.remove(conn, one, _decided(task, decision))
            case = await cases.get(conn, task.case_id)
        if case is None:
            return None
        handle = self._client.get_workflow_handle(one.workflow_id)
        if decision.verdict is Verdict.RETRY:
            state: CaseState = await handle.query("status", result_type=CaseState)
            async with self._db.write() as conn:
                await tasks.remove_unknown(conn, case.case_id, [each.task_id for each in state.tasks] + [task.task_id])
            run_id = (await handle.describe()).run_id
            news = Resynchronise(id=f"{decision.id}/reset", run_id=run_id, at=datetime.now(UTC))
            await handle.signal("resynchronise", news)
            return case.status
        plan = joined(case.plan, await plan_in_history(self._client, one.workflow_id))
        try:
            await handle.terminate(reason=f"{decision.by.id}: {decision.verdict.replace('_', ' ')}")
        except RPCError as error:  # the Workflow has ended, or is not there
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
        given = await self._rollbacks.lost(case, one.cause, by=decision.by.id, plan=plan, decided=view)
        return (given or case).status


def _decided(task: TaskView, decision: Decision) -> CaseEvent:
    comment = f" ({decision.comment})" if decision.comment else ""
    return CaseEvent(
        event_id=f"stopped/{task.task_id}/{decision.id}",
        case_id=task.case_id,
        at=decision.at,
        kind="decided",
        actor=decision.by.id,
        summary=f"{decision.by.id}: {decision.verdict.replace('_', ' ')}{comment}",
        data={
            "task_id": task.task_id,
            "gate": task.gate,
            "decision_id": decision.id,
            "verdict": decision.verdict.value,
            "comment": decision.comment,
            "groups": decision.by.groups,
            "via": decision.via,
            **decision.recorded_confirmation,
        },
    )
