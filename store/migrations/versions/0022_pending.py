"""Decisions and actions that still wait for a worker can be found without reading all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

PENDING = sa.text("status = 'pending'")


def upgrade() -> None:
    for table in ("decisions", "actions"):
        op.create_index(f"ix_{table}_pending", table, ["at"], sqlite_where=PENDING, postgresql_where=PENDING)


def downgrade() -> None:
    for table in ("decisions", "actions"):
        op.drop_index(f"ix_{table}_pending", table)
