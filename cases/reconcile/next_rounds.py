"""Submit failed cases again automatically, if the policy says so."""

import logging
from datetime import UTC, datetime

from cases.start_permission import NotARequester
from cases.submit import (
    CaseRequest,
    DuplicateCase,
    InvalidCase,
    NoPolicy,
    NotResubmittable,
    Starter,
    TemporalUnavailable,
)
from domain.case import CaseEvent
from store.audit import audit_log
from store.cases import cases
from store.cases.cases import CaseRow
from store.db.database import Database, DatabaseUnavailable
from workflows.registry import UnknownProcess

log = logging.getLogger(__name__)

AT_ONCE = 100
"""The most cases that one transaction reads. One round reads again until it has all due cases."""


class Resubmitter:
    """The job that submits a failed case again, as its next round, at the time that the policy sets."""

    def __init__(self, db: Database, starter: Starter) -> None:
        self._db, self._starter = db, starter

    async def look(self) -> int:
        """Submit all due cases again with the same input and requester. Return the number of resubmitted cases."""
        count, after, now = 0, "", datetime.now(UTC)
        while True:
            async with self._db.read() as conn:
                due = await cases.to_resubmit(conn, now, AT_ONCE, after)
            for case in due:
                try:
                    count += await self._again(case)
                except (DatabaseUnavailable, TemporalUnavailable):
                    raise  # the next cases would fail too
                except Exception:  # a case that cannot be resubmitted must not block the next ones
                    log.exception("case %s could not be submitted again; the next round tries again", case.case_id)
            if len(due) < AT_ONCE:
                return count
            after = due[-1].case_id

    async def _again(self, case: CaseRow) -> bool:
        request = CaseRequest(
            process=case.process,
            reference=case.reference,
            input=case.input,
            priority=case.priority,
            resubmits=case.case_id,
        )
        try:
            await self._starter.start_case(request, case.requester)
        except (DuplicateCase, InvalidCase, NoPolicy, NotARequester, NotResubmittable, UnknownProcess) as no:
            await self._not_again(case, str(no))
            return False
        return True

    async def _not_again(self, case: CaseRow, why: str) -> None:
        event = CaseEvent(
            event_id=f"{case.case_id}/not-resubmitted",
            case_id=case.case_id,
            at=datetime.now(UTC),
            kind="not_resubmitted",
            actor="holdgate",
            summary=f"Not submitted again: {why}",
            data={"reason": why},
        )
        async with self._db.write() as conn:
            if await cases.next_round(conn, case) is None:  # else another process was faster
                await audit_log.append(conn, [event])
            await cases.cancel_resubmit(conn, case.case_id)
        log.warning("case %s is not submitted again: its history says why", case.case_id)
