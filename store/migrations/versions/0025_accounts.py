"""Sessions end with what began them, one-time links, and what people are told of their own accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for name, kind in (
        ("former_email", sa.String(length=254)),
        ("email_set_by", sa.String(length=200)),
        ("email_set_at", sa.DateTime(timezone=True)),
    ):
        op.add_column("people", sa.Column(name, kind, nullable=True))
    op.add_column("memberships", sa.Column("added_by", sa.String(length=200), nullable=True))
    op.add_column("memberships", sa.Column("added_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("sessions", sa.Column("credential", sa.String(length=64), nullable=True))
    op.create_index("ix_sessions_credential", "sessions", ["credential"])
    op.execute("DELETE FROM sessions")  # it is not known what began them
    op.add_column("messages", sa.Column("news_id", sa.BigInteger(), nullable=True))
    op.add_column("messages", sa.Column("former", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "one_time_links",
        sa.Column("link_id", sa.String(length=40), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("way", sa.String(length=8), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("asked_by", sa.String(length=200), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_by", sa.String(length=200), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.String(length=200), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hash", sa.String(length=64), nullable=True),
        sa.Column("second_hash", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name=op.f("fk_one_time_links_person")),
        sa.PrimaryKeyConstraint("link_id", name=op.f("pk_one_time_links")),
        sa.UniqueConstraint("hash", name=op.f("uq_one_time_links_hash")),
    )
    op.create_index("ix_one_time_links_person", "one_time_links", ["person"])
    op.create_index("ix_one_time_links_status", "one_time_links", ["status", "asked_at"])
    op.create_table(
        "account_news",
        sa.Column("news_id", _ID, nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("about", sa.String(length=200), nullable=False),
        sa.Column("link_id", sa.String(length=40), nullable=True),
        sa.Column("queued", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name=op.f("fk_account_news_person")),
        sa.PrimaryKeyConstraint("news_id", name=op.f("pk_account_news")),
    )
    op.create_index("ix_account_news_person", "account_news", ["person", "at"])
    op.create_index(
        "ix_account_news_unqueued",
        "account_news",
        ["news_id"],
        sqlite_where=sa.text("queued = 0"),
        postgresql_where=sa.text("NOT queued"),
    )
    unseen = sa.text("seen_at IS NULL")
    op.create_index("ix_account_news_unseen", "account_news", ["person"], sqlite_where=unseen, postgresql_where=unseen)
    op.create_table(
        "failed_sign_ins",
        sa.Column("key", sa.String(length=210), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", "hour", name=op.f("pk_failed_sign_ins")),
    )


def downgrade() -> None:
    for table in ("failed_sign_ins", "account_news", "one_time_links"):
        op.drop_table(table)
    op.drop_index("ix_sessions_credential", "sessions")
    for table, columns in (
        ("messages", ("former", "news_id")),
        ("sessions", ("credential",)),
        ("memberships", ("added_at", "added_by")),
        ("people", ("email_set_at", "email_set_by", "former_email")),
    ):
        for column in columns:
            op.drop_column(table, column)
