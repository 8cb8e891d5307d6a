"""Add people to groups. If a group has no members and no policy names it, the caller must confirm the group."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Query

from api.container import Services
from api.http.problems import FieldError, invalid
from policy.groups import known_groups
from store.db.connection import AsyncConnection
from store.people.name_resolver import NewGroup, new_group

ConfirmGroup = Annotated[
    bool,
    Query(
        description="Create a group that has no members and that no policy names. Without it, such a group is refused"
    ),
]


@asynccontextmanager
async def put_into(
    services: Services, groups: Collection[str], *, confirm: bool, field: str
) -> AsyncIterator[AsyncConnection]:
    """Yield a transaction in which the caller adds people to these groups.

    If a group has no members and no policy names it, the transaction is rolled back and Problem 422 is raised, unless
    `confirm` is True. The name of such a group may be a typing error.
    """
    try:
        async with services.db.write() as conn:
            doubtful = None if confirm else await new_group(conn, groups, known_groups(services.policy.current))
            yield conn
            if doubtful:
                raise doubtful
    except NewGroup as new:
        message = str(new)
        detail = f"{message[:1].upper()}{message[1:]}{'' if message.endswith('?') else '.'} "
        detail += "Send confirm=true to make it a new group."
        raise invalid(
            detail, [FieldError(field=field, message=message)], new_group=new.group, suggestions=new.suggestions
        ) from new
