"""Groups whose members an identity provider sets: by OIDC at each sign-in, or by SCIM."""

from collections.abc import Collection

from sqlalchemy import select, update

from store.db.connection import AsyncConnection
from store.people import group_owners, people
from store.people.group_owners import ProvidedGroup as ProvidedGroup, Provider as Provider, owner as owner
from store.people.person_lock import locked
from store.tables.people import memberships


async def assign(conn: AsyncConnection, person: str, groups: Collection[str], provider: Provider, by: str) -> None:
    """Make the memberships that the provider gives to the person exactly `groups`.

    A membership that was added here, in a group that the provider gives now, belongs to the provider from now on: it
    ends when the provider takes the group away. Other memberships that were added here, and those that another provider
    gives, stay. A person who is not active gets no groups.

    Raises UnknownPerson, ValueError for an invalid group name, LastAdmin if no administrator would be left.
    """
    active = await locked(conn, person) is not None
    given = select(memberships.c.group_name).where(memberships.c.person == person, memberships.c.provider == provider)
    before = set((await conn.execute(given)).scalars())
    after = {people.group_named(group) for group in groups} if active else set()
    for group in sorted(after - before):
        await group_owners.own(conn, group, provider, by)
        await people.join(conn, person, group, by, provider)
        added_here = (memberships.c.person == person, memberships.c.group_name == group)
        taken = update(memberships).where(*added_here, memberships.c.provider.is_(None))
        await conn.execute(taken.values(provider=provider))
    for group in sorted(before - after):
        await people.leave(conn, person, group, by, provider)
