"""Write the events and states of cases into SQL; the activities of the workflow engine call this."""

import logging
from datetime import UTC, datetime

from activities.engine.records import NoCase, TakenOver
from cases.pinned_policies import PinnedPolicies
from domain.case import CaseEvent
from domain.erasure import ContentErased
from domain.records import CaseRecord, CaseStart, Written
from domain.refusals import RefusalCode
from domain.undo import PlannedUndo
from store.audit import audit_log
from store.audit.hashing import sha256
from store.cases import cases
from store.db.database import Database

LISTED = 100
"""The most refused messages of one case that get an event: otherwise, a sender could fill the audit log."""

log = logging.getLogger("holdgate.cases")


class SqlRecords:
    """Writes each record of a case into SQL, in one transaction."""

    def __init__(self, database: Database, policies: PinnedPolicies) -> None:
        self._database = database
        self._policies = policies

    async def record(self, record: CaseRecord) -> Written:
        """Write the events and the state of a case into SQL.

        Raises NoCase if the case is not in the database, or was not started with this input; and TakenOver if another
        Workflow runs the case and no end of the case is stored. With TakenOver the events are written.
        """
        try:
            if record.start is not None:
                await self._check_terms(record.start)
            async with self._database.write() as connection:
                written = await cases.record(connection, record)
        except audit_log.UnknownCase as unknown:
            said = f"There is no case {record.case_id} in the database. Start cases in Holdgate, not in Temporal."
            raise NoCase(said, permanent=True) from unknown
        except ContentErased:
            return await self._end_of_erased(record.case_id)
        except cases.OtherStart as other:
            await self._note_other_start(record)
            said = f"Holdgate did not start {record.workflow_id or record.case_id} with this input."
            raise NoCase(said, permanent=True) from other
        # Kinds only: details about people and money belong in the audit log, not in this log.
        kinds = " ".join(event.kind for event in record.events)
        log.info("recorded %s", kinds, extra={"case_id": record.case_id, "status": record.status.value})
        if written.taken_over and written.ended is None:
            raise TakenOver("A rollback has taken over this case, so its own Workflow stops.", permanent=True)
        return written

    async def _end_of_erased(self, case_id: str) -> Written:
        """Return the stored end of an erased case, so that a Workflow that still runs for the case stops."""
        async with self._database.read() as connection:
            case = await cases.get(connection, case_id)
        assert case is not None, "an erased case has a row"
        return Written(count=case.head_count, hash=case.head_hash, ended=case.result)

    async def _check_terms(self, start: CaseStart) -> None:
        """Raise OtherStart unless these are the step options, engine gates and operators of the policy."""
        terms = await self._policies.terms(start.policy_hash, start.process)
        if (start.steps, start.own_gates, start.operators) != (dict(terms.steps), terms.own_gates, terms.operators):
            raise cases.OtherStart(start.process)

    async def _note_other_start(self, record: CaseRecord) -> None:
        """Record that a Workflow of a case was refused, because somebody started it in Temporal with another input.

        After `LISTED` refused messages of the case, only the log of the worker tells it.
        """
        async with self._database.read() as connection:
            case = await cases.get(connection, record.case_id)
        # The digest covers the other input, which may differ from that of the case in one field only.
        salted = f"{case.salt if case else ''}{record.start.digest if record.start else ''}"
        event = CaseEvent(
            event_id=f"{record.case_id}/start-refused/{sha256(salted)[:16]}",
            case_id=record.case_id,
            at=datetime.now(UTC),
            kind="message_refused",
            actor="temporal",
            summary="A start of the Workflow was refused: Holdgate did not start it with this input",
            data={
                "message": "start",
                "via": "temporal",
                "code": RefusalCode.OTHER.value,
                "reason": "Holdgate did not start it with this input.",
                "claimed": "",
            },
        )
        log.warning("a start was refused: Holdgate did not start it with this input", extra={"case_id": record.case_id})
        async with self._database.write() as connection:
            if await audit_log.count(connection, record.case_id, event.kind) < LISTED:
                await audit_log.append(connection, [event])

    async def plan(self, case_id: str) -> list[PlannedUndo]:
        """Return the stored undos of a case, oldest first; none if there is no such case."""
        async with self._database.read() as connection:
            case = await cases.get(connection, case_id)
        return case.plan if case else []
