"""Tables of the database, all in one metadata."""

from store.tables import audit, cases, installation, notifications, people, rate_limits, receivers, scim
from store.tables.base import metadata

__all__ = ["audit", "cases", "installation", "metadata", "notifications", "people", "rate_limits", "receivers", "scim"]
