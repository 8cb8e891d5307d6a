"""Cases in SQL: the row that exists before the Workflow, and `record`, the only function that writes what a Workflow
reports.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict, Unpack

from pydantic import BaseModel, ConfigDict, field_validator
from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    bindparam,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from domain.case import CaseEvent, CaseResult, ChainHead
from domain.names import ROLLBACK
from domain.normalization import search_words
from domain.records import CaseRecord, Written
from domain.rollback import RollbackAsked
from domain.start_digest import start_digest
from domain.status import Status
from domain.undo import PlannedUndo, updated
from store.audit import audit_log
from store.cases import actions, durations, proofs, requesters, tasks
from store.cases.visibility import Viewer as Viewer
from store.db import cursor as cursors
from store.db.connection import AsyncConnection
from store.db.database import fit, insert_once
from store.db.prepared import prepared, prepared_insert
from store.db.text_search import words_say
from store.tables.base import Instant
from store.tables.cases import cases


class CaseRow(BaseModel):
    """A case as SQL stores it."""

    model_config = ConfigDict(from_attributes=True)

    case_id: str
    process: str
    reference: str
    reference_key: str
    round: int
    resubmits: str | None
    parent: str | None = None
    """The id of the case that started this case as its child case; None without one."""
    status: Status
    title: str
    requester: str
    on_behalf_of: str | None = None
    """The person for whom a service account asks."""
    asked_for: list[str] = []
    """The people who count as requester beside `requester`: see `CaseInput.asked_for`."""
    priority: int
    batch_id: str | None
    policy_hash: str
    input: dict[str, Any]
    result: CaseResult | None = None
    start_at: datetime | None
    submitted_at: datetime
    updated_at: datetime
    closed_at: datetime | None = None
    idempotency_key: str | None
    """Hash of the requester and the `Idempotency-Key` of the HTTP request that created the case."""
    head_count: int
    head_hash: str
    workflow_id: str | None = None
    """The id of the Workflow that rolls the case back; None while the case's own Workflow runs the case."""
    salt: str | None = None
    """See `CaseInput.salt`; None once the case was erased."""
    erased_at: datetime | None = None
    """When the content of the case was erased. Ids, status and times stay."""
    plan: list[PlannedUndo] = []
    """What a rollback would undo, oldest first."""
    rollback: RollbackAsked | None = None
    resubmit_at: datetime | None = None
    """When the next round of the case starts automatically; None if no round does."""

    @field_validator("plan", mode="before")
    @classmethod
    def _unplanned(cls, stored: Any) -> Any:
        return stored or []

    @property
    def conductor(self) -> str:
        """Return the id of the Workflow that runs the case."""
        return self.workflow_id or self.case_id


class NewCaseRow(BaseModel):
    """The values of a new case row."""

    case_id: str
    process: str
    reference: str
    reference_key: str
    round: int = 1
    resubmits: str | None = None
    parent: str | None = None
    title: str
    requester: str
    on_behalf_of: str | None = None
    asked_for: list[str] = []
    priority: int = 3
    batch_id: str | None = None
    policy_hash: str
    input: dict[str, Any]
    """The validated input as JSON."""
    start_at: datetime | None = None
    submitted_at: datetime
    idempotency_key: str | None = None
    salt: str | None = None
    """See `CaseInput.salt`."""


class CaseFilter(TypedDict, total=False):
    """The filters of a list of cases. A filter that is None does not restrict the list."""

    process: str | None
    status: str | None
    batch_id: str | None
    requester: str | None
    """The requester, or the person for whom a service account asks."""
    requesters: Sequence[str] | None
    """The ids of requesters: the list shows cases of any of them, and cases that service accounts asked for them."""
    ended: bool | None
    """True for cases that have ended, False for cases that have not ended."""
    q: str | None
    """Search words: each of them must be in the title, the reference or the case id."""


class OtherStart(Exception):
    """Raised if a Workflow shows a start input with which Holdgate did not start it."""


class CaseExists(Exception):
    """Raised if the process has a case with this reference and round, or the idempotency key was used.

    `existing` is that case.
    """

    def __init__(self, existing: CaseRow) -> None:
        super().__init__(f"{existing.case_id} exists already, it is {existing.status}")
        self.existing = existing


# ------------------------------------------------------------------------------------------------------------- writing


async def insert(conn: AsyncConnection, new: NewCaseRow, event: CaseEvent) -> CaseRow:
    """Store a new case with the status `starting` and its first event, and return its row. Raises CaseExists."""
    row = _row(new)
    if not await insert_once(conn, cases, row):
        same_key = cases.c.idempotency_key == new.idempotency_key
        query = select(cases).where(or_(cases.c.case_id == new.case_id, same_key))
        found = await _found(conn, query.order_by((cases.c.case_id == new.case_id).desc()).limit(1))
        raise CaseExists(found[0])
    await requesters.add(conn, {new.case_id: new.asked_for})
    heads = await audit_log.begin(conn, [event])
    head = heads[new.case_id]
    return CaseRow.model_validate(row | {"head_count": head.count, "head_hash": head.hash})


async def insert_many(conn: AsyncConnection, new: Sequence[tuple[NewCaseRow, CaseEvent]]) -> dict[str, CaseRow | None]:
    """Store many cases like `insert`.

    Return a dict by case id: the existing row if the case existed before, None if the case is new.
    """
    # Always in the same order, so that two imports of the same rows wait for each other instead of deadlocking.
    rows = {case.case_id: _row(case) for case, _ in sorted(new, key=lambda pair: pair[0].case_id)}
    if not rows:
        return {}
    added = set((await conn.execute(_INSERT_NEW, list(rows.values()))).scalars())
    first = {event.case_id: event for _, event in new if event.case_id in added}
    await requesters.add(conn, {case.case_id: case.asked_for for case, _ in new if case.case_id in added})
    await audit_log.begin(conn, list(first.values()))
    existing = [case_id for case_id in rows if case_id not in added]
    found = await _found(conn, select(cases).where(cases.c.case_id.in_(existing))) if existing else []
    return dict.fromkeys(rows) | {row.case_id: row for row in found}


async def mark_running(conn: AsyncConnection, case_ids: Sequence[str], status: Status) -> None:
    """Store that the Workflows of these cases run, with this status, unless a later status is stored."""
    running = {"status": status, "updated_at": datetime.now(UTC)}
    await conn.execute(_MARK_RUNNING, {"case_ids": case_ids, **running})


async def record(conn: AsyncConnection, record: CaseRecord) -> Written:
    """Store what a Workflow reports: events, tasks, decisions and status. Return the head of the case's chain.

    Writing the same report again changes nothing, even if the case continued since. A closed case stays closed, even if
    a worker that does not know of the end reports progress. The return value then contains the stored end. Raises
    `audit.UnknownCase` when the case has no row, and OtherStart when the row belongs to another start input.
    """
    if record.start is not None:
        await _check_start(conn, record, record.start.digest)
    events = await audit_log.prepare(conn, record.events) if record.events else None
    head = events.head if events else await _head(conn, record.case_id)
    await tasks.record_decisions(conn, record.decisions, record.case_id)
    await tasks.withdraw(conn, record.withdrawn)
    await actions.record_results(conn, record.actions, record.case_id)
    await proofs.add(conn, record.proofs, record.case_id)
    moved = (events is None or events.added > 0) and await _move(conn, record, head)
    if moved:
        await tasks.open_all(conn, record.opened)
        await tasks.patch_all(conn, record.patched, record.case_id)
        if record.status.closed:
            await tasks.close_remaining(conn, record.case_id, record.events[-1].at)
    if events:
        await events.write()
    if not moved:
        case = await get(conn, record.case_id)
        taken_over = case is not None and case.workflow_id != record.workflow_id
        ended = case.result if case and (case.closed_at or taken_over) else None
        return Written(count=head.count, hash=head.hash, ended=ended, taken_over=taken_over)
    if record.status.closed:
        await durations.note(conn, record.case_id, record.status, record.events[-1].at)
    return Written(count=head.count, hash=head.hash)


async def _check_start(conn: AsyncConnection, record: CaseRecord, digest: str) -> None:
    """Raise OtherStart unless the row has this digest, and this Workflow. A case without a row is no matter of this
    function.

    If a rollback has taken over the case, the case's own Workflow gets OtherStart, too. Such a Workflow has written
    nothing so far, and nothing shows that Holdgate started it, so it must not add events.
    """
    found = (await conn.execute(_START_OF, {"of_case": record.case_id})).one_or_none()
    if found is not None and (found.start_digest, found.workflow_id) != (digest, record.workflow_id):
        raise OtherStart(record.case_id)


async def _move(conn: AsyncConnection, record: CaseRecord, head: ChainHead) -> bool:
    """Store the new status of the case, and its result if the case has ended.

    Return False if the case had ended before, or if another Workflow runs the case.

    Only the Workflow that runs the case changes its status. After a rollback took over, the earlier Workflow only adds
    events.
    """
    at = record.events[-1].at if record.events else datetime.now(UTC)
    values: dict[str, Any] = {"status": record.status, "updated_at": at}
    if record.status.closed:
        values["closed_at"] = at
    if record.input is not None:
        values |= {"input": record.input, "title": record.title, "words": _words(record.case_id, record.title or "")}
    if record.plan is not None:
        stored = (await conn.execute(_LOCK_PLAN, {"of_case": record.case_id})).one()
        plan = updated([PlannedUndo.model_validate(each) for each in stored.plan or ()], record.plan, record.gone)
        values["plan"] = [undo.model_dump(mode="json") for undo in plan]
        if not record.events and stored.status != Status.STARTING:
            values["status"] = stored.status  # The plan before a local step may arrive after the gate of a branch.
    if record.result and record.result.resubmit_after is not None:
        values["resubmit_at"] = at + record.result.resubmit_after
    if record.result:
        values["result"] = record.result.model_copy(update={"audit": head}).model_dump(mode="json")
    its = {"of_case": record.case_id, "of_workflow": record.workflow_id}
    return (await conn.execute(_MOVE, its | values)).rowcount > 0


_START_OF = prepared(select(cases.c.start_digest, cases.c.workflow_id).where(cases.c.case_id == bindparam("of_case")))
_INSERT_NEW = prepared_insert(cases, lambda new: new.on_conflict_do_nothing().returning(cases.c.case_id))
_MARK_RUNNING = prepared(
    update(cases).where(cases.c.case_id.in_(bindparam("case_ids", expanding=True)), cases.c.status == Status.STARTING)
)
_LOCK_PLAN = prepared(
    select(cases.c.plan, cases.c.status).where(cases.c.case_id == bindparam("of_case")).with_for_update()
)
_MOVE = prepared(
    update(cases)
    .where(cases.c.case_id == bindparam("of_case"), cases.c.closed_at.is_(None))
    .where(cases.c.workflow_id.is_not_distinct_from(bindparam("of_workflow")))
)


async def link_next_round(conn: AsyncConnection, new: NewCaseRow) -> None:
    """Add an event to the case of the previous round that names this new case, and cancel the automatic next round of
    that case.
    """
    assert new.resubmits is not None
    event = CaseEvent(
        event_id=f"{new.case_id}/resubmits",
        case_id=new.resubmits,
        at=new.submitted_at,
        kind="case_resubmitted",
        actor=new.requester,
        summary=f"Submitted again as round {new.round}",
        data={"case_id": new.case_id, "round": new.round},
    )
    await audit_log.append(conn, [event])
    await cancel_resubmit(conn, new.resubmits)


async def cancel_resubmit(conn: AsyncConnection, case_id: str) -> None:
    """Cancel the automatic start of the next round of a case."""
    await conn.execute(update(cases).where(cases.c.case_id == case_id).values(resubmit_at=None))


# ------------------------------------------------------------------------------------------------------------- reading


async def get(conn: AsyncConnection, case_id: str) -> CaseRow | None:
    """Return the case with this id, or None."""
    return await _one(conn, _OF_ID, {"of_case": case_id})


async def conducted_by(conn: AsyncConnection, workflow_id: str) -> CaseRow | None:
    """Return the open case that this Workflow runs; None without one, or if the start is not confirmed yet."""
    own = (cases.c.case_id == workflow_id) & cases.c.workflow_id.is_(None)
    has = or_(own, cases.c.workflow_id == workflow_id)
    return await _one(conn, select(cases).where(has, cases.c.closed_at.is_(None), cases.c.status != Status.STARTING))


async def of_workflow(conn: AsyncConnection, workflow_id: str) -> CaseRow | None:
    """Return the case that this Workflow runs or ran, in any status; None without one."""
    case_id = workflow_id.partition(f"~{ROLLBACK}")[0]
    return await _one(conn, select(cases).where(cases.c.case_id == case_id))


async def open_after(conn: AsyncConnection, case_id: str, limit: int) -> list[CaseRow]:
    """Return open cases whose Workflow has started, after this id in the order of ids."""
    query = select(cases).where(
        cases.c.case_id > case_id, cases.c.closed_at.is_(None), cases.c.status != Status.STARTING
    )
    return await _found(conn, query.order_by(cases.c.case_id).limit(limit))


async def by_idempotency_key(conn: AsyncConnection, key: str) -> CaseRow | None:
    """Return the case that was created with this key; None without one."""
    return await _one(conn, _OF_IDEMPOTENCY_KEY, {"of_key": key})


async def latest_round(conn: AsyncConnection, process: str, reference_key: str) -> CaseRow | None:
    """Return the newest case of a reference, or None."""
    return await _one(conn, _LATEST_ROUND, {"of_process": process, "of_reference": reference_key})


async def children_of(conn: AsyncConnection, case_id: str) -> list[CaseRow]:
    """Return the child cases of a case, oldest first."""
    return await _found(conn, select(cases).where(cases.c.parent == case_id).order_by(cases.c.submitted_at))


async def unstarted(
    conn: AsyncConnection, older_than: datetime, limit: int, after: CaseRow | None = None
) -> list[CaseRow]:
    """Return cases submitted before `older_than` whose Workflow start is not confirmed, oldest first after `after`."""
    query = select(cases).where(cases.c.status == Status.STARTING, cases.c.submitted_at < older_than)
    if after is not None:
        place = tuple_(literal(after.submitted_at, Instant), literal(after.case_id))
        query = query.where(tuple_(cases.c.submitted_at, cases.c.case_id) > place)
    return await _found(conn, query.order_by(cases.c.submitted_at, cases.c.case_id).limit(limit))


async def next_round(conn: AsyncConnection, case: CaseRow) -> str | None:
    """Return the id of the case that submits this case again; None without one."""
    following = (cases.c.reference_key == case.reference_key, cases.c.round == case.round + 1)
    query = select(cases.c.case_id).where(cases.c.process == case.process, *following)
    found: str | None = await conn.scalar(query)
    return found


async def with_next_round(conn: AsyncConnection, rows: Sequence[CaseRow]) -> set[str]:
    """Return the ids of the cases in `rows` that were submitted again."""
    again = select(cases.c.resubmits).where(cases.c.resubmits.in_([row.case_id for row in rows]))
    return {case_id for case_id in (await conn.execute(again)).scalars() if case_id}


async def to_resubmit(conn: AsyncConnection, at: datetime, limit: int, after: str = "") -> list[CaseRow]:
    """Return the cases whose next round has to start automatically by `at`, in the order of ids after `after`."""
    query = select(cases).where(cases.c.resubmit_at <= at, cases.c.case_id > after).order_by(cases.c.case_id)
    return await _found(conn, query.limit(limit))


async def may_see(conn: AsyncConnection, viewer: Viewer, case_id: str) -> bool:
    """Return True if the viewer may see the case; False also when the case does not exist."""
    seen = select(cases.c.case_id).where(cases.c.case_id == case_id, _seen_by(viewer))
    return (await conn.execute(seen)).first() is not None


async def page(
    conn: AsyncConnection,
    viewer: Viewer,
    *,
    cursor: str | None = None,
    limit: int = 50,
    **sought: Unpack[CaseFilter],
) -> tuple[list[CaseRow], str | None]:
    """Return one page of the cases that the viewer may see, newest first, and the cursor of the next page.

    Raises ValueError for a cursor of another list.
    """
    query = narrowed(select(cases), viewer, sought)
    key = tuple_(cases.c.submitted_at, cases.c.case_id)
    if cursor:
        at, case_id = cursors.decode(cursor, datetime, str)
        query = query.where(key < tuple_(literal(at, Instant), literal(case_id, String)))
    # One more than requested shows whether there is a next page.
    query = query.order_by(cases.c.submitted_at.desc(), cases.c.case_id.desc()).limit(limit + 1)
    found = await _found(conn, query)
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], cursors.encode(last.submitted_at, last.case_id)


def narrowed(query: Select[Any], viewer: Viewer, sought: CaseFilter) -> Select[Any]:
    """Restrict the query to cases that the viewer may see and that match the filter."""
    query = query.where(_seen_by(viewer))
    for column in (cases.c.process, cases.c.status, cases.c.batch_id):
        if wanted := sought.get(column.name):
            query = query.where(column == wanted)
    if one := sought.get("requester"):
        query = query.where(or_(cases.c.requester == one, cases.c.on_behalf_of == one))
    if (several := sought.get("requesters")) is not None:
        query = query.where(or_(cases.c.requester.in_(several), cases.c.on_behalf_of.in_(several)))
    if (ended := sought.get("ended")) is not None:
        query = query.where(cases.c.closed_at.is_not(None) if ended else cases.c.closed_at.is_(None))
    if q := sought.get("q"):
        query = query.where(words_say(cases.c.words, q))
    return query


def _seen_by(viewer: Viewer) -> ColumnElement[bool]:
    return viewer.sees(cases.c.case_id, cases.c.process, cases.c.requester)


async def _head(conn: AsyncConnection, case_id: str) -> ChainHead:
    query = select(cases.c.head_count, cases.c.head_hash).where(cases.c.case_id == case_id)
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise audit_log.UnknownCase(f"there is no case {case_id}")
    return ChainHead(count=row.head_count, hash=row.head_hash)


async def _found(conn: AsyncConnection, query: Any, parameters: Any = None) -> list[CaseRow]:
    return [CaseRow.model_validate(row) for row in await conn.execute(query, parameters)]


async def _one(conn: AsyncConnection, query: Any, parameters: Any = None) -> CaseRow | None:
    found = await _found(conn, query, parameters)
    return found[0] if found else None


_OF_ID = prepared(select(cases).where(cases.c.case_id == bindparam("of_case")))
_OF_IDEMPOTENCY_KEY = prepared(select(cases).where(cases.c.idempotency_key == bindparam("of_key")))
_LATEST_ROUND = prepared(
    select(cases)
    .where(cases.c.process == bindparam("of_process"), cases.c.reference_key == bindparam("of_reference"))
    .order_by(cases.c.round.desc())
    .limit(1)
)


def _row(new: NewCaseRow) -> dict[str, Any]:
    known = new.model_dump()
    made = {"head_count": 0, "head_hash": "", "words": _words(new.case_id, new.title)}
    return (
        known
        | made
        | {"start_digest": start_digest(known)}
        | {"status": Status.STARTING, "updated_at": new.submitted_at}
    )


def _words(case_id: str, title: str) -> str:
    return fit(search_words(case_id, title), cases.c.words)
