"""Write the events and states of cases into SQL; the activities of the workflow engine call this."""

import logging

from activities.engine.records import NoCase, TakenOver
from domain.records import CaseRecord, Written
from domain.undo import PlannedUndo
from store.audit import audit_log
from store.cases import cases
from store.db.database import Database

log = logging.getLogger("holdgate.cases")


class SqlRecords:
    """Writes each record of a case into SQL, in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, record: CaseRecord) -> Written:
        """Write the events and the state of a case into SQL.

        Raises NoCase if the case is not in the database, and TakenOver if another Workflow runs the case and no end of
        the case is stored. With TakenOver the events are written.
        """
        try:
            async with self._database.write() as connection:
                written = await cases.record(connection, record)
        except audit_log.UnknownCase as unknown:
            said = f"There is no case {record.case_id} in the database. Start cases in Holdgate, not in Temporal."
            raise NoCase(said, permanent=True) from unknown
        # Kinds only: details about people and money belong in the audit log, not in this log.
        kinds = " ".join(event.kind for event in record.events)
        log.info("recorded %s", kinds, extra={"case_id": record.case_id, "status": record.status.value})
        if written.taken_over and written.ended is None:
            raise TakenOver("A rollback has taken over this case, so its own Workflow stops.", permanent=True)
        return written

    async def plan(self, case_id: str) -> list[PlannedUndo]:
        """Return the stored undos of a case, oldest first; none if there is no such case."""
        async with self._database.read() as connection:
            case = await cases.get(connection, case_id)
        return case.plan if case else []
