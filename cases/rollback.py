"""Roll back closed cases: assign the case to a rollback Workflow in SQL first, then start this Workflow.

The rollback Workflow undoes the steps of the case. A stored rollback is never lost, as with a new case: if its Workflow
does not run, `Starter.sweep` starts it.
"""

import asyncio
from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from cases.submit import Starter
from cases.workflow_starter import settle
from core.errors import PayloadErased
from domain.case import CaseEvent
from domain.erasure import check_content
from domain.ids import rollback_id_for
from domain.rollback import RollbackAsked
from domain.state_words import state
from domain.status import Status
from domain.task import DecisionView
from domain.undo import PlannedUndo, updated
from store.cases import cases
from store.cases.cases import CaseRow
from store.cases.hand_over import hand_over
from store.db.database import Database, DatabaseUnavailable

QUERY_PATIENCE_S = 5.0
PLAN: TypeAdapter[list[PlannedUndo]] = TypeAdapter(list[PlannedUndo])


class NotRollable(Exception):
    """Raised if a case cannot be rolled back now. The message is the reason, for people."""


class ChangedMeanwhile(NotRollable):
    """Raised if another process changed the case at the same time. The caller may read the case and try again."""


class Rollbacks:
    """Assigns cases to the Workflow that rolls them back, and starts this Workflow."""

    def __init__(self, db: Database, client: Client, starter: Starter) -> None:
        self._db, self._client, self._starter = db, client, starter

    async def ask(self, case: CaseRow, by: str, reason: str) -> CaseRow:
        """Roll back a completed case, and return the changed case.

        The policy may require that people approve the rollback first.

        `by` is the id of the person who asks. Raises NotRollable, UnknownProcess, NoPolicy, TemporalUnavailable and
        DatabaseUnavailable; after any of these errors the case has not changed.
        """
        check_content(case)
        if why := why_not(case):
            raise NotRollable(why)
        plan = case.plan or await self.plan_of(case.conductor)
        if not plan:
            raise NotRollable("The case has no step that can be rolled back.")
        policy = self._starter.policy(case.process)
        await self._starter.launcher.reach()
        await self._starter.keep(policy)
        asked = RollbackAsked(
            number=_next(case),
            by=by,
            reason=reason,
            policy_hash=policy.hash,
            at=datetime.now(UTC),
            ended=case.result,
            planned=len(plan),
        )
        given = await self._hand_over(case.model_copy(update={"plan": plan}), asked, "rollback_requested", by)
        if given is None:
            raise ChangedMeanwhile("Somebody else just changed this case. Reload the case and try again.")
        return given

    async def lost(
        self,
        case: CaseRow,
        reason: str,
        by: str,
        *,
        plan: list[PlannedUndo] | None = None,
        decided: DecisionView | None = None,
    ) -> CaseRow | None:
        """Ask operators what to do with an open case whose Workflow was ended in Temporal, or go on with its rollback.

        Return the changed case; None if another process changed the case meanwhile. `plan` is the list of undos. If
        `plan` is None, the list comes from the Workflow, and from SQL for undos that the Workflow does not know.
        `decided` is the decision of an operator who was already asked.
        """
        before = case.rollback
        if plan is None:
            plan = await self.plan_of(case.conductor) or case.plan
            if before is None:
                # The Workflow knows the ordinary steps since the last write, and SQL a local step that Temporal lost.
                plan = updated(case.plan, plan, gone=())
        taken_back = before is not None and before.ended is not None
        asked = RollbackAsked(
            number=_next(case),
            by=by,
            reason=reason,
            policy_hash=before.policy_hash if before else case.policy_hash,
            at=datetime.now(UTC),
            lost=not taken_back,
            ended=before.ended if before else None,
            planned=len(plan),
            decided=decided,
            begun=taken_back and before is not None and (before.begun or len(plan) < before.planned),
        )
        return await self._hand_over(case.model_copy(update={"plan": plan}), asked, "case_lost", by)

    async def plan_of(self, workflow_id: str) -> list[PlannedUndo]:
        """Return the list of undos that a running or ended Workflow has planned.

        The list is empty if the Workflow does not answer in time, or if Temporal or this code does not know the
        Workflow. Raises NotRollable if the data of the case were erased, and PayloadKeyMissing.
        """
        try:
            async with asyncio.timeout(QUERY_PATIENCE_S):
                found = await self._client.get_workflow_handle(workflow_id).query("plan")
            return PLAN.validate_python(found)
        except PayloadErased as erased:
            raise NotRollable("The data of the case were erased, so its steps cannot be rolled back.") from erased
        except (TimeoutError, RPCError, WorkflowQueryFailedError, ValidationError):
            return []

    async def _hand_over(self, case: CaseRow, asked: RollbackAsked, kind: str, by: str) -> CaseRow | None:
        said = asked.reason if kind == "case_lost" else f"{by} requested a rollback: {asked.reason}"
        workflow_id = rollback_id_for(case.case_id, asked.number)
        event = CaseEvent(
            event_id=f"{workflow_id}/0",
            case_id=case.case_id,
            at=asked.at,
            kind=kind,
            actor=by,
            summary=said,
            data={"reason": asked.reason, "workflow_id": workflow_id, "policy_hash": asked.policy_hash},
        )
        async with self._db.write() as conn:
            given = await hand_over(conn, case, asked, event)
        if given is None:
            return None
        launch = await self._starter.launcher.launch([given])
        try:
            async with self._db.write() as conn:
                await settle(conn, launch)
                return await cases.get(conn, case.case_id) or given
        except DatabaseUnavailable:
            return given  # the case is handed over; the sweep does the rest


def why_not(case: CaseRow) -> str:
    """Return why a case cannot be rolled back, as a sentence for people; empty if the case can be rolled back."""
    match case.status:
        case Status.COMPLETED:
            return ""
        case Status.ROLLED_BACK:
            return "The case was already rolled back."
        case status if status.closed:
            return f"The case ended as {state(status).lower()}. Its steps are already rolled back."
        case _ if case.rollback is not None:
            return "A rollback of the case is already in progress."
        case _:
            return "The case has not ended. Cancel the case to roll back its steps."


def _next(case: CaseRow) -> int:
    return case.rollback.number + 1 if case.rollback else 1
