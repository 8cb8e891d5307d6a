"""Tables of the audit log."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint, text

from store.tables.base import Instant, metadata

events = Table(
    "events",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),  # key of the row; has gaps
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
"""The audit events. Rows are only added. `store.audit.hashing` says which data the hashes cover.

Within a case, `number` grows like `seq`.
"""

event_payloads = Table(
    "event_payloads",
    metadata,
    Column("number", ForeignKey("events.number"), primary_key=True),
    Column("salt", String(64), nullable=True),
    Column("payload", Text, nullable=True),  # canonical JSON of {"summary", "data"}; null: erased
)
"""Summary and data of events, stored beside the chain: they can be erased, and the check of the hash chain still
succeeds.
"""

event_positions = Table(
    "event_positions",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("number", ForeignKey("events.number"), nullable=False, unique=True),
)
"""Append-only: the global order of events, from 1 without gaps. `store.audit.sequencing` writes this table."""

caseless_head = Table(
    "caseless_head",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1
    Column("count", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
)
"""The head of the chain of events without a case. Only writers of such events lock its row."""

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
    Column("peaks", Text, nullable=False),  # of the tree over the events
    Column("seals", BigInteger, nullable=False, server_default="0"),  # position and hash of the newest seal
    Column("seals_hash", String(64), nullable=False, server_default=""),
)
"""The heads of the global orders: position and tree of the events, position and hash of the seals.

On PostgreSQL only the sequencer locks this row.
"""

event_blocks = Table(
    "event_blocks",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("root", String(64), nullable=False),  # of the subtree of the 256 events up to here
)
"""Append-only: a row for each 256th position. `store.audit.sequencing` writes this table."""

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),  # when it was signed
    Column("note", Text, nullable=False),  # the signed note: see `store.audit.checkpoints.note`
)
"""Append-only: the signed checkpoints of the audit log. `size` is the last position that a checkpoint covers."""

seals = Table(
    "seals",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),  # key of the row; has gaps
    Column("case_id", String(900), nullable=True, index=True),  # null: rows of no case
    Column("digest", String(64), nullable=False),  # of salt and rows
    Column("salt", String(64), nullable=True),  # null: erased, with the rows
    Column("rows", Text, nullable=True),  # canonical JSON: by table and key, digest and hints of a row; null: deleted
)
"""Digests of the state in which each transaction left the rows that it wrote.

Rows are only added. See `store.audit.seals`.
"""

seal_positions = Table(
    "seal_positions",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("number", ForeignKey("seals.number"), nullable=False, unique=True),
    Column("hash", String(64), nullable=False),  # includes the hash of the seal before
)
"""Append-only: the chain of seals, from 1 without gaps. `store.audit.sequencing` writes this table."""

unsequenced = Table(
    "unsequenced",
    metadata,
    Column("kind", String(5), primary_key=True),  # event | seal
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),  # when it was written
)
"""Events and seals of committed transactions that have no position yet. On SQLite this table is always empty."""

readers = Table(
    "readers",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("position", BigInteger, nullable=False),
)
"""The position in the audit log that each reader has reached."""
