"""Who is told that somebody was put into a group.

One administrator can put a person they know into a group that decides. Nothing forbids that, so it is not done unseen:
the members of the group and all other administrators are told.
"""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.names import ADMINS, REQUESTERS
from domain.notification import AccountNewsKind
from store.audit import audit_log
from store.notifications import account_news
from store.tables.people import memberships, people


async def tell(conn: AsyncConnection, id: str, groups: Sequence[str], by: str) -> None:
    """Tell people that `by` made a person a member of these groups.

    Of a new administrator all others are told, whoever did it. Other groups are told of if a person did it who signs in
    here: the command line may fill a group with hundreds. In `requesters` nobody decides, so nobody is told of it.
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
    query = query.where(memberships.c.group_name.in_(groups), people.c.active, people.c.id.not_in(but))
    return list((await conn.execute(query.order_by(people.c.id))).scalars())
