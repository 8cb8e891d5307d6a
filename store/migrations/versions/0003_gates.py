"""Gates: claims, what has changed on a task, in whose place it was decided. Managers, absences, attachments."""

import sqlalchemy as sa
from alembic import op

from store.tables.base import Instant

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("state", sa.JSON(), nullable=True))
    op.add_column("tasks", sa.Column("assignee", sa.String(length=200), nullable=True))
    op.create_index(op.f("ix_tasks_assignee"), "tasks", ["assignee"])
    op.add_column("decisions", sa.Column("on_behalf_of", sa.String(length=200), nullable=True))
    op.add_column("decisions", sa.Column("edits", sa.JSON(), nullable=True))
    op.add_column("people", sa.Column("manager", sa.String(length=200), nullable=True))
    op.add_column("people", sa.Column("time_zone", sa.String(length=60), nullable=True))
    op.create_table(
        "absences",
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("starts_at", Instant(), nullable=False),
        sa.Column("ends_at", Instant(), nullable=False),
        sa.Column("substitute", sa.String(length=200), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name=op.f("fk_absences_person")),
        sa.ForeignKeyConstraint(["substitute"], ["people.id"], name=op.f("fk_absences_substitute")),
        sa.PrimaryKeyConstraint("person", "starts_at", name=op.f("pk_absences")),
    )
    op.create_index(op.f("ix_absences_substitute"), "absences", ["substitute"])
    op.create_table(
        "follow_ups",
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("task_id", sa.String(length=40), nullable=False),
        sa.Column("until", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name=op.f("fk_follow_ups_person")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.task_id"], name=op.f("fk_follow_ups_task_id")),
        sa.PrimaryKeyConstraint("person", "task_id", name=op.f("pk_follow_ups")),
    )

    op.create_table(
        "attachments",
        sa.Column("attachment_id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=False),
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("content_type", sa.String(length=100), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name=op.f("fk_attachments_case_id")),
        sa.PrimaryKeyConstraint("attachment_id", name=op.f("pk_attachments")),
        sa.UniqueConstraint("case_id", "sha256", "person", name=op.f("uq_attachments_case_id_sha256_person")),
    )
    op.execute(sa.text("INSERT INTO readers (name, position) SELECT 'people', position FROM chain"))


def downgrade() -> None:
    op.execute(sa.text("DELETE FROM readers WHERE name = 'people'"))
    op.drop_table("attachments")
    op.drop_table("follow_ups")
    op.drop_table("absences")
    op.drop_column("people", "time_zone")
    op.drop_column("people", "manager")
    op.drop_column("decisions", "edits")
    op.drop_column("decisions", "on_behalf_of")
    op.drop_index(op.f("ix_tasks_assignee"), "tasks")
    op.drop_column("tasks", "assignee")
    op.drop_column("tasks", "state")
