"""Refusals are counted beyond the first ones; a task knows who may stand in for those who decide it."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
WAITING = sa.text("uncounted > 0")


def upgrade() -> None:
    op.create_table(
        "refusal_counts",
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("about", sa.String(length=100), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=True),
        sa.Column("listed", sa.Integer(), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("uncounted", sa.Integer(), nullable=False),
        sa.Column("first_at", MOMENT, nullable=True),
        sa.Column("last_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("person", "about", name=op.f("pk_refusal_counts")),
    )
    op.create_index(
        "ix_refusal_counts_waiting", "refusal_counts", ["first_at"], sqlite_where=WAITING, postgresql_where=WAITING
    )
    op.add_column("tasks", sa.Column("substitutes", sa.String(length=20), nullable=False, server_default="anyone"))


def downgrade() -> None:
    op.drop_column("tasks", "substitutes")
    op.drop_index("ix_refusal_counts_waiting", "refusal_counts")
    op.drop_table("refusal_counts")
