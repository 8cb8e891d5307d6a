"""Tables of the audit log."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint, text

from store.tables.base import Instant, metadata

events = Table(
    "events",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("event_id", String(1000), nullable=False, unique=True),
    Column("case_id", String(900), nullable=True),  # null: a change of people, tokens or policy
    Column("seq", Integer, nullable=False),  # place in the chain of the case
    Column("at", Instant, nullable=False),
    Column("kind", String(60), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("digest", String(64), nullable=False),  # of the salted payload
    Column("prev_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("case_id", "seq"),
)
"""The audit events. Rows are only added. `store.audit.audit_log` says which data the hashes cover."""

event_payloads = Table(
    "event_payloads",
    metadata,
    Column("position", ForeignKey("events.position"), primary_key=True),
    Column("salt", String(64), nullable=True),
    Column("payload", Text, nullable=True),  # canonical JSON of {"summary", "data"}; null: erased
)
"""Summary and data of events, stored beside the chain: they can be erased, and the check of the hash chain still
succeeds.
"""

refusal_counts = Table(
    "refusal_counts",
    metadata,
    Column("person", String(200), primary_key=True),
    Column("about", String(100), primary_key=True),  # a task; empty: all tasks together
    Column("case_id", String(900), nullable=True),  # of the task
    Column("listed", Integer, nullable=False),  # events that were written; of all tasks, since `since`
    Column("since", Instant, nullable=False),
    Column("uncounted", Integer, nullable=False),  # refusals that are not in an event yet
    Column("first_at", Instant, nullable=True),
    Column("last_at", Instant, nullable=True),
    Index(
        "ix_refusal_counts_waiting",
        "first_at",
        sqlite_where=text("uncounted > 0"),
        postgresql_where=text("uncounted > 0"),
    ),
)
"""How often a person was refused, beyond the refusals that the audit log lists. See `store.audit.refusal_counts`."""

chain = Table(
    "chain",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1
    Column("position", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("seals", BigInteger, nullable=False, server_default="0"),  # number and hash of the newest record of `seals`
    Column("seals_hash", String(64), nullable=False, server_default=""),
)
"""The last position and hash of the audit log. Each writer locks this row, so positions have no gaps."""

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),  # running hash over all events up to here
)

seals = Table(
    "seals",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("case_id", String(900), nullable=True, index=True),  # null: rows of no case
    Column("digest", String(64), nullable=False),  # of salt and rows
    Column("hash", String(64), nullable=False),
    Column("salt", String(64), nullable=True),  # null: erased, with the rows
    Column("rows", Text, nullable=True),  # canonical JSON: by table and key, digest and hints of a row; null: deleted
)
"""Digests of the state in which each transaction left the rows that it wrote.

Rows are only added. See `store.audit.seals`.
"""

readers = Table(
    "readers",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("position", BigInteger, nullable=False),
)
"""The position in the audit log that each reader has reached."""
