"""Inboxes of many open tasks: which candidates are of cases that go on, and the open tasks by priority and requester."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

OPEN = sa.text("status = 'open'")
LIVE = sa.text("live")


def upgrade() -> None:
    op.add_column("candidates", sa.Column("live", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.execute(
        "UPDATE candidates SET live = false WHERE task_id IN (SELECT tasks.task_id FROM tasks"
        " JOIN cases ON cases.case_id = tasks.case_id WHERE cases.closed_at IS NOT NULL)"
    )
    op.create_index(
        "ix_candidates_live", "candidates", ["kind", "name", "task_id"], sqlite_where=LIVE, postgresql_where=LIVE
    )
    op.create_index("ix_tasks_priority", "tasks", ["priority", "task_id"], sqlite_where=OPEN, postgresql_where=OPEN)
    op.create_index(
        "ix_tasks_requester", "tasks", ["requester", "due_at", "task_id"], sqlite_where=OPEN, postgresql_where=OPEN
    )


def downgrade() -> None:
    op.drop_index("ix_tasks_requester", "tasks")
    op.drop_index("ix_tasks_priority", "tasks")
    op.drop_index("ix_candidates_live", "candidates")
    op.drop_column("candidates", "live")
