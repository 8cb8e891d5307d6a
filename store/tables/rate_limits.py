"""The table of the rate limits."""

from sqlalchemy import Column, Double, String, Table

from store.tables.base import metadata

rate_limits = Table(
    "rate_limits",
    metadata,
    Column("key", String(64), primary_key=True),  # SHA-256 of the kind of request and of the caller
    Column("full_at", Double, nullable=False),  # seconds since 1970, by the clock of the database
)
"""When the bucket of each caller is full again. A bucket without a row is full.

On PostgreSQL the table is unlogged: a write does not wait for the disk, and after a crash of the server all buckets are
full.
"""
