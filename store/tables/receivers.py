"""Tables of the receivers of effects."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    false,
)

from store.tables.base import Instant, metadata

effects = Table(
    "effects",
    metadata,
    Column("key", String(1000), primary_key=True),
    Column("kind", String(60), nullable=False),  # the step, or the undo
    Column("case_id", String(900), nullable=False, index=True),
    Column("state", String(6), nullable=False),  # done | undone | void (undone before it was done)
    Column("result", JSON, nullable=True),
    Column("at", Instant, nullable=False),
)
"""The effects of receivers in this database, by idempotency key. A row is written in the transaction of the effect."""

dataset_versions = Table(
    "dataset_versions",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("case_id", String(900), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("profile", JSON, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("staged_at", Instant, nullable=False),
    Column("published_at", Instant, nullable=True),
)
"""Versions of datasets, staged or published. `datasets` has the version that is published now."""

dataset_rows = Table(
    "dataset_rows",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("data", JSON, nullable=False),
)

datasets = Table(
    "datasets",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("version", Integer, nullable=True),  # None: no version is published
    Column("published_at", Instant, nullable=True),
    Column("last", Integer, nullable=False, server_default="0"),  # the highest version number ever used
)
"""Which version of each dataset is published. Publishing changes one row of this table."""

directory_accounts = Table(
    "directory_accounts",
    metadata,
    Column("username", String(64), primary_key=True),  # in lower case
    Column("full_name", String(200), nullable=False),
    Column("email", String(254), nullable=False),
    Column("role", String(60), nullable=False),
    Column("manager", String(100), nullable=True),
    Column("case_id", String(900), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("activated_at", Instant, nullable=True),  # for the first time; None: never in use
    Column("disabled_at", Instant, nullable=True),
)
"""Accounts of people in the organisation: a separate directory, not the people of Holdgate."""

entitlements = Table(
    "entitlements",
    metadata,
    Column("grant_key", String(1000), primary_key=True),
    Column("username", ForeignKey("directory_accounts.username"), nullable=False, index=True),
    Column("entitlement", String(60), nullable=False),
    Column("granted_at", Instant, nullable=False),
    Column("revoked_at", Instant, nullable=True),
)

accepted_risks = Table(
    "accepted_risks",
    metadata,
    Column("risk_id", Integer, primary_key=True),
    Column("case_id", String(900), nullable=False, index=True),
    Column("target", String(400), nullable=False, index=True),
    Column("digest", String(64), nullable=False),  # of the scanned content
    Column("severity", String(10), nullable=False),  # of the worst finding
    Column("findings", JSON, nullable=False),
    Column("accepted_by", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("accepted_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("withdrawn_at", Instant, nullable=True),
)
"""Risks that people accepted, each until it expires or is withdrawn."""

accounts = Table(
    "accounts",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("currency", String(3), primary_key=True),
    Column("open", Boolean, nullable=False),
    Column("funded", Boolean, nullable=False),  # may be paid from
    Column("locked", Boolean, nullable=False, server_default=false()),  # temporarily: payments wait
    Column("closed_until", Instant, nullable=True),  # books are closed up to then: no refund of payments in them
    Column("posted", BigInteger, nullable=False),  # debits minus credits of its lines in that layer, in minor units
    Column("pending", BigInteger, nullable=False),
    CheckConstraint("NOT funded OR posted + pending >= 0", name="no_overdraft"),
)
"""Each account in each of its currencies.

The sums are stored beside the lines, so that a hold costs the same after 100,000 payments as after one; `Ledger.check`
compares the sums with the lines.
"""

ledger_changes = Table(
    "ledger_changes",
    metadata,
    Column("change_id", String(40), primary_key=True),
    Column("idempotency_key", String(64), nullable=True, unique=True),
    Column("kind", String(8), nullable=False),  # open | fund
    Column("account", String(120), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("amount", BigInteger, nullable=True),  # in minor units; None: an account without money
    Column("reason", String(500), nullable=False),
    Column("status", String(12), nullable=False),  # waiting | confirmed | withdrawn
    Column("asked_by", String(200), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("closed_by", String(200), nullable=True),
    Column("closed_at", Instant, nullable=True),
    Index("ix_ledger_changes_asked", "asked_at", "change_id"),
)
"""Changes of accounts that administrators have asked for, and their results."""

entries = Table(
    "entries",
    metadata,
    Column("entry_id", Integer, primary_key=True),
    Column("idempotency_key", String(1000), nullable=False, unique=True),
    Column("kind", String(12), nullable=False),  # fund | hold | release | capture | refund | void
    Column("case_id", String(900), nullable=True, index=True),
    Column("reference", String(120), nullable=False),
    Column("reference_key", String(240), nullable=False, server_default="", index=True),  # normalised for comparison
    Column("undoes", String(1000), nullable=True, unique=True),  # the key this entry reverses or voids
    Column("account", String(120), nullable=True),
    Column("currency", String(3), nullable=True),
    Column("amount", BigInteger, nullable=True),  # in minor units
    Column("payee", String(300), nullable=True),
    Column("payee_key", String(300), nullable=True),
    Column("payee_account", String(40), nullable=True),
    Column("at", Instant, nullable=False),
    Index("ix_entries_payee", "payee_key", "kind", "at"),
    CheckConstraint("amount IS NULL OR amount > 0", name="amount_positive"),
)
"""Entries of the ledger: one row for each effect, and for each void key, which was undone before it was used."""

lines = Table(
    "lines",
    metadata,
    Column("entry_id", ForeignKey("entries.entry_id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("layer", String(7), nullable=False),  # posted: money that moved | pending: money that is held
    Column("account", String(120), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("debit", BigInteger, nullable=False),
    Column("credit", BigInteger, nullable=False),
    CheckConstraint(
        "(debit > 0 AND credit = 0) OR (credit > 0 AND debit = 0)",
        name="one_side",
    ),
    Index("ix_lines_account", "account", "currency", "layer"),
)
