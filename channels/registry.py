"""List all channels, and make those that `HOLDGATE_CHANNELS` switches on.

To add a channel:

1. Write `channels/<name>/send.py` with a class that has the members of `channels.channel.Channel`: `name`,
   `needs_address` and `send`.

2. Add the settings of the channel to `Settings`, each with a default, so that the channel can stay off.

3. Add one entry to `CHANNELS`: the name of the channel, the required settings, and a function that makes the channel.

`HOLDGATE_CHANNELS` then accepts the name of the channel. docs/extend/where-to-add-things.md lists the other files to
change.

Two features use the mail channel by its name, `domain.notification.MAIL`: one-time links are sent by mail only, and
`mailer` sends mails to people outside Holdgate.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from channels.channel import Channel
from channels.console.send import Console
from channels.mailer import Mailer
from channels.smtp.send import Smtp
from core.settings import PREFIX, Settings, WrongSettings
from domain.notification import MAIL


@dataclass(frozen=True)
class ChannelEntry:
    """One channel of the table `CHANNELS`: how it is made, and which settings it needs."""

    make: Callable[[Settings], Channel]
    """Makes the channel from the settings. The function is called only if all settings in `needs` are set."""
    needs: tuple[str, ...] = ()
    """The fields of `Settings` that must be set if the channel is switched on."""
    purpose: str = "send messages"


def _smtp(settings: Settings) -> Channel:
    assert settings.smtp_url and settings.mail_from, "`needs` names both"
    return Smtp(settings.smtp_url.get_secret_value(), settings.mail_from)


CHANNELS: Mapping[str, ChannelEntry] = {
    "console": ChannelEntry(lambda settings: Console(texts=settings.log_texts)),
    MAIL: ChannelEntry(_smtp, needs=("smtp_url", "mail_from"), purpose="send mail"),
}


def check(settings: Settings) -> None:
    """Raise WrongSettings if `HOLDGATE_CHANNELS` names a channel that does not exist, or whose settings are missing."""
    wrong = f"{PREFIX}CHANNELS={settings.channels}:"
    for name in settings.channels.split(","):
        entry = CHANNELS.get(name)
        if entry is None:
            raise WrongSettings(f"{wrong} '{name}' is not a channel. Name one or more of: {', '.join(CHANNELS)}")
        missing = [PREFIX + needed.upper() for needed in entry.needs if getattr(settings, needed) is None]
        if missing:
            raise WrongSettings(f"{wrong} set {' and '.join(missing)} too, to {entry.purpose}")


def channels_of(settings: Settings) -> dict[str, Channel]:
    """Return the channels that are switched on, by name. Raises WrongSettings."""
    check(settings)
    return {name: CHANNELS[name].make(settings) for name in settings.channels.split(",")}


def mailer(settings: Settings) -> Mailer:
    """Return the sender of mails to people outside Holdgate.

    If the mail channel is switched off, the sender prints to the worker's output, as the channel `console` does.
    Raises WrongSettings.
    """
    return Mailer(channels_of(settings).get(MAIL) or Console(texts=settings.log_texts))
