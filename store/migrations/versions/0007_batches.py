"""Batches: how a file was read, and with each row what its case starts with."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None

_NEW: dict[str, list[sa.Column[Any]]] = {
    "batches": [
        sa.Column("skipped", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("blank", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("format", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("mapping", sa.JSON(), nullable=True),
    ],
    "batch_rows": [
        sa.Column("changes", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("process", sa.String(length=60), nullable=False, server_default=""),
        sa.Column("priority", sa.Integer(), nullable=True),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resubmits", sa.String(length=900), nullable=True),
        sa.Column("input", sa.JSON(), nullable=True),
    ],
}


def upgrade() -> None:
    for table, columns in _NEW.items():
        for column in columns:
            op.add_column(table, column)
    op.create_index("ix_batch_rows_case", "batch_rows", ["case_id"])
    # An import asks again and again how many of its cases are on their way.
    op.drop_index("ix_cases_batch", "cases")
    op.create_index("ix_cases_batch", "cases", ["batch_id", "status"])
    # Without it each page of a list or an export of a batch of 100,000 cases would sort them all.
    op.create_index("ix_cases_batch_newest", "cases", ["batch_id", "submitted_at", "case_id"])


def downgrade() -> None:
    op.drop_index("ix_cases_batch_newest", "cases")
    op.drop_index("ix_cases_batch", "cases")
    op.create_index("ix_cases_batch", "cases", ["batch_id"])
    op.drop_index("ix_batch_rows_case", "batch_rows")
    for table, columns in _NEW.items():
        for column in columns:
            op.drop_column(table, column.name)
