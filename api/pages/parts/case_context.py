"""Collect what the pages of a case and of its tasks both show: the case, its progress, its history and its files."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from api.container import Services
from api.http.schemas import CaseDetail
from api.http.security import asks
from api.pages.parts import timeline
from api.pages.parts.case_progress import Pipeline, pipeline
from api.pages.parts.page import templates
from api.routes.cases import one_case
from api.services.if_approved import preview_case
from domain.status import ENDED_UNDONE, Status
from store.audit import evidence
from store.audit.evidence import Attachment, Comment
from store.cases.cases import CaseRow
from store.people.people import Person

COMMENTS = 100
"""The most comments that the page shows, the newest. The history of the case has all comments."""

templates.env.globals |= {"step_named": timeline.step_named, "size": timeline.size}


@dataclass(frozen=True)
class CaseContext:
    """One case as a page shows it to one person."""

    case: CaseDetail
    way: Pipeline | None
    story: Sequence[timeline.TimelineLine]
    attachments: Sequence[Attachment]
    comments: Sequence[Comment]
    technical: bool
    """True if the person may read the audit log of the process, and so sees the technical data of events."""
    may_cancel: bool
    may_roll_back: bool
    may_start: bool
    may_ask_again: bool
    """True if the reader may submit the case again with changes.

    This is so if the reader requested the case, the case was rejected, expired, cancelled or failed, and it was not
    submitted again yet.
    """


async def case_context(row: CaseRow, person: Person, services: Services) -> CaseContext:
    """Return the case as the JSON route does, with the additional parts that pages show."""
    case, (attachments, comments) = await asyncio.gather(
        one_case(row, services.db, services.gateway), _evidence(row, services)
    )
    operates = row.process in person.scope.operates
    own, gone = operates or asks(person, row), row.erased_at is not None
    return CaseContext(
        case=case,
        way=None if gone else pipeline(case, row.input, await preview_case(row, case.tasks, services.starter.pinned)),
        story=timeline.timeline(case.process, case.input, case.timeline),
        attachments=attachments,
        comments=comments,
        technical=row.process in person.scope.audits,
        may_cancel=own and not case.status.closed and case.status is not Status.ROLLING_BACK and not _after(case),
        may_roll_back=operates and not gone and case.status is Status.COMPLETED and bool(case.if_rolled_back),
        may_start=own and case.status is Status.SCHEDULED,
        may_ask_again=person.id == row.requester
        and not gone
        and case.status in ENDED_UNDONE
        and case.resubmitted_as is None,
    )


def _after(case: CaseDetail) -> bool:
    """Return True if the case was completed, and people must now approve its rollback."""
    return bool(case.if_rolled_back)


async def _evidence(row: CaseRow, services: Services) -> tuple[Sequence[Attachment], Sequence[Comment]]:
    async with services.db.read() as conn:
        comments = await evidence.newest_comments(conn, row.case_id, COMMENTS)
        return await evidence.attached(conn, row.case_id), comments
