"""Notifications to people about their own accounts, by mail and on pages. A person cannot turn these notifications off.

A row is written in the transaction that changes the account. The dispatcher of notifications makes messages from the
rows; see `outbox.py`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict
from sqlalchemy import exists, insert, or_, select, update

from domain.notification import AccountNewsKind
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import insert_into
from store.tables.notifications import account_news, messages
from store.tables.people import people

FORMER_FOR = timedelta(days=7)
"""How long the former address gets notifications, too, so that nobody can change an address without being noticed."""
AT_A_TIME = 100


class AccountNews(BaseModel):
    """One change of an account."""

    model_config = ConfigDict(from_attributes=True)

    news_id: int
    at: datetime
    kind: AccountNewsKind
    by: str
    about: str
    """The subject of the change, such as the label of a token."""
    seen_at: datetime | None


async def tell(
    conn: AsyncConnection, person: str, kind: AccountNewsKind, by: str, about: str = "", link_id: str | None = None
) -> None:
    """Store a notification for the person. If the software itself made the change, as in the demo, store nothing."""
    if by == audit_log.ENGINE:
        return
    row = {"person": person, "at": datetime.now(UTC), "kind": kind.value, "by": by, "about": about[:200]}
    await conn.execute(insert(account_news).values(**row, link_id=link_id))


async def of(conn: AsyncConnection, person: str, limit: int = 20) -> list[AccountNews]:
    """Return the changes of the person's account, newest first, at most `limit`."""
    query = select(account_news).where(account_news.c.person == person)
    query = query.order_by(account_news.c.at.desc(), account_news.c.news_id.desc()).limit(limit)
    return [AccountNews.model_validate(row) for row in await conn.execute(query)]


async def seen(conn: AsyncConnection, person: str, upto: int) -> None:
    """Mark the change with this number, and all earlier changes of the account, as read by the person."""
    unseen = (account_news.c.person == person, account_news.c.news_id <= upto, account_news.c.seen_at.is_(None))
    await conn.execute(update(account_news).where(*unseen).values(seen_at=datetime.now(UTC)))


async def waiting(conn: AsyncConnection) -> bool:
    """Return True if there are changes of accounts for which no messages were created yet."""
    return bool(await conn.scalar(select(exists().where(~account_news.c.queued))))


async def queue(conn: AsyncConnection, channels: Mapping[str, bool], now: datetime) -> None:
    """Create messages about changes of accounts for which no messages were created yet.

    The messages go to the current address and, for 7 days after a change of the address, also to the former address.
    `channels` are the enabled channels, each with True if the channel needs an address.
    """
    query = (
        select(account_news, people.c.email, people.c.former_email, people.c.email_set_at)
        .join(people, people.c.id == account_news.c.person)
        .where(~account_news.c.queued)
        .order_by(account_news.c.news_id)
        .limit(AT_A_TIME)
    )
    found = (await conn.execute(query)).all()
    rows = []
    for row in found:
        former = bool(row.former_email and row.email_set_at and row.email_set_at + FORMER_FOR > now)
        for channel, needs_address in channels.items():
            copies = [False] if row.email or not needs_address else []
            for to_former in copies + [True] * (former and needs_address):
                message_id = f"a{row.news_id}{'f' * to_former}-{channel}"
                message = {"message_id": message_id, "channel": channel, "person": row.person, "state": "waiting"}
                rows.append({**message, "attempts": 0, "next_at": now, "news_id": row.news_id, "former": to_former})
    if rows:
        await conn.execute(insert_into(conn, messages).on_conflict_do_nothing(), rows)
    done = [row.news_id for row in found]
    await conn.execute(update(account_news).where(account_news.c.news_id.in_(done)).values(queued=True))


async def forget_addresses(conn: AsyncConnection, now: datetime) -> None:
    """Delete former mail addresses to which no more notifications are sent."""
    over = or_(people.c.email_set_at.is_(None), people.c.email_set_at <= now - FORMER_FOR)
    unsent = exists().where(messages.c.person == people.c.id, messages.c.former, messages.c.state == "waiting")
    stale = (people.c.former_email.is_not(None), over, ~unsent)
    await conn.execute(update(people).where(*stale).values(former_email=None))
