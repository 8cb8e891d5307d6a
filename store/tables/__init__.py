"""Tables of the database, all in one metadata."""

from store.tables import audit, cases, notifications, people, receivers
from store.tables.base import metadata

__all__ = ["audit", "cases", "metadata", "notifications", "people", "receivers"]
