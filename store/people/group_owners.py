"""Who sets the members of a group: administrators here, or an identity provider.

A group is owned by a provider as soon as the provider gives it to somebody, or an administrator mapped it. Then nobody
is added to it here, and nobody loses here what the provider gave.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import delete, select

from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import insert_once
from store.tables.people import memberships, provided_groups

Provider = Literal["oidc", "scim"]

PROVIDER_NAMES = {"oidc": "single sign-on", "scim": "SCIM"}
"""What people read, by provider."""


class ProvidedGroup(ValueError):
    """Raised if a change of a group is refused, because an identity provider sets its members."""

    def __init__(self, group: str, provider: str) -> None:
        name = PROVIDER_NAMES[provider]
        super().__init__(
            f"the identity provider sets the members of {group} (by {name}): change the group in the identity provider"
        )
        self.group, self.provider = group, provider


async def owned(conn: AsyncConnection, groups: Collection[str]) -> dict[str, Provider]:
    """Return those of the groups that a provider owns, each with its provider, ordered by name."""
    if not groups:
        return {}
    query = select(provided_groups).where(provided_groups.c.group_name.in_(sorted(set(groups))))
    rows = await conn.execute(query.order_by(provided_groups.c.group_name))
    return {row.group_name: row.provider for row in rows}


async def owner(conn: AsyncConnection, group: str) -> Provider | None:
    """Return the provider that owns the group; None for a group whose members are set here."""
    return (await owned(conn, [group])).get(group)


async def check_local(conn: AsyncConnection, groups: Collection[str]) -> None:
    """Raise ProvidedGroup if an identity provider sets the members of one of these groups."""
    for group, provider in (await owned(conn, groups)).items():
        raise ProvidedGroup(group, provider)


async def own(conn: AsyncConnection, group: str, provider: Provider, by: str) -> None:
    """Store that the provider owns the group. A group that another provider owns keeps its owner."""
    row = {"group_name": group, "provider": provider, "since": datetime.now(UTC)}
    if await insert_once(conn, provided_groups, row):
        summary = f"{PROVIDER_NAMES[provider]} sets the members of {group} now"
        await audit_log.note(
            conn, "group_provided", by=by, summary=summary, data={"group": group, "provider": provider}
        )


async def release(conn: AsyncConnection, group: str, provider: Provider, by: str) -> None:
    """Let administrators set the members of the group again, if no member has the group from the provider."""
    given = select(memberships.c.person).where(memberships.c.group_name == group, memberships.c.provider == provider)
    if (await conn.execute(given.limit(1))).first() is not None:
        return
    its = (provided_groups.c.group_name == group, provided_groups.c.provider == provider)
    if (await conn.execute(delete(provided_groups).where(*its))).rowcount:
        summary = f"Administrators set the members of {group} again"
        await audit_log.note(
            conn, "group_released", by=by, summary=summary, data={"group": group, "provider": provider}
        )
