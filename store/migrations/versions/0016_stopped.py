"""Workflows that cannot go on: their task fails again and again, or Temporal knows less of them than the record."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stopped",
        sa.Column("workflow_id", sa.String(length=1000), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=True),
        sa.Column("task_id", sa.String(length=40), nullable=True),
        sa.Column("status", sa.String(length=30), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("technical", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workflow_id"),
    )


def downgrade() -> None:
    op.drop_table("stopped")
