"""Ways back: what a case would undo, rollbacks after the end, rounds that come by themselves; closed books."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TO_COME = sa.text("resubmit_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("cases", sa.Column("workflow_id", sa.String(length=1000), nullable=True))
    op.add_column("cases", sa.Column("plan", sa.JSON(), nullable=True))
    op.add_column("cases", sa.Column("rollback", sa.JSON(), nullable=True))
    op.add_column("cases", sa.Column("resubmit_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_cases_resubmit", "cases", ["resubmit_at"], sqlite_where=TO_COME, postgresql_where=TO_COME)
    op.add_column("accounts", sa.Column("closed_until", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("accounts", "closed_until")
    op.drop_index("ix_cases_resubmit", "cases")
    for column in ("resubmit_at", "rollback", "plan", "workflow_id"):
        op.drop_column("cases", column)
