"""Notices: an address for people, their choices, and the outbox. Accounts that can be locked.

The reader of the record starts at its present head, so that an upgrade tells nobody old news.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WAITING = sa.text("message_id IS NULL")
HELD = sa.text("held_by IS NOT NULL")


def upgrade() -> None:
    op.add_column("people", sa.Column("email", sa.String(length=254), nullable=True))
    op.add_column("accounts", sa.Column("locked", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(
        "ix_tasks_open",
        "tasks",
        ["process", "gate", "due_at", "opened_at"],
        sqlite_where=sa.text("status = 'open'"),
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index("ix_tasks_newest", "tasks", ["status", "opened_at"])
    op.create_table(
        "readers",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_readers")),
    )
    op.execute(sa.text("INSERT INTO readers (name, position) SELECT 'notices', position FROM chain"))
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "notice_choices",
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("event", sa.String(length=20), nullable=False),
        sa.Column("choice", sa.String(length=10), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name=op.f("fk_notice_choices_person")),
        sa.PrimaryKeyConstraint("person", "event", name=op.f("pk_notice_choices")),
    )
    op.create_table(
        "messages",
        sa.Column("message_id", sa.String(length=40), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name=op.f("fk_messages_person")),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_messages")),
    )
    op.create_index("ix_messages_person", "messages", ["person", "channel", "state", "next_at"])
    op.create_index("ix_messages_state", "messages", ["state", "channel", "next_at"])
    op.create_table(
        "notices",
        sa.Column("notice_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=False),
        sa.Column("task_id", sa.String(length=40), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("held_by", sa.String(length=60), nullable=True),
        sa.Column("message_id", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["position"], ["events.position"], name=op.f("fk_notices_position")),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name=op.f("fk_notices_person")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name=op.f("fk_notices_case_id")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.task_id"], name=op.f("fk_notices_task_id")),
        sa.ForeignKeyConstraint(["message_id"], ["messages.message_id"], name=op.f("fk_notices_message_id")),
        sa.PrimaryKeyConstraint("notice_id", name=op.f("pk_notices")),
        sa.UniqueConstraint("position", "person", "channel", name=op.f("uq_notices_position_person_channel")),
    )
    op.create_index(op.f("ix_notices_task_id"), "notices", ["task_id"])
    op.create_index(op.f("ix_notices_message_id"), "notices", ["message_id"])
    for name, columns, condition in (
        ("ix_notices_due", ["due_at", "channel", "person"], WAITING),
        ("ix_notices_waiting", ["person", "channel"], WAITING),
        ("ix_notices_held", ["held_by"], HELD),
    ):
        op.create_index(name, "notices", columns, sqlite_where=condition, postgresql_where=condition)


def downgrade() -> None:
    for table in ("notices", "messages", "notice_choices", "leases", "readers"):
        op.drop_table(table)
    op.drop_index("ix_tasks_newest", "tasks")
    op.drop_index("ix_tasks_open", "tasks")
    op.drop_column("accounts", "locked")
    op.drop_column("people", "email")
