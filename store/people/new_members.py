"""Notify people when a person is added to a group.

One administrator alone can add an accomplice to a group that decides. Such a change is allowed but must be visible, so
the members of the group and all other administrators are notified.
"""

from collections.abc import Sequence

from domain.names import ADMINS, REQUESTERS
from domain.notification import AccountNewsKind
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.notifications import account_news
from store.people.members import active_members


async def tell(conn: AsyncConnection, id: str, groups: Sequence[str], by: str) -> None:
    """Notify people that `by` added a person to these groups.

    When a person becomes an administrator, all other administrators are notified, regardless of who made the change.
    For other groups people are notified only if a signed-in person made the change: the command line may add hundreds
    of members. Nobody is notified about the group `requesters`, because this group decides nothing.
    """
    for group in sorted(set(groups) - {REQUESTERS}):
        if group == ADMINS:
            for other in await active_members(conn, ADMINS, but={id}):
                await account_news.tell(conn, other, AccountNewsKind.ADMIN_ADDED, by, about=id)
        elif audit_log.is_person(by):
            for other in await active_members(conn, ADMINS, group, but={id, by}):
                await account_news.tell(conn, other, AccountNewsKind.MEMBER_ADDED, by, about=f"{group}: {id}")
