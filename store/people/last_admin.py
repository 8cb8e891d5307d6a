"""Refuse changes of people that would leave no active administrator."""

from domain.names import ADMINS
from store.db.connection import AsyncConnection
from store.people.members import active_members


class LastAdmin(ValueError):
    """Raised if a change would leave no active administrator."""


async def check_admin_left(conn: AsyncConnection, name: str) -> None:
    """Raise LastAdmin if the change of the person called `name` has left no active administrator.

    Call this after the event of the change: two concurrent changes wait for each other at the audit log, and the second
    sees the first.
    """
    if not await active_members(conn, ADMINS):
        raise LastAdmin(f"{name} is the last member of {ADMINS}. Add another administrator first")
