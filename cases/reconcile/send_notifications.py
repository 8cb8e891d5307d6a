"""Send notifications through the channels that are switched on."""

import os
import socket
from collections.abc import Mapping
from datetime import timedelta
from uuid import uuid4

from channels.dispatcher import Dispatcher
from channels.message_writer import MessageWriter
from channels.registry import channels_of
from core.settings import Settings
from domain.wording import Words
from store.db.database import Database, DatabaseUnavailable
from store.notifications.fan_out import Plan
from store.notifications.outbox import Outbox


def dispatcher(database: Database, settings: Settings, words: Mapping[str, Words]) -> Dispatcher:
    """Return the dispatcher of notifications for the channels that are switched on.

    `words` is the wording of each process, by name of the process. Raises WrongSettings if the settings of a channel
    are wrong.
    """
    channels = list(channels_of(settings).values())
    plan = Plan(
        channels={channel.name: channel.needs_address for channel in channels},
        window=timedelta(seconds=settings.notice_window_s),
        digest_at=settings.digest_at,
    )
    money = {name: each.money for name, each in words.items() if each.money}
    nouns = {name: each.nouns for name, each in words.items()}
    outbox = Outbox(database, plan, money, holder=f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex}")
    return Dispatcher(outbox, channels, MessageWriter(settings.public_url, nouns), unavailable=DatabaseUnavailable)
