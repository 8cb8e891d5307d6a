"""The dashboard: when each case first ended and how long it took, and indexes that hold all it counts."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None

_NEW = (
    sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
    sa.Column("ended_as", sa.String(length=30), nullable=True),
    sa.Column("took_ms", sa.BigInteger(), nullable=True),
    sa.Column("waited_ms", sa.BigInteger(), nullable=True),
)
_OPEN = ["process", "gate", "due_at", "opened_at"]
_AT_ONCE = 1_000


def upgrade() -> None:
    for column in _NEW:
        op.add_column("cases", column)
    _note_ends()
    op.drop_index("ix_cases_status", "cases")
    op.create_index("ix_cases_status", "cases", ["status", "submitted_at", "requester"])
    ended = ["ended_at", "ended_as", "status", "took_ms", "waited_ms", "requester"]
    _index("ix_cases_ended", "cases", ended, "ended_at IS NOT NULL")
    _index("ix_cases_taken_back", "cases", ["closed_at", "requester", "case_id"], "status = 'rolled_back'")
    op.drop_index("ix_tasks_open", "tasks")
    op.add_column("tasks", sa.Column("asked", sa.Text(), nullable=False, server_default=""))
    _note_groups()
    _index("ix_tasks_open", "tasks", [*_OPEN, "asked"], "status = 'open'")
    _index("ix_tasks_incidents", "tasks", ["process", "opened_at"], "status = 'open' AND kind = 'intervention'")
    closed = ["closed_at", "process", "gate", "kind", "outcome", "due_at", "asked"]
    _index("ix_tasks_closed", "tasks", closed, "closed_at IS NOT NULL")
    op.create_index("ix_decisions_at", "decisions", ["at", "status", "person", "verdict"])


def downgrade() -> None:
    op.drop_index("ix_decisions_at", "decisions")
    for index in ("ix_tasks_closed", "ix_tasks_incidents", "ix_tasks_open"):
        op.drop_index(index, "tasks")
    _index("ix_tasks_open", "tasks", _OPEN, "status = 'open'")
    op.drop_column("tasks", "asked")
    for index in ("ix_cases_taken_back", "ix_cases_ended"):
        op.drop_index(index, "cases")
    op.drop_index("ix_cases_status", "cases")
    op.create_index("ix_cases_status", "cases", ["status", "submitted_at"])
    for column in reversed(_NEW):
        op.drop_column("cases", column.name)


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _note_groups() -> None:
    """The groups that each task asks, in the task itself."""
    candidates = sa.table("candidates", *(sa.column(name) for name in ("task_id", "kind", "name")))
    tasks = sa.table("tasks", sa.column("task_id"), sa.column("asked"))
    note = sa.update(tasks).where(tasks.c.task_id == sa.bindparam("of")).values(asked=sa.bindparam("groups"))
    ids = sa.select(tasks.c.task_id).order_by(tasks.c.task_id).limit(_AT_ONCE)
    conn, last = op.get_bind(), ""
    while found := list(conn.execute(ids.where(tasks.c.task_id > last)).scalars()):
        last, groups = found[-1], dict[str, list[str]]()
        named = sa.select(candidates.c.task_id, candidates.c.name).where(candidates.c.kind == "group")
        for task_id, name in conn.execute(named.where(candidates.c.task_id.in_(found))):
            groups.setdefault(task_id, []).append(name)
        notes = [{"of": task_id, "groups": ",".join(sorted(names))} for task_id, names in groups.items()]
        if notes:
            conn.execute(note, notes)


def _note_ends() -> None:
    """What `store.cases.durations` notes of a case as it ends, for those that have ended before there was such a note.

    The first end is the first event that says so. Of a scheduled case the scheduled time stands for its beginning.
    """
    at = sa.DateTime(timezone=True)
    cases = sa.table(
        "cases",
        *(sa.column(name) for name in ("case_id", "status", "rollback", "ended_as", "took_ms", "waited_ms")),
        *(sa.column(name, at) for name in ("submitted_at", "start_at", "closed_at", "ended_at")),
    )
    tasks = sa.table("tasks", sa.column("case_id"), sa.column("opened_at", at), sa.column("closed_at", at))
    events = sa.table("events", sa.column("case_id"), sa.column("kind"), sa.column("at", at))
    note = sa.update(cases).where(cases.c.case_id == sa.bindparam("of"))
    note = note.values({name: sa.bindparam(f"new_{name}") for name in ("ended_as", "took_ms", "waited_ms")})
    note = note.values(ended_at=sa.bindparam("new_ended_at", type_=at))
    closed = sa.select(cases).where(cases.c.closed_at.is_not(None)).order_by(cases.c.case_id).limit(_AT_ONCE)
    conn, last = op.get_bind(), ""
    while found := conn.execute(closed.where(cases.c.case_id > last)).all():
        last, ids = found[-1].case_id, [row.case_id for row in found]
        taken_back = [row.case_id for row in found if row.status == "rolled_back"]
        first = sa.select(events.c.case_id, sa.func.min(events.c.at, type_=at)).group_by(events.c.case_id)
        first = first.where(events.c.case_id.in_(taken_back), events.c.kind == "case_closed")
        ends = {row[0]: row[1] for row in conn.execute(first)}
        spans: dict[str, list[tuple[datetime, datetime | None]]] = {case_id: [] for case_id in ids}
        for row in conn.execute(sa.select(tasks).where(tasks.c.case_id.in_(ids))):
            spans[row.case_id].append((row.opened_at, row.closed_at))
        notes = []
        for row in found:
            ended = ends.get(row.case_id, row.closed_at)
            began = max(row.submitted_at, min(row.start_at or row.submitted_at, ended))
            notes.append(
                {
                    "of": row.case_id,
                    "new_ended_at": ended,
                    "new_ended_as": "completed" if row.case_id in ends else row.status,
                    "new_took_ms": max(ended - began, timedelta()) // timedelta(milliseconds=1),
                    "new_waited_ms": _waited(spans[row.case_id], began, ended) // timedelta(milliseconds=1),
                }
            )
        conn.execute(note, notes)


def _waited(spans: Iterable[tuple[datetime, datetime | None]], began: datetime, ended: datetime) -> timedelta:
    """For how long at least one task was open."""
    waited, reached = timedelta(), began
    for opened, closed in sorted((opened, min(closed or ended, ended)) for opened, closed in spans):
        if closed > reached:
            waited += closed - max(opened, reached)
            reached = closed
    return waited
