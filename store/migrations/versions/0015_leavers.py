"""Leavers and their successors; gates that are still to be told that people changed."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("people", sa.Column("successor", sa.String(length=200), nullable=True))
    op.create_index("ix_people_successor", "people", ["successor"])
    for name in ("begin_told", "end_told"):
        op.add_column("absences", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "recounts",
        sa.Column("task_id", sa.String(length=40), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.task_id"], name="fk_recounts_task_id"),
        sa.PrimaryKeyConstraint("task_id", name="pk_recounts"),
    )
    op.create_index("ix_recounts_told_next_at", "recounts", ["told", "next_at"])
    # The second look begins where the first one is.
    op.execute(
        "INSERT INTO readers (name, position) SELECT 'people-again', position FROM readers WHERE name = 'people'"
    )


def downgrade() -> None:
    op.execute("DELETE FROM readers WHERE name = 'people-again'")
    op.drop_table("recounts")
    for name in ("begin_told", "end_told"):
        op.drop_column("absences", name)
    op.drop_index("ix_people_successor", "people")
    op.drop_column("people", "successor")
