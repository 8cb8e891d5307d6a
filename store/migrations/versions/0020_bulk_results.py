"""What became of many tasks that were decided at once."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bulk_results",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("results", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_results")),
    )
    op.create_index(op.f("ix_bulk_results_at"), "bulk_results", ["at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_bulk_results_at"), table_name="bulk_results")
    op.drop_table("bulk_results")
