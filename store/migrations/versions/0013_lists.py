"""Lists of tasks: what they are searched, grouped and summed by, in columns of its own."""

import re
from typing import Any
from urllib.parse import unquote

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

AT_ONCE = 1000
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,18})?")
_COLUMNS = {
    "subject": sa.Column("subject", sa.String(length=200), nullable=False, server_default=""),
    "amount": sa.Column("amount", sa.String(length=60), nullable=True),
    "currency": sa.Column("currency", sa.String(length=20), nullable=True),
    "words": sa.Column("words", sa.String(length=400), nullable=False, server_default=""),
}
_INDEXES = {
    "ix_tasks_priority": ["status", "priority", "task_id"],
    "ix_tasks_requester": ["status", "requester", "task_id"],
    "ix_tasks_subject": ["status", "subject", "task_id"],
    "ix_tasks_words": ["status", "words", "task_id"],
}


def upgrade() -> None:
    for column in _COLUMNS.values():
        op.add_column("tasks", column)
    _fill()
    for name, columns in _INDEXES.items():
        op.create_index(name, "tasks", columns)
    # Most tasks are claimed by nobody: with all of them in it, a database that counts thinks the index is no help.
    op.drop_index("ix_tasks_assignee", "tasks")
    claimed = sa.text("assignee IS NOT NULL")
    op.create_index("ix_tasks_assignee", "tasks", ["assignee"], sqlite_where=claimed, postgresql_where=claimed)


def downgrade() -> None:
    op.drop_index("ix_tasks_assignee", "tasks")
    op.create_index("ix_tasks_assignee", "tasks", ["assignee"])
    for name in _INDEXES:
        op.drop_index(name, "tasks")
    for name in _COLUMNS:
        op.drop_column("tasks", name)


def _fill() -> None:
    tasks = sa.table(
        "tasks",
        *(sa.column(name, sa.String()) for name in ("task_id", "case_id", "title", *_COLUMNS)),
        *(sa.column(name, sa.JSON()) for name in ("view", "state")),
    )
    filled = sa.update(tasks).where(tasks.c.task_id == sa.bindparam("of_task"))
    filled = filled.values({name: sa.bindparam(f"new_{name}") for name in _COLUMNS})
    after = ""
    while True:
        query = sa.select(tasks.c.task_id, tasks.c.case_id, tasks.c.title, tasks.c.view, tasks.c.state)
        query = query.where(tasks.c.task_id > after).order_by(tasks.c.task_id).limit(AT_ONCE)
        rows = op.get_bind().execute(query).all()
        if not rows:
            return
        after = rows[-1].task_id
        op.get_bind().execute(filled, [{"of_task": row.task_id, **_new(row)} for row in rows])


def _new(row: Any) -> dict[str, str | None]:
    shown = row.view | (row.state or {})
    # Tasks of older code do not say what is money of their input. Payments were all that had any, under these names.
    amount, currency = (shown.get("input", {}).get(name) for name in ("amount", "currency"))
    both = isinstance(amount, str) and isinstance(currency, str) and bool(_NUMBER.fullmatch(amount))
    return {
        "new_subject": next(iter(shown.get("key_fields", {}).values()), "")[:200],
        "new_amount": amount if both else None,
        "new_currency": currency[:20] if both else None,
        "new_words": f"{unquote(row.case_id)} {shown.get('title', row.title)}".lower()[:400],
    }
