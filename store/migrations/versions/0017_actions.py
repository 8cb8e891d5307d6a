"""Actions that no worker answered, so that each can be found; and when a task's place in lists moved."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "actions",
        sa.Column("action_id", sa.String(length=80), nullable=False),
        sa.Column("task_id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("act", sa.String(length=20), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("refusal", sa.Text(), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("action_id"),
    )
    op.create_index("ix_actions_task", "actions", ["task_id", "person"])
    moved = sa.text("moved_at IS NOT NULL")
    op.add_column("tasks", sa.Column("moved_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_tasks_moved", "tasks", ["moved_at"], sqlite_where=moved, postgresql_where=moved)


def downgrade() -> None:
    op.drop_index("ix_tasks_moved", "tasks")
    op.drop_column("tasks", "moved_at")
    op.drop_index("ix_actions_task", "actions")
    op.drop_table("actions")
