"""Define the answers of JSON routes, and make them from rows of the database and the state of Workflows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Generic, TypeVar

from fastapi import Request
from pydantic import BaseModel, Field

from api.http.problems import FieldError, Problem, invalid
from api.http.security import CanDecide
from api.services.if_approved import Consequence
from domain.case import CaseEvent, CaseResult, CaseState
from domain.status import Status
from domain.task import TaskView
from domain.undo import UndoView
from intake.csv_output import MEDIA_TYPE
from store.audit.audit_log import StoredEvent
from store.audit.timeline import NOISE, Timeline
from store.cases.cases import CaseRow
from store.db import cursor as cursors
from workflows.engine.saga import plan_of
from workflows.registry import shown_input, shown_result

ItemT = TypeVar("ItemT")


class Page(BaseModel, Generic[ItemT]):
    """One page of a list."""

    items: list[ItemT]
    next_cursor: str | None = Field(None, description="Send this as `cursor` for the next page; null on the last page")


class CaseBrief(BaseModel):
    """A case in a list."""

    case_id: str = Field(examples=["payment:inv-1042"])
    process: str = Field(examples=["payment"])
    reference: str = Field(examples=["INV-1042"])
    title: str = Field(examples=["Pay Northwind Paper Ltd 1,250.00 GBP"])
    status: Status
    requester: str = Field(examples=["requester-1"])
    on_behalf_of: str | None = Field(description="The person for whom a service account asks")
    priority: int = Field(examples=[3])
    created_at: datetime
    start_at: datetime | None = Field(description="When the case starts or started, if it was scheduled")
    closed_at: datetime | None
    erased_at: datetime | None = Field(None, description="When the content was erased. Ids, status and times stay")
    batch_id: str | None
    round: int
    temporal_url: str


class TimelineItem(BaseModel):
    """One event of a case. `data` is null if the data was erased."""

    seq: int
    at: datetime
    kind: str = Field(examples=["gate_opened"])
    actor: str = Field(examples=["holdgate"])
    summary: str
    data: dict[str, Any] | None


class CaseDetail(CaseBrief):
    """One case with its tasks, its timeline and its rollback plan."""

    input: dict[str, Any]
    result: CaseResult | None
    asked_for: list[str] = Field(
        description="If a service account asks: the people who count as requester, too. They never decide the case"
    )
    resubmits: str | None
    policy_hash: str
    step: str | None = Field(None, description="What the case is doing now, in words")
    tasks: list[TaskView]
    timeline: list[TimelineItem] = Field(
        description="Events that decided or changed the case, and the newest other events"
    )
    timeline_left_out: int = Field(0, description="How many refusals, comments and claims are not in `timeline`")
    erased_by: str | None = Field(None, description="The request for the erasure; null if the retention period is over")
    resubmitted_as: str | None = Field(None, description="The next round of the same reference")
    rollback_url: str | None = Field(None, description="The Workflow that rolls back the completed case, in Temporal")
    rollback_plan: list[UndoView] = Field(
        description="What a rejection would undo, newest first; empty when the case has ended"
    )
    if_rolled_back: list[UndoView] = Field(
        description="Of a completed case: what `POST /cases/{id}/rollback` would undo, newest first"
    )
    stale: bool = Field(description="The Workflow did not answer within a second: this is the last recorded state")


class TaskDetail(TaskView):
    """One task with its case, and whether the caller may decide the task."""

    can_decide: CanDecide
    revealable: list[str] = Field(
        description="Masked fields of the input whose whole value the caller may see: `POST /tasks/{task_id}/reveal`"
    )
    if_approved: list[Consequence] = Field(
        description="What happens if the task is approved, in order, up to the next approval step at which people "
        "decide; empty after the task is decided"
    )
    rollback_plan: list[UndoView] = Field(
        description="What a rejection or a rollback undoes, newest first; empty after the task is decided"
    )
    stale: bool = Field(description="The Workflow did not answer within a second: this is the last recorded state")


def brief(case: CaseRow, temporal_url: str) -> CaseBrief:
    """Return a case as it appears in a list of cases."""
    return CaseBrief(**_brief(case), temporal_url=temporal_url)


def detail(
    case: CaseRow,
    tasks: Sequence[TaskView],
    happened: Timeline,
    state: CaseState | None,
    temporal_url: str,
    resubmitted_as: str | None = None,
    rollback_url: str | None = None,
    erased_by: str | None = None,
) -> CaseDetail:
    """Return one case with its tasks, its timeline and its rollback plan.

    `state` is the state of the Workflow; None if the case has ended or the Workflow did not answer.
    """
    fields = _brief(case) | ({"status": state.status} if state else {})
    planned = state.rollback_plan if state else plan_of(case.plan)
    # A completed case waits for the approval of its rollback: a rejection then undoes nothing.
    asked = case.rollback is not None and case.rollback.ended is not None
    taken_back = asked and fields["status"] is Status.AWAITING_APPROVAL
    return CaseDetail(
        **fields,
        temporal_url=temporal_url,
        input=shown_input(case.process, case.input),
        result=shown_result(case.process, case.input, case.result),
        asked_for=case.asked_for,
        resubmits=case.resubmits,
        policy_hash=case.policy_hash,
        step=state.step if state else None,
        tasks=_as_they_are(tasks, state.tasks if state else []),
        timeline=timeline(happened, state.timeline if state else []),
        timeline_left_out=happened.left_out,
        erased_by=erased_by,
        resubmitted_as=resubmitted_as,
        rollback_url=rollback_url,
        rollback_plan=[] if fields["status"].closed or taken_back else planned,
        if_rolled_back=planned if fields["status"] is Status.COMPLETED or taken_back else [],
        stale=state is None and not case.status.closed,
    )


def timeline_items(events: Sequence[StoredEvent]) -> list[TimelineItem]:
    """Return stored events as items of a timeline."""
    return [
        TimelineItem(seq=each.seq, at=each.at, kind=each.kind, actor=each.actor, summary=each.summary, data=_data(each))
        for each in events
    ]


def timeline(happened: Timeline, of_workflow: Sequence[CaseEvent]) -> list[TimelineItem]:
    """Return the stored events of a case, then the events that only its Workflow has so far."""
    items = timeline_items(happened.events)
    known = {each.event_id for each in happened.events}
    following = items[-1].seq + 1 if items else 1
    fresh = (
        each
        for each in of_workflow
        if each.event_id not in known
        and not (happened.left_out and each.kind in NOISE)  # a quiet event may be one of those left out above
    )
    return items + [
        TimelineItem(seq=seq, at=each.at, kind=each.kind, actor=each.actor, summary=each.summary, data=each.data)
        for seq, each in enumerate(fresh, following)
    ]


def _as_they_are(stored: Sequence[TaskView], live_tasks: Sequence[TaskView]) -> list[TaskView]:
    """Return all tasks of a case, oldest first.

    These are the stored tasks, each in the version of the Workflow if it has one, then tasks that only the Workflow
    has.
    """
    live = {task.task_id: task for task in live_tasks}
    return [live.pop(task.task_id, task) for task in stored] + list(live.values())


def _brief(case: CaseRow) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "process": case.process,
        "reference": case.reference,
        "title": case.title,
        "status": case.status,
        "requester": case.requester,
        "on_behalf_of": case.on_behalf_of,
        "priority": case.priority,
        "created_at": case.submitted_at,
        "start_at": case.start_at,
        "closed_at": case.closed_at,
        "erased_at": case.erased_at,
        "batch_id": case.batch_id,
        "round": case.round,
    }


def _data(event: StoredEvent) -> dict[str, Any] | None:
    return None if event.erased else event.data


@contextmanager
def checked_cursor() -> Iterator[None]:
    """Run the block, and raise Problem 422 if the database code refuses the cursor that the block uses."""
    try:
        yield
    except ValueError as error:
        if type(error) is not ValueError:  # a defect of Holdgate, such as a row that does not fit its model
            raise
        raise _invalid_cursor("cursor") from error


def number_of(cursor: str | None, name: str = "cursor", most: int = cursors.MOST) -> int:
    """Return the number in a cursor; 0 if `cursor` is None. Raises Problem 422 for a text that is not such a cursor."""
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 20 and int(cursor) <= most):
        raise _invalid_cursor(name)
    return int(cursor)


def page_by_number(
    found: Sequence[ItemT], limit: int, number: Callable[[ItemT], int]
) -> tuple[list[ItemT], str | None]:
    """Return one page and the cursor of the next page.

    `found` has `limit` + 1 items if there is a next page; the additional item is not returned.
    """
    return list(found[:limit]), str(number(found[limit - 1])) if len(found) > limit else None


def _invalid_cursor(name: str) -> Problem:
    return invalid(
        "The cursor is not valid.",
        [FieldError(field=name, message="send a `next_cursor` that Holdgate returned, unchanged")],
    )


def as_csv(request: Request) -> bool:
    """Return True if the request asks for CSV instead of JSON."""
    return MEDIA_TYPE in request.headers.get("accept", "")
