"""The channels by which people are reached: every one that is built in, and those that are switched on.

To add a channel:

1. Write a module (or a folder) `channels/<name>` with a class that has what `channels.channel.Channel` asks for.
2. Add its settings to `Settings`, each with a default, so that the channel can stay off.
3. Add one entry to `CHANNELS`: its name, the settings that must be set, and a function that makes the channel of them.

`HOLDGATE_CHANNELS` then takes the name. Nothing else needs to know of the channel.
"""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from channels.channel import Channel
from channels.console import Console
from channels.dispatcher import Dispatcher
from channels.mailer import Mailer
from channels.message_text import Writer
from channels.smtp import Smtp
from core.settings import PREFIX, Settings, WrongSettings
from domain.wording import Words
from store.db.database import Database, DatabaseUnavailable
from store.notifications.expand import Plan
from store.notifications.outbox import Outbox


@dataclass(frozen=True)
class Entry:
    """A channel that is built in."""

    make: Callable[[Settings], Channel]
    """Makes the channel; called only when all of `needs` are set."""
    needs: tuple[str, ...] = ()
    """Fields of `Settings` that must be set."""
    purpose: str = "send messages"


def _smtp(settings: Settings) -> Channel:
    assert settings.smtp_url and settings.mail_from, "`needs` names both"
    return Smtp(settings.smtp_url.get_secret_value(), settings.mail_from)


CHANNELS: Mapping[str, Entry] = {
    "console": Entry(lambda _: Console()),
    "smtp": Entry(_smtp, needs=("smtp_url", "mail_from"), purpose="send mail"),
}


def check(settings: Settings) -> None:
    """Raise WrongSettings for a channel that does not exist, or whose settings are missing."""
    wrong = f"{PREFIX}CHANNELS={settings.channels}:"
    for name in settings.channels.split(","):
        entry = CHANNELS.get(name)
        if entry is None:
            raise WrongSettings(f"{wrong} '{name}' is no channel. Channels are: {', '.join(CHANNELS)}")
        missing = [PREFIX + needed.upper() for needed in entry.needs if getattr(settings, needed) is None]
        if missing:
            raise WrongSettings(f"{wrong} set {' and '.join(missing)} too, to {entry.purpose}")


def channels_of(settings: Settings) -> dict[str, Channel]:
    """Return the channels that are switched on, by name. Raises WrongSettings."""
    check(settings)
    return {name: CHANNELS[name].make(settings) for name in settings.channels.split(",")}


def mailer(settings: Settings) -> Mailer:
    """Return what writes to people outside: by mail if that is switched on, else into the log. Raises WrongSettings."""
    return Mailer(channels_of(settings).get("smtp") or Console())


def dispatcher(database: Database, settings: Settings, words: Mapping[str, Words]) -> Dispatcher:
    """Return what sends notifications through the channels that are switched on. Raises WrongSettings.

    `words` is the wording of each process, by its name.
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
    return Dispatcher(outbox, channels, Writer(settings.public_url, nouns), unavailable=DatabaseUnavailable)
