"""The table with the identity of the database."""

from sqlalchemy import Column, String, Table

from store.tables.base import Instant, metadata

installation = Table(
    "installation",
    metadata,
    Column("id", String(36), primary_key=True),  # random
    Column("created_at", Instant, nullable=False),
)
"""One row, which the migration creates and nobody changes. A backup of the database has the same row."""
