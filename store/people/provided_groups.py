"""Groups whose members an identity provider sets: by OIDC at each sign-in, or by SCIM.

A group is owned by a provider as soon as the provider gives it to somebody. Then nobody is added to it here.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import select, update

from store.db.connection import AsyncConnection
from store.db.database import insert_once
from store.people import people
from store.people.person_lock import locked
from store.tables.people import memberships, provided_groups

Provider = Literal["oidc", "scim"]


async def owner(conn: AsyncConnection, group: str) -> Provider | None:
    """Return the provider that owns the group; None for a group whose members are set here."""
    found: Provider | None = await conn.scalar(
        select(provided_groups.c.provider).where(provided_groups.c.group_name == group)
    )
    return found


async def own(conn: AsyncConnection, group: str, provider: Provider) -> None:
    """Note that the provider owns the group. A group that another provider owns keeps its owner."""
    await insert_once(conn, provided_groups, {"group_name": group, "provider": provider, "since": datetime.now(UTC)})


async def assign(conn: AsyncConnection, person: str, groups: Collection[str], provider: Provider, by: str) -> None:
    """Make the memberships that the provider gives to the person exactly `groups`.

    Memberships that were added here, or that another provider gives, stay.

    Raises UnknownPerson, ValueError for an invalid group name, LastAdmin if no administrator would be left.
    """
    await locked(conn, person)
    given = select(memberships.c.group_name).where(memberships.c.person == person, memberships.c.provider == provider)
    before = set((await conn.execute(given)).scalars())
    after = {people.group_named(group) for group in groups}
    for group in sorted(after - before):
        await own(conn, group, provider)
        await people.join(conn, person, group, by)
        of_provider = memberships.c.person == person, memberships.c.group_name == group
        await conn.execute(update(memberships).where(*of_provider).values(provider=provider))
    for group in sorted(before - after):
        await people.leave(conn, person, group, by)
