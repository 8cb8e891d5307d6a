"""Messages about an account: one for each channel."""

from datetime import UTC, datetime

from sqlalchemy import select

from domain.notification import AccountNewsKind
from store.db.database import Database
from store.notifications import account_news
from store.tables.notifications import messages
from tests.store.outbox_fixture import Mailroom


async def test_channels_whose_names_start_with_the_same_letters_each_get_a_message(db: Database) -> None:
    channels = {"chat-room-north": False, "chat-room-south": False, "chat": True, "fchat": True}
    await Mailroom(db, channels=channels).staff()
    async with db.write() as conn:
        await account_news.tell(conn, "manager-1", AccountNewsKind.PASSWORD_SET, by="operator-1")
        await account_news.queue(conn, channels, datetime.now(UTC))
        found = await conn.scalars(select(messages.c.channel).where(messages.c.person == "manager-1"))
        assert sorted(found) == sorted(channels)
