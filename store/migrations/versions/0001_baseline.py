"""The whole schema, as it was when Holdgate was first released.

The tables are written out here and not taken from `store.tables.base`, which moves on while this file stays.
"""

from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0001_baseline"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
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
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("risk_id", name="pk_accepted_risks"),
    )
    op.create_index("ix_accepted_risks_case_id", "accepted_risks", ["case_id"], unique=False)
    op.create_index("ix_accepted_risks_target", "accepted_risks", ["target"], unique=False)
    op.create_table(
        "accounts",
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("funded", sa.Boolean(), nullable=False),
        sa.Column("locked", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("closed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("posted", sa.BigInteger(), nullable=False),
        sa.Column("pending", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("NOT funded OR posted + pending >= 0", name=op.f("ck_accounts_no_overdraft")),
        sa.PrimaryKeyConstraint("name", "currency", name="pk_accounts"),
    )
    op.create_table(
        "actions",
        sa.Column("action_id", sa.String(length=80), nullable=False),
        sa.Column("task_id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("act", sa.String(length=20), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("refusal", sa.Text(), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("action_id", name="pk_actions"),
    )
    op.create_index(
        "ix_actions_pending",
        "actions",
        ["at"],
        unique=False,
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index("ix_actions_task", "actions", ["task_id", "person"], unique=False)
    op.create_table(
        "batches",
        sa.Column("batch_id", sa.String(length=60), nullable=False),
        sa.Column("process", sa.String(length=60), nullable=False),
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(length=255), nullable=False),
        sa.Column("same_file_as", sa.String(length=60), nullable=True),
        sa.Column("requester", sa.String(length=200), nullable=False),
        sa.Column("on_behalf_of", sa.String(length=200), nullable=True),
        sa.Column("asked_for", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("policy_hash", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), server_default="0", nullable=False),
        sa.Column("blank", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ignored_columns", sa.JSON(), nullable=False),
        sa.Column("format", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("mapping", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("batch_id", name="pk_batches"),
    )
    op.create_index("ix_batches_sha256", "batches", ["sha256"], unique=False)
    op.create_table(
        "bulk_results",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("results", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bulk_results"),
    )
    op.create_index("ix_bulk_results_at", "bulk_results", ["at"], unique=False)
    op.create_table(
        "case_keys",
        sa.Column("subject", sa.String(length=900), nullable=False),
        sa.Column("wrapped", sa.Text(), nullable=True),
        sa.Column("kek", sa.String(length=60), nullable=True),
        sa.Column("strict", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("subject", name="pk_case_keys"),
    )
    op.create_index("ix_case_keys_kek", "case_keys", ["kek", "subject"], unique=False)
    op.create_index(
        "ix_case_keys_erased",
        "case_keys",
        ["erased_at"],
        unique=False,
        sqlite_where=sa.text("erased_at IS NOT NULL"),
        postgresql_where=sa.text("erased_at IS NOT NULL"),
    )
    op.create_table(
        "erased_files",
        sa.Column("path", sa.String(length=255), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("path", name="pk_erased_files"),
    )
    op.create_table(
        "legal_holds",
        sa.Column("hold_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("subject", sa.String(length=900), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("placed_by", sa.String(length=200), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_by", sa.String(length=200), nullable=True),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("hold_id", name="pk_legal_holds"),
    )
    op.create_index("ix_legal_holds_subject", "legal_holds", ["kind", "subject"], unique=False)
    op.create_table(
        "cases",
        sa.Column("case_id", sa.String(length=900), nullable=False),
        sa.Column("process", sa.String(length=60), nullable=False),
        sa.Column("reference", sa.String(length=120), nullable=False),
        sa.Column("reference_key", sa.String(length=240), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("resubmits", sa.String(length=900), nullable=True),
        sa.Column("parent", sa.String(length=900), nullable=True),
        sa.Column("status", sa.String(length=30), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("requester", sa.String(length=200), nullable=False),
        sa.Column("on_behalf_of", sa.String(length=200), nullable=True),
        sa.Column("asked_for", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.String(length=60), nullable=True),
        sa.Column("policy_hash", sa.String(length=64), nullable=False),
        sa.Column("input", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("start_digest", sa.String(length=64), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("idempotency_key", sa.String(length=64), nullable=True),
        sa.Column("head_count", sa.Integer(), nullable=False),
        sa.Column("head_hash", sa.String(length=64), nullable=False),
        sa.Column("workflow_id", sa.String(length=1000), nullable=True),
        sa.Column("plan", sa.JSON(), nullable=True),
        sa.Column("rollback", sa.JSON(), nullable=True),
        sa.Column("resubmit_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_as", sa.String(length=30), nullable=True),
        sa.Column("took_ms", sa.BigInteger(), nullable=True),
        sa.Column("waited_ms", sa.BigInteger(), nullable=True),
        sa.Column("words", sa.String(length=400), server_default="", nullable=False),
        sa.Column("salt", sa.String(length=32), nullable=True),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("case_id", name="pk_cases"),
        sa.UniqueConstraint("idempotency_key", name="uq_cases_idempotency_key"),
        sa.UniqueConstraint("process", "reference_key", "round", name="uq_cases_process_reference_key_round"),
    )
    op.create_index("ix_cases_batch", "cases", ["batch_id", "status"], unique=False)
    op.create_index("ix_cases_batch_newest", "cases", ["batch_id", "submitted_at", "case_id"], unique=False)
    op.create_index(
        "ix_cases_ended",
        "cases",
        ["ended_at", "ended_as", "status", "took_ms", "waited_ms", "requester", "process"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NOT NULL"),
        postgresql_where=sa.text("ended_at IS NOT NULL"),
    )
    op.create_index("ix_cases_newest", "cases", ["submitted_at", "case_id"], unique=False)
    op.create_index("ix_cases_parent", "cases", ["parent"], unique=False)
    op.create_index("ix_cases_on_behalf_of", "cases", ["on_behalf_of", "submitted_at"], unique=False)
    op.create_index("ix_cases_process", "cases", ["process", "submitted_at", "case_id"], unique=False)
    op.create_index("ix_cases_requester", "cases", ["requester", "submitted_at"], unique=False)
    op.create_index(
        "ix_cases_resubmit",
        "cases",
        ["resubmit_at"],
        unique=False,
        sqlite_where=sa.text("resubmit_at IS NOT NULL"),
        postgresql_where=sa.text("resubmit_at IS NOT NULL"),
    )
    op.create_index("ix_cases_status", "cases", ["status", "submitted_at", "requester", "process"], unique=False)
    op.create_index(
        "ix_cases_taken_back",
        "cases",
        ["closed_at", "requester", "case_id", "process"],
        unique=False,
        sqlite_where=sa.text("status = 'rolled_back'"),
        postgresql_where=sa.text("status = 'rolled_back'"),
    )
    op.create_table(
        "chain",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("peaks", sa.Text(), nullable=False),
        sa.Column("seals", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("seals_hash", sa.String(length=64), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_chain"),
    )
    op.create_table(
        "checkpoints",
        sa.Column("size", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size", name="pk_checkpoints"),
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
        "dataset_versions",
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("profile", sa.JSON(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("staged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", "version", name="pk_dataset_versions"),
    )
    op.create_table(
        "datasets",
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_datasets"),
    )
    op.create_table(
        "decisions",
        sa.Column("decision_id", sa.String(length=80), nullable=False),
        sa.Column("task_id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("verdict", sa.String(length=30), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("refusal", sa.Text(), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("via", sa.String(length=30), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("on_behalf_of", sa.String(length=200), nullable=True),
        sa.Column("edits", sa.JSON(), nullable=True),
        sa.Column("confirmed", sa.String(length=10), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("decision_id", name="pk_decisions"),
    )
    op.create_index("ix_decisions_at", "decisions", ["at", "status", "person", "verdict"], unique=False)
    op.create_index(
        "ix_decisions_pending",
        "decisions",
        ["at"],
        unique=False,
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index("ix_decisions_task_id", "decisions", ["task_id"], unique=False)
    op.create_table(
        "directory_accounts",
        sa.Column("username", sa.String(length=64), nullable=False),
        sa.Column("full_name", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("role", sa.String(length=60), nullable=False),
        sa.Column("manager", sa.String(length=100), nullable=True),
        sa.Column("case_id", sa.String(length=900), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("username", name="pk_directory_accounts"),
    )
    op.create_table(
        "pending_confirmations",
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("task_id", sa.String(length=40), nullable=False),
        sa.Column("decision_id", sa.String(length=80), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("nonce", name="pk_pending_confirmations"),
    )
    op.create_index("ix_pending_confirmations_at", "pending_confirmations", ["at"], unique=False)
    op.create_table(
        "proofs",
        sa.Column("message_id", sa.String(length=1100), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("proof", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("message_id", name="pk_proofs"),
    )
    op.create_index("ix_proofs_case_id", "proofs", ["case_id"], unique=False)
    op.create_table(
        "effects",
        sa.Column("key", sa.String(length=1000), nullable=False),
        sa.Column("kind", sa.String(length=60), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=False),
        sa.Column("state", sa.String(length=6), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_effects"),
    )
    op.create_index("ix_effects_case_id", "effects", ["case_id"], unique=False)
    op.create_table(
        "entries",
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.String(length=1000), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=True),
        sa.Column("reference", sa.String(length=120), nullable=False),
        sa.Column("reference_key", sa.String(length=240), server_default="", nullable=False),
        sa.Column("undoes", sa.String(length=1000), nullable=True),
        sa.Column("account", sa.String(length=120), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("payee", sa.String(length=300), nullable=True),
        sa.Column("payee_key", sa.String(length=300), nullable=True),
        sa.Column("payee_account", sa.String(length=40), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount IS NULL OR amount > 0", name=op.f("ck_entries_amount_positive")),
        sa.PrimaryKeyConstraint("entry_id", name="pk_entries"),
        sa.UniqueConstraint("idempotency_key", name="uq_entries_idempotency_key"),
        sa.UniqueConstraint("undoes", name="uq_entries_undoes"),
    )
    op.create_index("ix_entries_case_id", "entries", ["case_id"], unique=False)
    op.create_index("ix_entries_payee", "entries", ["payee_key", "kind", "at"], unique=False)
    op.create_index("ix_entries_reference_key", "entries", ["reference_key"], unique=False)
    op.create_table(
        "event_blocks",
        sa.Column(
            "position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_event_blocks"),
    )
    op.create_table(
        "events",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("event_id", sa.String(length=1000), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=60), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("prev_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_events"),
        sa.UniqueConstraint("case_id", "seq", name="uq_events_case_id_seq"),
        sa.UniqueConstraint("event_id", name="uq_events_event_id"),
    )
    op.create_table(
        "failed_sign_ins",
        sa.Column("key", sa.String(length=210), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", "hour", name="pk_failed_sign_ins"),
    )
    op.create_table(
        "heartbeats",
        sa.Column("worker", sa.String(length=120), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("worker", name="pk_heartbeats"),
    )
    op.create_table(
        "dropped_files",
        sa.Column("process", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("batch_id", sa.String(length=60), nullable=False),
        sa.Column("claim", sa.String(length=60), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("process", "sha256", name="pk_dropped_files"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "ledger_changes",
        sa.Column("change_id", sa.String(length=40), nullable=False),
        sa.Column("idempotency_key", sa.String(length=64), nullable=True),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("account", sa.String(length=120), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("asked_by", sa.String(length=200), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_by", sa.String(length=200), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("change_id", name="pk_ledger_changes"),
        sa.UniqueConstraint("idempotency_key", name="uq_ledger_changes_idempotency_key"),
    )
    op.create_index("ix_ledger_changes_asked", "ledger_changes", ["asked_at", "change_id"], unique=False)
    op.create_table(
        "people",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("former_email", sa.String(length=254), nullable=True),
        sa.Column("email_set_by", sa.String(length=200), nullable=True),
        sa.Column("email_set_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("manager", sa.String(length=200), nullable=True),
        sa.Column("time_zone", sa.String(length=60), nullable=True),
        sa.Column("successor", sa.String(length=200), nullable=True),
        sa.Column("demo", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("kind", sa.String(length=10), server_default="person", nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_people"),
    )
    op.create_index("ix_people_successor", "people", ["successor"], unique=False)
    op.create_table(
        "policies",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_policies"),
    )
    op.create_table(
        "provided_groups",
        sa.Column("group_name", sa.String(length=60), nullable=False),
        sa.Column("provider", sa.String(length=10), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("group_name", name="pk_provided_groups"),
    )
    op.create_table(
        "readers",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_readers"),
    )
    op.create_table(
        "refusal_counts",
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("about", sa.String(length=100), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=True),
        sa.Column("listed", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("uncounted", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("person", "about", name="pk_refusal_counts"),
    )
    op.create_index(
        "ix_refusal_counts_waiting",
        "refusal_counts",
        ["first_at"],
        unique=False,
        sqlite_where=sa.text("uncounted > 0"),
        postgresql_where=sa.text("uncounted > 0"),
    )
    op.create_table(
        "seals",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("salt", sa.String(length=64), nullable=True),
        sa.Column("rows", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_seals"),
    )
    op.create_index("ix_seals_case_id", "seals", ["case_id"], unique=False)
    op.create_table(
        "seal_positions",
        sa.Column(
            "position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["seals.number"], name="fk_seal_positions_number"),
        sa.PrimaryKeyConstraint("position", name="pk_seal_positions"),
        sa.UniqueConstraint("number", name="uq_seal_positions_number"),
    )
    op.create_table(
        "unsequenced",
        sa.Column("kind", sa.String(length=5), nullable=False),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "number", name="pk_unsequenced"),
    )
    op.create_table(
        "caseless_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_caseless_head"),
    )
    op.create_table(
        "sign_in_tries",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_sign_in_tries"),
    )
    op.create_table(
        "rate_limits",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("full_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_rate_limits"),
        prefixes=["UNLOGGED"] if op.get_context().dialect.name == "postgresql" else [],
    )
    op.create_table(
        "stopped",
        sa.Column("workflow_id", sa.String(length=1000), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=True),
        sa.Column("task_id", sa.String(length=40), nullable=True),
        sa.Column("status", sa.String(length=30), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("technical", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workflow_id", name="pk_stopped"),
    )
    op.create_table(
        "absences",
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("substitute", sa.String(length=200), nullable=True),
        sa.Column("begin_told", sa.Integer(), server_default="0", nullable=False),
        sa.Column("end_told", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_absences_person"),
        sa.ForeignKeyConstraint(["substitute"], ["people.id"], name="fk_absences_substitute"),
        sa.PrimaryKeyConstraint("person", "starts_at", name="pk_absences"),
    )
    op.create_index("ix_absences_substitute", "absences", ["substitute"], unique=False)
    op.create_table(
        "account_news",
        sa.Column("news_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("about", sa.String(length=200), nullable=False),
        sa.Column("link_id", sa.String(length=40), nullable=True),
        sa.Column("queued", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_account_news_person"),
        sa.PrimaryKeyConstraint("news_id", name="pk_account_news"),
    )
    op.create_index("ix_account_news_person", "account_news", ["person", "at"], unique=False)
    op.create_index(
        "ix_account_news_unqueued",
        "account_news",
        ["news_id"],
        unique=False,
        sqlite_where=sa.text("queued = 0"),
        postgresql_where=sa.text("NOT queued"),
    )
    op.create_index(
        "ix_account_news_unseen",
        "account_news",
        ["person"],
        unique=False,
        sqlite_where=sa.text("seen_at IS NULL"),
        postgresql_where=sa.text("seen_at IS NULL"),
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
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_attachments_case_id"),
        sa.PrimaryKeyConstraint("attachment_id", name="pk_attachments"),
        sa.UniqueConstraint("case_id", "sha256", "person", name="uq_attachments_case_id_sha256_person"),
    )
    op.create_table(
        "batch_rows",
        sa.Column("batch_id", sa.String(length=60), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=True),
        sa.Column("differs", sa.JSON(), nullable=False),
        sa.Column("changes", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("errors", sa.JSON(), nullable=False),
        sa.Column("process", sa.String(length=60), server_default="", nullable=False),
        sa.Column("priority", sa.Integer(), nullable=True),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resubmits", sa.String(length=900), nullable=True),
        sa.Column("above", sa.Integer(), nullable=True),
        sa.Column("not_again", sa.Text(), nullable=True),
        sa.Column("input", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.batch_id"], name="fk_batch_rows_batch_id"),
        sa.PrimaryKeyConstraint("batch_id", "line", name="pk_batch_rows"),
    )
    op.create_index("ix_batch_rows_case", "batch_rows", ["case_id"], unique=False)
    op.create_index("ix_batch_rows_outcome", "batch_rows", ["batch_id", "outcome", "line"], unique=False)
    op.create_table(
        "entitlements",
        sa.Column("grant_key", sa.String(length=1000), nullable=False),
        sa.Column("username", sa.String(length=64), nullable=False),
        sa.Column("entitlement", sa.String(length=60), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["username"], ["directory_accounts.username"], name="fk_entitlements_username"),
        sa.PrimaryKeyConstraint("grant_key", name="pk_entitlements"),
    )
    op.create_index("ix_entitlements_username", "entitlements", ["username"], unique=False)
    op.create_table(
        "event_payloads",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("salt", sa.String(length=64), nullable=True),
        sa.Column("payload", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["number"], ["events.number"], name="fk_event_payloads_number"),
        sa.PrimaryKeyConstraint("number", name="pk_event_payloads"),
    )
    op.create_table(
        "event_positions",
        sa.Column(
            "position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["events.number"], name="fk_event_positions_number"),
        sa.PrimaryKeyConstraint("position", name="pk_event_positions"),
        sa.UniqueConstraint("number", name="uq_event_positions_number"),
    )
    op.create_table(
        "lines",
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("layer", sa.String(length=7), nullable=False),
        sa.Column("account", sa.String(length=120), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("debit", sa.BigInteger(), nullable=False),
        sa.Column("credit", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(debit > 0 AND credit = 0) OR (credit > 0 AND debit = 0)", name=op.f("ck_lines_one_side")),
        sa.ForeignKeyConstraint(["entry_id"], ["entries.entry_id"], name="fk_lines_entry_id"),
        sa.PrimaryKeyConstraint("entry_id", "number", name="pk_lines"),
    )
    op.create_index("ix_lines_account", "lines", ["account", "currency", "layer"], unique=False)
    op.create_table(
        "identities",
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("connected_by", sa.String(length=200), nullable=False),
        sa.Column("connected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signed_in_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("groups_read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reading_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("encrypted_tokens", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_identities_person"),
        sa.PrimaryKeyConstraint("issuer", "subject", name="pk_identities"),
    )
    op.create_index("ix_identities_person", "identities", ["person"], unique=False)
    op.create_table(
        "logout_tokens",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_logout_tokens"),
    )
    op.create_index("ix_logout_tokens_expires_at", "logout_tokens", ["expires_at"], unique=False)
    op.create_table(
        "memberships",
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("group_name", sa.String(length=60), nullable=False),
        sa.Column("added_by", sa.String(length=200), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("provider", sa.String(length=10), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_memberships_person"),
        sa.PrimaryKeyConstraint("person", "group_name", name="pk_memberships"),
    )
    op.create_index("ix_memberships_group", "memberships", ["group_name", "person"], unique=False)
    op.create_table(
        "messages",
        sa.Column("message_id", sa.String(length=40), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("news_id", sa.BigInteger(), nullable=True),
        sa.Column("former", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_messages_person"),
        sa.PrimaryKeyConstraint("message_id", name="pk_messages"),
    )
    op.create_index("ix_messages_person", "messages", ["person", "channel", "state", "next_at"], unique=False)
    op.create_index("ix_messages_state", "messages", ["state", "channel", "next_at"], unique=False)
    op.create_table(
        "notice_choices",
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("event", sa.String(length=20), nullable=False),
        sa.Column("choice", sa.String(length=10), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_notice_choices_person"),
        sa.PrimaryKeyConstraint("person", "event", name="pk_notice_choices"),
    )
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
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_one_time_links_person"),
        sa.PrimaryKeyConstraint("link_id", name="pk_one_time_links"),
        sa.UniqueConstraint("hash", name="uq_one_time_links_hash"),
    )
    op.create_index("ix_one_time_links_person", "one_time_links", ["person"], unique=False)
    op.create_index("ix_one_time_links_status", "one_time_links", ["status", "asked_at"], unique=False)
    op.create_table(
        "passkey_challenges",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=True),
        sa.Column("user_handle", sa.String(length=100), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_passkey_challenges_person"),
        sa.PrimaryKeyConstraint("hash", name="pk_passkey_challenges"),
    )
    op.create_index("ix_passkey_challenges_expires_at", "passkey_challenges", ["expires_at"], unique=False)
    op.create_index("ix_passkey_challenges_person", "passkey_challenges", ["person"], unique=False)
    op.create_table(
        "passkeys",
        sa.Column("passkey_id", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("domain", sa.String(length=253), nullable=False),
        sa.Column("credential_id", sa.Text(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("user_handle", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("transports", sa.JSON(), nullable=False),
        sa.Column("device_type", sa.String(length=20), nullable=False),
        sa.Column("backed_up", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_passkeys_person"),
        sa.PrimaryKeyConstraint("passkey_id", name="pk_passkeys"),
    )
    op.create_index("ix_passkeys_person", "passkeys", ["person"], unique=False)
    op.create_table(
        "passwords",
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("temporary", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_passwords_person"),
        sa.PrimaryKeyConstraint("person", name="pk_passwords"),
    )
    op.create_table(
        "preferences",
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_preferences_person"),
        sa.PrimaryKeyConstraint("person", "name", name="pk_preferences"),
    )
    op.create_table(
        "scim_groups",
        sa.Column("scim_id", sa.String(length=36), nullable=False),
        sa.Column("name_key", sa.String(length=500), nullable=False),
        sa.Column("external_id", sa.String(length=500), nullable=True),
        sa.Column("group_name", sa.String(length=60), nullable=True),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("scim_id", name="pk_scim_groups"),
    )
    op.create_index("ix_scim_groups_external_id", "scim_groups", ["external_id"], unique=False)
    op.create_index("ix_scim_groups_group_name", "scim_groups", ["group_name"], unique=False)
    op.create_index("ix_scim_groups_name_key", "scim_groups", ["name_key"], unique=False)
    op.create_table(
        "scim_mappings",
        sa.Column("name_key", sa.String(length=500), nullable=False),
        sa.Column("display_name", sa.String(length=500), nullable=False),
        sa.Column("group_name", sa.String(length=60), nullable=False),
        sa.Column("mapped_by", sa.String(length=200), nullable=False),
        sa.Column("mapped_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name_key", name="pk_scim_mappings"),
    )
    op.create_table(
        "scim_names",
        sa.Column("user_key", sa.String(length=500), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_scim_names_person"),
        sa.PrimaryKeyConstraint("user_key", name="pk_scim_names"),
    )
    op.create_index("ix_scim_names_person", "scim_names", ["person"], unique=False)
    op.create_table(
        "scim_users",
        sa.Column("scim_id", sa.String(length=36), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("user_key", sa.String(length=500), nullable=False),
        sa.Column("external_id", sa.String(length=500), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_scim_users_person"),
        sa.PrimaryKeyConstraint("scim_id", name="pk_scim_users"),
        sa.UniqueConstraint("person", name="uq_scim_users_person"),
        sa.UniqueConstraint("user_key", name="uq_scim_users_user_key"),
    )
    op.create_index("ix_scim_users_external_id", "scim_users", ["external_id"], unique=False)
    op.create_table(
        "scim_members",
        sa.Column("scim_group", sa.String(length=36), nullable=False),
        sa.Column("scim_user", sa.String(length=36), nullable=False),
        sa.Column("display", sa.String(length=500), nullable=True),
        sa.ForeignKeyConstraint(["scim_group"], ["scim_groups.scim_id"], name="fk_scim_members_scim_group"),
        sa.ForeignKeyConstraint(["scim_user"], ["scim_users.scim_id"], name="fk_scim_members_scim_user"),
        sa.PrimaryKeyConstraint("scim_group", "scim_user", name="pk_scim_members"),
    )
    op.create_index("ix_scim_members_scim_user", "scim_members", ["scim_user"], unique=False)
    op.create_table(
        "service_accounts",
        sa.Column("account", sa.String(length=200), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["people.id"], name="fk_service_accounts_account"),
        sa.PrimaryKeyConstraint("account", name="pk_service_accounts"),
    )
    op.create_table(
        "service_account_owners",
        sa.Column("account", sa.String(length=200), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["people.id"], name="fk_service_account_owners_account"),
        sa.ForeignKeyConstraint(["owner"], ["people.id"], name="fk_service_account_owners_owner"),
        sa.PrimaryKeyConstraint("account", "owner", name="pk_service_account_owners"),
    )
    op.create_index("ix_service_account_owners_owner", "service_account_owners", ["owner"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("way", sa.String(length=20), nullable=False),
        sa.Column("agent", sa.String(length=200), nullable=False),
        sa.Column("zone", sa.String(length=60), nullable=True),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("issuer", sa.String(length=500), nullable=True),
        sa.Column("subject", sa.String(length=255), nullable=True),
        sa.Column("provider_session", sa.String(length=255), nullable=True),
        sa.Column("proved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("credential", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_sessions_person"),
        sa.PrimaryKeyConstraint("hash", name="pk_sessions"),
    )
    op.create_index("ix_sessions_credential", "sessions", ["credential"], unique=False)
    op.create_index("ix_sessions_person", "sessions", ["person"], unique=False)
    op.create_index("ix_sessions_provider_session", "sessions", ["provider_session"], unique=False)
    op.create_table(
        "batch_requesters",
        sa.Column("batch_id", sa.String(length=60), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.batch_id"], name="fk_batch_requesters_batch_id"),
        sa.PrimaryKeyConstraint("batch_id", "person", name="pk_batch_requesters"),
    )
    op.create_index("ix_batch_requesters_person", "batch_requesters", ["person"], unique=False)
    op.create_table(
        "case_requesters",
        sa.Column("case_id", sa.String(length=900), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_case_requesters_case_id"),
        sa.PrimaryKeyConstraint("case_id", "person", name="pk_case_requesters"),
    )
    op.create_index("ix_case_requesters_person", "case_requesters", ["person", "case_id"], unique=False)
    op.create_table(
        "tasks",
        sa.Column("task_id", sa.String(length=40), nullable=False),
        sa.Column("case_id", sa.String(length=900), nullable=False),
        sa.Column("batch_id", sa.String(length=60), nullable=True),
        sa.Column("process", sa.String(length=60), nullable=False),
        sa.Column("gate", sa.String(length=60), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("requester", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("outcome", sa.String(length=30), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("given", sa.Integer(), nullable=False),
        sa.Column("view", sa.JSON(), nullable=False),
        sa.Column("state", sa.JSON(), nullable=True),
        sa.Column("assignee", sa.String(length=200), nullable=True),
        sa.Column("subject", sa.String(length=200), server_default="", nullable=False),
        sa.Column("amount", sa.String(length=60), nullable=True),
        sa.Column("thousandths", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(length=20), nullable=True),
        sa.Column("words", sa.String(length=400), server_default="", nullable=False),
        sa.Column("asked", sa.Text(), server_default="", nullable=False),
        sa.Column("nudged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("substitutes", sa.String(length=20), server_default="anyone", nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_tasks_case_id"),
        sa.PrimaryKeyConstraint("task_id", name="pk_tasks"),
    )
    op.create_index(
        "ix_tasks_assignee",
        "tasks",
        ["assignee"],
        unique=False,
        sqlite_where=sa.text("assignee IS NOT NULL"),
        postgresql_where=sa.text("assignee IS NOT NULL"),
    )
    op.create_index("ix_tasks_case_id", "tasks", ["case_id"], unique=False)
    op.create_index(
        "ix_tasks_closed",
        "tasks",
        ["closed_at", "process", "gate", "kind", "outcome", "due_at", "asked"],
        unique=False,
        sqlite_where=sa.text("closed_at IS NOT NULL"),
        postgresql_where=sa.text("closed_at IS NOT NULL"),
    )
    op.create_index("ix_tasks_due", "tasks", ["due_at", "task_id"], unique=False)
    op.create_index("ix_tasks_inbox", "tasks", ["status", "due_at", "task_id"], unique=False)
    op.create_index(
        "ix_tasks_incidents",
        "tasks",
        ["process", "opened_at"],
        unique=False,
        sqlite_where=sa.text("status = 'open' AND kind = 'intervention'"),
        postgresql_where=sa.text("status = 'open' AND kind = 'intervention'"),
    )
    op.create_index(
        "ix_tasks_moved",
        "tasks",
        ["moved_at"],
        unique=False,
        sqlite_where=sa.text("moved_at IS NOT NULL"),
        postgresql_where=sa.text("moved_at IS NOT NULL"),
    )
    op.create_index("ix_tasks_newest", "tasks", ["status", "opened_at"], unique=False)
    op.create_index(
        "ix_tasks_open",
        "tasks",
        [
            "status",
            "process",
            "gate",
            "currency",
            "subject",
            "due_at",
            "opened_at",
            "asked",
            "thousandths",
            "amount",
            "requester",
            "kind",
            "assignee",
            "substitutes",
            "batch_id",
            "case_id",
            "task_id",
        ],
        unique=False,
        sqlite_where=sa.text("status = 'open'"),
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index("ix_tasks_process", "tasks", ["process", "task_id"], unique=False)
    op.create_index("ix_tasks_priority", "tasks", ["status", "priority", "task_id"], unique=False)
    op.create_index("ix_tasks_requester", "tasks", ["status", "requester", "task_id"], unique=False)
    op.create_index("ix_tasks_subject", "tasks", ["status", "subject", "task_id"], unique=False)
    op.create_index("ix_tasks_words", "tasks", ["status", "words", "task_id"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("label", sa.String(length=60), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("scopes", sa.JSON(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_tokens_person"),
        sa.PrimaryKeyConstraint("hash", name="pk_tokens"),
    )
    op.create_index("ix_tokens_person", "tokens", ["person"], unique=False)
    op.create_table(
        "token_uses",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_token_uses"),
    )
    op.create_table(
        "candidates",
        sa.Column("task_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.task_id"], name="fk_candidates_task_id"),
        sa.PrimaryKeyConstraint("task_id", "kind", "name", name="pk_candidates"),
    )
    op.create_index("ix_candidates_name", "candidates", ["kind", "name", "task_id"], unique=False)
    op.create_table(
        "follow_ups",
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("task_id", sa.String(length=40), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_follow_ups_person"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.task_id"], name="fk_follow_ups_task_id"),
        sa.PrimaryKeyConstraint("person", "task_id", name="pk_follow_ups"),
    )
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
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_notices_case_id"),
        sa.ForeignKeyConstraint(["message_id"], ["messages.message_id"], name="fk_notices_message_id"),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name="fk_notices_person"),
        sa.ForeignKeyConstraint(["position"], ["event_positions.position"], name="fk_notices_position"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.task_id"], name="fk_notices_task_id"),
        sa.PrimaryKeyConstraint("notice_id", name="pk_notices"),
        sa.UniqueConstraint("position", "person", "channel", name="uq_notices_position_person_channel"),
    )
    op.create_index(
        "ix_notices_due",
        "notices",
        ["due_at", "channel", "person"],
        unique=False,
        sqlite_where=sa.text("message_id IS NULL"),
        postgresql_where=sa.text("message_id IS NULL"),
    )
    op.create_index(
        "ix_notices_held",
        "notices",
        ["held_by"],
        unique=False,
        sqlite_where=sa.text("held_by IS NOT NULL"),
        postgresql_where=sa.text("held_by IS NOT NULL"),
    )
    op.create_index("ix_notices_message_id", "notices", ["message_id"], unique=False)
    op.create_index("ix_notices_task_id", "notices", ["task_id"], unique=False)
    op.create_index(
        "ix_notices_waiting",
        "notices",
        ["person", "channel"],
        unique=False,
        sqlite_where=sa.text("message_id IS NULL"),
        postgresql_where=sa.text("message_id IS NULL"),
    )
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
    op.create_index("ix_recounts_told_next_at", "recounts", ["told", "next_at"], unique=False)
    op.execute(sa.text("INSERT INTO chain (id, position, peaks) VALUES (1, 0, '')"))
    op.execute(sa.text("INSERT INTO caseless_head (id, count, hash) VALUES (1, 0, '')"))
    op.execute(
        sa.text("INSERT INTO readers (name, position) VALUES ('notices', 0), ('people', 0), ('people-again', 0)")
    )
    installation = op.create_table(
        "installation",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_installation"),
    )
    op.bulk_insert(installation, [{"id": str(uuid4()), "created_at": datetime.now(UTC)}])
