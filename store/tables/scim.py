"""Tables of what an identity provider sends by SCIM 2.0: its users and groups, and what they are in Holdgate."""

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Integer, String, Table

from store.tables.base import Instant, metadata

scim_users = Table(
    "scim_users",
    metadata,
    Column("scim_id", String(36), primary_key=True),  # a random UUID, which the provider keeps
    Column("person", ForeignKey("people.id"), nullable=False, unique=True),
    Column("user_key", String(500), nullable=False, unique=True),  # the userName for comparisons, which ignore case
    Column("external_id", String(500), nullable=True, index=True),
    Column("active", Boolean, nullable=False),  # whether the provider lets the person in
    Column("attributes", JSON, nullable=False),  # exactly what the provider sent, of the attributes that are kept
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("version", Integer, nullable=False),
)
"""The users that the provider has now. The row of a user that the provider deletes is deleted; the person stays."""

scim_names = Table(
    "scim_names",
    metadata,
    Column("user_key", String(500), primary_key=True),
    Column("person", ForeignKey("people.id"), nullable=False, index=True),
    Column("since", Instant, nullable=False),
)
"""The person to whom each userName belongs, also after the provider deleted the user."""

scim_groups = Table(
    "scim_groups",
    metadata,
    Column("scim_id", String(36), primary_key=True),
    Column("name_key", String(500), nullable=False, index=True),  # the displayName for comparisons, which ignore case
    Column("external_id", String(500), nullable=True, index=True),
    Column("group_name", String(60), nullable=True, index=True),  # the group that it fills; null: none
    Column("attributes", JSON, nullable=False),  # exactly what the provider sent, without the members
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("version", Integer, nullable=False),
)
"""The groups that the provider has now."""

scim_members = Table(
    "scim_members",
    metadata,
    Column("scim_group", ForeignKey("scim_groups.scim_id"), primary_key=True),
    Column("scim_user", ForeignKey("scim_users.scim_id"), primary_key=True, index=True),
    Column("display", String(500), nullable=True),  # as the provider sent it
)
"""The users in each group of the provider."""

scim_mappings = Table(
    "scim_mappings",
    metadata,
    Column("name_key", String(500), primary_key=True),
    Column("display_name", String(500), nullable=False),
    Column("group_name", String(60), nullable=False),
    Column("mapped_by", String(200), nullable=False),
    Column("mapped_at", Instant, nullable=False),
)
"""Which group a group of the provider fills, where an administrator said so."""
