"""Batches: how a file was read, and with each row what its case starts with."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None

_NEW = {
    "batches": [
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


def downgrade() -> None:
    for table, columns in _NEW.items():
        for column in columns:
            op.drop_column(table, column.name)
