"""Each transaction seals the rows it writes, so that rows which were edited in the database are found.

Rows that are there already are sealed as they are, by `store.db.database.migrate`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "seals",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=False, nullable=False),
        sa.Column("case_id", sa.String(900), nullable=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("salt", sa.String(64), nullable=True),
        sa.Column("rows", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_seals"),
    )
    op.create_index("ix_seals_case_id", "seals", ["case_id"])
    with op.batch_alter_table("chain") as table:
        table.add_column(sa.Column("seals", sa.BigInteger, nullable=False, server_default="0"))
        table.add_column(sa.Column("seals_hash", sa.String(64), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("chain") as table:
        table.drop_column("seals_hash")
        table.drop_column("seals")
    op.drop_table("seals")
