"""Sign-in for people: passwords, sessions, preferences."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "passwords",
        sa.Column("person", sa.String(length=200), sa.ForeignKey("people.id"), primary_key=True),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("temporary", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "sign_in_tries",
        sa.Column("key", sa.String(length=64), primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("hash", sa.String(length=64), primary_key=True),
        sa.Column("person", sa.String(length=200), sa.ForeignKey("people.id"), nullable=False, index=True),
        sa.Column("way", sa.String(length=20), nullable=False),
        sa.Column("agent", sa.String(length=200), nullable=False),
        sa.Column("zone", sa.String(length=60), nullable=True),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "preferences",
        sa.Column("person", sa.String(length=200), sa.ForeignKey("people.id"), primary_key=True),
        sa.Column("name", sa.String(length=40), primary_key=True),
        sa.Column("value", sa.String(length=200), nullable=False),
    )


def downgrade() -> None:
    for table in ("preferences", "sessions", "sign_in_tries", "passwords"):
        op.drop_table(table)
