"""Shared by the page of a task and the page of its case: the case, its progress, its history and its files."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from api.container import Services
from api.http.schemas import CaseDetail
from api.http.security import is_in
from api.pages.parts import timeline
from api.pages.parts.case_progress import Pipeline, pipeline
from api.pages.parts.page import templates
from api.routes.cases import one_case
from api.services.if_approved import preview_case
from domain.names import ADMINS, AUDITORS, OPERATORS
from domain.status import ENDED_UNDONE, Status
from store.audit import evidence
from store.audit.evidence import Attachment, Comment
from store.cases.cases import CaseRow
from store.people.people import Person

COMMENTS = 100
"""Comments shown, the newest. The history has all of them."""

templates.env.globals |= {"step_named": timeline.step_named, "size": timeline.size}


@dataclass(frozen=True)
class CaseContext:
    """One case for one person."""

    case: CaseDetail
    way: Pipeline | None
    story: Sequence[timeline.TimelineLine]
    attachments: Sequence[Attachment]
    comments: Sequence[Comment]
    technical: bool
    """True if the person works with the audit log, and sees its technical data."""
    may_cancel: bool
    may_roll_back: bool
    may_start: bool
    may_ask_again: bool
    """True if the case ended undone and the reader may submit it again with changes."""


async def case_context(row: CaseRow, person: Person, services: Services) -> CaseContext:
    """Return the case as the JSON route does, with additional parts for pages."""
    case, (attachments, comments) = await asyncio.gather(
        one_case(row, services.db, services.gateway), _evidence(row, services)
    )
    operates = is_in(person, OPERATORS, ADMINS)
    own = operates or row.requester in person.asks_as
    return CaseContext(
        case=case,
        way=pipeline(case, row.input, await preview_case(row, case.tasks, services.starter.pinned)),
        story=timeline.timeline(case.process, case.input, case.timeline),
        attachments=attachments,
        comments=comments,
        technical=operates or is_in(person, AUDITORS),
        may_cancel=own and not case.status.closed and case.status is not Status.ROLLING_BACK and not _after(case),
        may_roll_back=operates and case.status is Status.COMPLETED and bool(case.if_rolled_back),
        may_start=own and case.status is Status.SCHEDULED,
        may_ask_again=person.id == row.requester and case.status in ENDED_UNDONE and case.resubmitted_as is None,
    )


def _after(case: CaseDetail) -> bool:
    """Return True if the case had ended and waits for the approval of its rollback."""
    return bool(case.if_rolled_back)


async def _evidence(row: CaseRow, services: Services) -> tuple[Sequence[Attachment], Sequence[Comment]]:
    async with services.db.read() as conn:
        comments = await evidence.newest_comments(conn, row.case_id, COMMENTS)
        return await evidence.attached(conn, row.case_id), comments
