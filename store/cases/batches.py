"""Uploaded files (batches) and their rows.

A batch is received row by row and becomes visible in one transaction at the end. A row's outcome is then `valid`,
`invalid`, `duplicate` or `skipped`. A valid row ends as `started`, `duplicate` (another request used the reference
first) or `failed`. A row changes from `valid` to another outcome and never back, so every step of an import may run
twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, computed_field
from sqlalchemy import (
    Select,
    String,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    null,
    or_,
    select,
    tuple_,
    update,
)

from domain.base import FieldProblem
from domain.batch import BatchCounts
from domain.scope import Reach
from domain.state_words import state
from store.cases.erased_files import not_any_more
from store.cases.visibility import Viewer, uploads_within
from store.db import cursor as cursors
from store.db.connection import AsyncConnection as AsyncConnection
from store.tables.base import Instant
from store.tables.cases import batch_requesters, batch_rows, batches, cases

BatchStatus = Literal["receiving", "starting", "running", "paused", "cancelling", "completed", "cancelled", "failed"]
"""The status of a batch. `receiving`: its rows are still being stored, and the upload is not confirmed yet."""
RowOutcome = Literal["valid", "invalid", "duplicate", "started", "failed", "skipped"]

_CHUNK = 500
"""The maximum number of keys in one IN list.

SQLite accepts 32,766 variables, and a query with thousands of variables is slow.
"""


class Change(BaseModel):
    """A field in which a duplicate row differs from the existing case, with the value of the case and of the row."""

    field: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.field} {self.before} → {self.after}"


class BatchRow(BaseModel):
    """One row of an uploaded file and the outcome of the row."""

    line: int
    reference: str
    outcome: RowOutcome
    process: str = ""
    """The process of the row's case."""
    case_id: str | None = None
    """The id of the row's case; for a duplicate, of the existing case.

    If this case is of another person, the id of its first round.
    """
    case_status: str | None = None
    """The status of the row's case; None without a case.

    The status is also None for a duplicate of another person's case: only the use of the reference is disclosed then.
    """
    differs: list[str] = []
    """For a duplicate: the fields that differ from the existing case."""
    changes: list[Change] = []
    """For a duplicate: the fields in `differs`, with the values of the case and of the row."""
    errors: list[FieldProblem] = []
    """The errors of an invalid or failed row. For a skipped row: why the row was skipped."""
    above: int | None = None
    """For a duplicate of another row of the file: the line of that row."""
    resubmits: str | None = None
    """The earlier case that this row submits again; for a duplicate: the case that it could submit again."""
    not_again: str | None = None
    """For a duplicate of a case that ended without effect: why that case cannot be submitted again."""
    start_at: datetime | None = None

    @property
    def taken(self) -> bool:
        """Return True if the row is a duplicate of a case that belongs to another person."""
        return self.outcome == "duplicate" and self.above is None and self.case_status is None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def says(self) -> str:
        """Return a sentence about the case whose reference a duplicate row has, or that a row submits again."""
        if self.outcome != "duplicate":
            return f"submits {self.resubmits} again" if self.resubmits else ""
        if self.taken:
            return "the reference belongs to a case of another person"
        parts = [f"differs: {', '.join(map(str, self.changes)) or ', '.join(self.differs)}" if self.differs else "same"]
        if self.above is not None:
            parts.append(f"same reference as line {self.above} of this file")
        elif self.case_status:
            parts.append(f"the case is {state(self.case_status).lower()}")
        if self.resubmits and self.resubmits == self.case_id:
            parts.append("can be submitted again as the next round")
        elif self.not_again:
            parts.append(f"cannot be submitted again: {self.not_again}")
        return "; ".join(parts)


class PlannedRow(BatchRow):
    """A row that has an outcome, with the input for its case. Only a row with the outcome `valid` has an input."""

    priority: int | None = None
    input: dict[str, Any] | None = None


class Batch(BaseModel):
    """One uploaded file."""

    batch_id: str
    process: str
    filename: str
    sha256: str
    path: str
    same_file_as: str | None
    requester: str
    on_behalf_of: str | None = None
    """The person for whom a service account uploaded the file."""
    asked_for: list[str] = []
    """The people who count as requester of the cases of the file, beside `requester`: see `CaseInput.asked_for`."""
    policy_hash: str
    status: BatchStatus
    total: int
    skipped: int = 0
    """How many lines are skipped, such as totals and hidden rows."""
    blank: int = 0
    """How many lines have only blank cells. Such lines do not count as rows."""
    ignored_columns: list[str]
    format: dict[str, Any] = {}
    """How the bytes of the file were read: kind, encoding, delimiter, sheet."""
    mapping: dict[str, Any] | None = None
    """Which columns contain which fields; None if the columns have the names of the fields and no mapping was given."""
    created_at: datetime
    closed_at: datetime | None = None
    erased_at: datetime | None = None
    """When the file, the data of the rows and the content of the cases were erased."""


class Existing(BaseModel):
    """The newest case of a reference, with the fields that are needed to report a duplicate row."""

    case_id: str
    status: str
    requester: str
    round: int
    input: dict[str, Any]
    unstarted: bool
    """True if the case ended because its Workflow, started for a row of a file, could not start."""
    erased: bool = False
    """True if the content of the case was erased, so that nobody can submit it again."""


_TAKEN = batches.c.status != "receiving"


async def receive(conn: AsyncConnection, batch: Batch) -> None:
    """Store a new batch with the status `receiving`. Call `add_rows` for its rows afterwards."""
    await conn.execute(insert(batches), batch.model_dump())
    await not_any_more(conn, f"uploads/{batch.path}")
    if batch.asked_for:
        named = [{"batch_id": batch.batch_id, "person": person} for person in batch.asked_for]
        await conn.execute(insert(batch_requesters), named)


async def add_rows(conn: AsyncConnection, batch_id: str, rows: Sequence[PlannedRow]) -> None:
    """Store rows of a batch with the status `receiving`."""
    if rows:
        values = [{"batch_id": batch_id, **row.model_dump(exclude={"case_status", "says"})} for row in rows]
        await conn.execute(insert(batch_rows), values)


async def finish_receiving(conn: AsyncConnection, batch: Batch) -> None:
    """Make a batch visible after all its rows are stored; its cases can start from now on."""
    values = batch.model_dump(include={"status", "total", "skipped", "blank", "same_file_as", "created_at"})
    await conn.execute(
        update(batches).where(batches.c.batch_id == batch.batch_id, batches.c.status == "receiving").values(values)
    )


async def unfinished(conn: AsyncConnection, before: datetime) -> list[str]:
    """Return the ids of batches that still have the status `receiving` and whose upload began before `before`."""
    query = select(batches.c.batch_id).where(batches.c.status == "receiving", batches.c.created_at < before)
    return list((await conn.execute(query)).scalars())


async def delete_unfinished(conn: AsyncConnection, batch_ids: Sequence[str]) -> None:
    """Delete the batches in `batch_ids` that still have the status `receiving`, with their rows."""
    received = select(batches.c.batch_id).where(batches.c.batch_id.in_(batch_ids), batches.c.status == "receiving")
    for table in (batch_rows, batch_requesters):
        await conn.execute(delete(table).where(table.c.batch_id.in_(received)))
    await conn.execute(delete(batches).where(batches.c.batch_id.in_(batch_ids), batches.c.status == "receiving"))


async def get(conn: AsyncConnection, batch_id: str) -> Batch | None:
    """Return the batch with this id; None if there is none, or if the batch is still being received."""
    query = select(batches).where(batches.c.batch_id == batch_id, _TAKEN)
    found = (await conn.execute(query)).mappings().first()
    return Batch.model_validate(found) if found else None


async def has_erased_case(conn: AsyncConnection, batch_id: str) -> bool:
    """Return True if the content of a case of the batch was erased."""
    query = select(cases.c.case_id).where(cases.c.batch_id == batch_id, cases.c.erased_at.is_not(None)).limit(1)
    return (await conn.execute(query)).first() is not None


async def is_within(conn: AsyncConnection, batch_id: str, reach: Reach) -> bool:
    """Return True if all rows of the batch are of these processes."""
    query = select(batches.c.batch_id).where(batches.c.batch_id == batch_id, uploads_within(reach))
    return (await conn.execute(query)).first() is not None


async def page(
    conn: AsyncConnection,
    viewer: Viewer,
    *,
    process: str | None = None,
    status: BatchStatus | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> tuple[list[Batch], str | None]:
    """Return one page of the batches that the viewer may see, newest first, and the cursor of the next page.

    Batches that are still being received are not included. Raises ValueError for a cursor of another list.
    """
    query = select(batches).where(_TAKEN)
    if not viewer.sees_all:
        theirs = select(batch_requesters.c.batch_id).where(batch_requesters.c.person.in_(viewer.asks_as))
        own = or_(batches.c.requester.in_(viewer.asks_as), batches.c.batch_id.in_(theirs))
        query = query.where(or_(own, uploads_within(viewer.scope.sees)))
    if process:
        query = query.where(batches.c.process == process)
    if status:
        query = query.where(batches.c.status == status)
    key = tuple_(batches.c.created_at, batches.c.batch_id)
    if cursor:
        at, batch_id = cursors.decode(cursor, datetime, str)
        query = query.where(key < tuple_(literal(at, Instant), literal(batch_id, String)))
    query = query.order_by(batches.c.created_at.desc(), batches.c.batch_id.desc()).limit(limit + 1)
    found = [Batch.model_validate(row) for row in (await conn.execute(query)).mappings()]
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], cursors.encode(last.created_at, last.batch_id)


async def same_file(conn: AsyncConnection, process: str, sha256: str, by: str) -> str | None:
    """Return the id of the newest batch that this person uploaded for this process with the same bytes; None without
    one.

    Batches of other people are not searched, so that their files are not disclosed.
    """
    query = (
        select(batches.c.batch_id)
        .where(batches.c.sha256 == sha256, batches.c.process == process, batches.c.requester == by, _TAKEN)
        .order_by(batches.c.created_at.desc(), batches.c.batch_id)
        .limit(1)
    )
    return (await conn.execute(query)).scalar_one_or_none()


async def existing_cases(conn: AsyncConnection, process: str, keys: Sequence[str]) -> dict[str, Existing]:
    """Return, by reference key, the newest case for each of these keys for which the process has a case."""
    found: dict[str, Existing] = {}
    failed_row = exists().where(batch_rows.c.case_id == cases.c.case_id, batch_rows.c.outcome == "failed")
    columns = (
        cases.c.reference_key,
        cases.c.case_id,
        cases.c.status,
        cases.c.requester,
        cases.c.round,
        cases.c.input,
        and_(cases.c.status == "failed", failed_row).label("unstarted"),
        cases.c.erased_at.is_not(None).label("erased"),
    )
    for chunk in _chunks(keys, _CHUNK):
        query = (
            select(*columns)
            .where(cases.c.process == process, cases.c.reference_key.in_(chunk))
            .order_by(cases.c.round)  # so that the newest round overwrites the others
        )
        for row in (await conn.execute(query)).mappings():
            found[row["reference_key"]] = Existing.model_validate(row)
    return found


async def mark_running(conn: AsyncConnection, batch_ids: Sequence[str]) -> None:
    """Store that Temporal has confirmed the start of the Workflows of these batches."""
    await conn.execute(
        update(batches)
        .where(batches.c.batch_id.in_(batch_ids), batches.c.status == "starting")
        .values(status="running")
    )


async def set_status(conn: AsyncConnection, batch_id: str, status: BatchStatus) -> None:
    """Change the status of a batch. A batch that is closed does not change."""
    await conn.execute(
        update(batches).where(batches.c.batch_id == batch_id, batches.c.closed_at.is_(None)).values(status=status)
    )


async def close(
    conn: AsyncConnection, batch_id: str, status: Literal["completed", "cancelled", "failed"], at: datetime
) -> None:
    """Close a batch with this status. Afterwards, no more rows of the batch are started."""
    await conn.execute(
        update(batches)
        .where(batches.c.batch_id == batch_id, batches.c.closed_at.is_(None))
        .values(status=status, closed_at=at)
    )


async def reopen(conn: AsyncConnection, batch_id: str) -> None:
    """Reopen a completed batch so that it can be cancelled."""
    await conn.execute(
        update(batches).where(batches.c.batch_id == batch_id, batches.c.status == "completed").values(closed_at=None)
    )


async def fail_unstarted(conn: AsyncConnection, batch_id: str, reason: str) -> None:
    """Give every row that was not started the outcome `failed` with this reason.

    Rows whose case already exists do not change.
    """
    waiting = (batch_rows.c.batch_id == batch_id, batch_rows.c.outcome == "valid")
    stored = exists().where(cases.c.case_id == batch_rows.c.case_id, cases.c.batch_id == batch_id)
    await conn.execute(update(batch_rows).where(*waiting, stored).values(outcome="started", input=null()))
    errors = [FieldProblem(column=None, message=reason).model_dump()]
    await conn.execute(
        update(batch_rows).where(*waiting).values(outcome="failed", case_id=None, errors=errors, input=null())
    )


async def unstarted(conn: AsyncConnection, older_than: datetime) -> list[Batch]:
    """Return batches stored before `older_than` for which Temporal has not confirmed the start of the Workflow, oldest
    first.
    """
    query = (
        select(batches)
        .where(batches.c.status == "starting", batches.c.created_at < older_than)
        .order_by(batches.c.created_at)
    )
    return [Batch.model_validate(row) for row in (await conn.execute(query)).mappings()]


async def under_way(conn: AsyncConnection, limit: int) -> list[Batch]:
    """Return batches that have not ended and whose Workflow has started, oldest first."""
    query = select(batches).where(batches.c.status.in_(("running", "paused", "cancelling")))
    found = (await conn.execute(query.order_by(batches.c.created_at).limit(limit))).mappings()
    return [Batch.model_validate(row) for row in found]


async def next_rows(conn: AsyncConnection, batch_id: str, limit: int) -> list[PlannedRow]:
    """Return the first rows for which no case was started yet, in file order."""
    query = (
        select(batch_rows)
        .where(batch_rows.c.batch_id == batch_id, batch_rows.c.outcome == "valid")
        .order_by(batch_rows.c.line)
        .limit(limit)
    )
    return [PlannedRow.model_validate(row) for row in (await conn.execute(query)).mappings()]


async def settle(conn: AsyncConnection, batch_id: str, rows: Sequence[BatchRow]) -> None:
    """Store the outcomes of these rows. A row whose stored outcome is not `valid` any more does not change."""
    if not rows:
        return
    await conn.execute(
        update(batch_rows)
        .where(
            batch_rows.c.batch_id == bindparam("of_batch"),
            batch_rows.c.line == bindparam("of_line"),
            batch_rows.c.outcome == "valid",
        )
        .values(
            outcome=bindparam("outcome"),
            case_id=bindparam("case_id"),
            differs=bindparam("differs"),
            changes=bindparam("changes"),
            errors=bindparam("errors"),
            input=null(),  # the case has the input now, or no case will need it
        ),
        [
            {
                "of_batch": batch_id,
                "of_line": row.line,
                **row.model_dump(include={"outcome", "case_id", "differs", "changes", "errors"}),
            }
            for row in rows
        ],
    )


async def counts(conn: AsyncConnection, batch_id: str) -> BatchCounts:
    """Return the number of rows by outcome, as reports show it to people."""
    query = (
        select(batch_rows.c.outcome, func.count())
        .where(batch_rows.c.batch_id == batch_id)
        .group_by(batch_rows.c.outcome)
    )
    return counted({row[0]: row[1] for row in await conn.execute(query)})


def counted(by_outcome: Mapping[str, int]) -> BatchCounts:
    """Return the counts from the numbers of rows by outcome.

    `total` = `valid` + `invalid` + `duplicate`. `valid` includes rows that were started or failed later.
    """
    ended = ("invalid", "duplicate", "started", "failed")
    number = {outcome: by_outcome.get(outcome, 0) for outcome in ended}
    valid = by_outcome.get("valid", 0) + number["started"] + number["failed"]
    return BatchCounts(total=valid + number["invalid"] + number["duplicate"], valid=valid, **number)


async def rows(
    conn: AsyncConnection,
    batch_id: str,
    outcome: RowOutcome | None = None,
    *,
    differs: bool | None = None,
    after: int = 0,
    limit: int = 50,
) -> list[BatchRow]:
    """Return rows in file order after line `after`. To get the next page, pass the line of the last row as `after`.

    If `differs` is not None, return only duplicate rows: for True, rows that differ from the existing case; for False,
    rows that do not differ.
    """
    query = _rows_of(batch_id).where(batch_rows.c.line > after).order_by(batch_rows.c.line).limit(limit)
    if outcome:
        query = query.where(batch_rows.c.outcome == outcome)
    if differs is not None:
        query = query.where(batch_rows.c.outcome == "duplicate", _DIFFERS if differs else not_(_DIFFERS))
    return [BatchRow.model_validate(row) for row in (await conn.execute(query)).mappings()]


async def duplicates(conn: AsyncConnection, batch_id: str, limit: int) -> list[BatchRow]:
    """Return the first duplicate rows; those that differ from the existing case come first."""
    differ_first = case((_DIFFERS, 0), else_=1)
    query = _rows_of(batch_id).where(batch_rows.c.outcome == "duplicate").order_by(differ_first, batch_rows.c.line)
    return [BatchRow.model_validate(row) for row in (await conn.execute(query.limit(limit))).mappings()]


async def resubmittable(conn: AsyncConnection, batch_id: str) -> int:
    """Return the number of duplicate rows whose existing case could be submitted again.

    Whether a case could be submitted again was found out when the file was received, and is not computed again here.
    """
    could = (batch_rows.c.outcome == "duplicate", batch_rows.c.resubmits == batch_rows.c.case_id)
    return (await conn.execute(select(func.count()).where(batch_rows.c.batch_id == batch_id, *could))).scalar_one()


_DIFFERS = func.json_array_length(batch_rows.c.differs) > 0


def _rows_of(batch_id: str) -> Select[Any]:
    shown = [batch_rows.c[name] for name in BatchRow.model_fields if name != "case_status"]
    own = cases.c.requester == select(batches.c.requester).where(batches.c.batch_id == batch_id).scalar_subquery()
    return (
        select(*shown, cases.c.status.label("case_status"))
        .select_from(batch_rows.outerjoin(cases, and_(cases.c.case_id == batch_rows.c.case_id, own)))
        .where(batch_rows.c.batch_id == batch_id)
    )


_ItemT = TypeVar("_ItemT")


def _chunks(items: Sequence[_ItemT], size: int) -> Iterator[Sequence[_ItemT]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
