"""Notify people when a person is added to a group.

One administrator alone can add an accomplice to a group that decides. Such a change is allowed but must be visible, so
the members of the group and all other administrators are notified.
"""

from collections.abc import Sequence

from sqlalchemy import select

from domain.names import ADMINS, REQUESTERS
from domain.notification import AccountNewsKind
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.notifications import account_news
from store.tables.people import memberships, people


async def tell(conn: AsyncConnection, id: str, groups: Sequence[str], by: str) -> None:
    """Notify people that `by` added a person to these groups.

    When a person becomes an administrator, all other administrators are notified, regardless of who made the change.
    For other groups people are notified only if a signed-in person made the change: the command line may add hundreds
    of members. Nobody is notified about the group `requesters`, because this group decides nothing.
    """
    for group in sorted(set(groups) - {REQUESTERS}):
        if group == ADMINS:
            for other in await _active(conn, [ADMINS], {id}):
                await account_news.tell(conn, other, AccountNewsKind.ADMIN_ADDED, by, about=id)
        elif audit_log.is_person(by):
            for other in await _active(conn, [ADMINS, group], {id, by}):
                await account_news.tell(conn, other, AccountNewsKind.MEMBER_ADDED, by, about=f"{group}: {id}")


async def _active(conn: AsyncConnection, groups: Sequence[str], but: set[str]) -> list[str]:
    query = select(people.c.id).join(memberships, memberships.c.person == people.c.id).distinct()
    query = query.where(memberships.c.group_name.in_(groups), people.c.id.not_in(but))
    query = query.where(people.c.active, people.c.kind == "person")
    return list((await conn.execute(query.order_by(people.c.id))).scalars())
