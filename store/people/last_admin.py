"""Refuse changes of people that would leave no active administrator."""

from sqlalchemy import select

from domain.names import ADMINS
from store.db.connection import AsyncConnection
from store.tables.people import memberships, people


class LastAdmin(ValueError):
    """Raised if a change would leave no active administrator."""


async def check_admin_left(conn: AsyncConnection, name: str) -> None:
    """Raise LastAdmin if the change of the person called `name` has left no active administrator.

    Call this after the event of the change: two concurrent changes wait for each other at the audit log, and the second
    sees the first.
    """
    others = select(people.c.id).join(memberships, memberships.c.person == people.c.id)
    others = others.where(memberships.c.group_name == ADMINS, people.c.active, people.c.kind == "person").limit(1)
    if (await conn.execute(others)).first() is None:
        raise LastAdmin(f"{name} is the last member of {ADMINS}. Add another administrator first")
