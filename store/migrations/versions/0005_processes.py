"""Receivers of the processes that come with Holdgate: effects by key, datasets, a directory, accepted risks."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("cases", sa.Column("parent", sa.String(length=900), nullable=True))
    op.create_index("ix_cases_parent", "cases", ["parent"])
    op.create_table(
        "effects",
        sa.Column("key", sa.String(length=1000), nullable=False),
        sa.Column("kind", sa.String(length=60), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=False),
        sa.Column("state", sa.String(length=6), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_effects"),
    )
    op.create_index("ix_effects_case_id", "effects", ["case_id"])
    op.create_table(
        "dataset_versions",
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("profile", sa.JSON(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("staged_at", MOMENT, nullable=False),
        sa.Column("published_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("name", "version", name="pk_dataset_versions"),
    )
    op.create_table(
        "dataset_rows",
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", "number", name="pk_dataset_rows"),
    )
    op.create_table(
        "datasets",
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("published_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_datasets"),
    )
    op.create_table(
        "directory_accounts",
        sa.Column("username", sa.String(length=64), nullable=False),
        sa.Column("full_name", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("role", sa.String(length=60), nullable=False),
        sa.Column("manager", sa.String(length=100), nullable=True),
        sa.Column("case_id", sa.String(length=900), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("activated_at", MOMENT, nullable=True),
        sa.Column("disabled_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("username", name="pk_directory_accounts"),
    )
    op.create_table(
        "entitlements",
        sa.Column("grant_key", sa.String(length=1000), nullable=False),
        sa.Column("username", sa.String(length=64), nullable=False),
        sa.Column("entitlement", sa.String(length=60), nullable=False),
        sa.Column("granted_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["username"], ["directory_accounts.username"], name="fk_entitlements_username"),
        sa.PrimaryKeyConstraint("grant_key", name="pk_entitlements"),
    )
    op.create_index("ix_entitlements_username", "entitlements", ["username"])
    op.create_table(
        "accepted_risks",
        sa.Column("risk_id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=False),
        sa.Column("target", sa.String(length=400), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("severity", sa.String(length=10), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("accepted_by", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("accepted_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("withdrawn_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("risk_id", name="pk_accepted_risks"),
    )
    op.create_index("ix_accepted_risks_case_id", "accepted_risks", ["case_id"])
    op.create_index("ix_accepted_risks_target", "accepted_risks", ["target"])


def downgrade() -> None:
    for table in (
        "accepted_risks",
        "entitlements",
        "directory_accounts",
        "datasets",
        "dataset_rows",
        "dataset_versions",
        "effects",
    ):
        op.drop_table(table)
    op.drop_index("ix_cases_parent", "cases")
    op.drop_column("cases", "parent")
