"""The channels: all that are built in, and those that are switched on.

To add a channel:

1. Write a module (or a folder) `channels/<name>` with a class that has the members of `channels.channel.Channel`.

2. Add its settings to `Settings`, each with a default, so that the channel can stay off.

3. Add one entry to `CHANNELS`: its name, its required settings, and a function that makes the channel.

`HOLDGATE_CHANNELS` then takes the name. Nothing else needs to know the channel.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from channels.channel import Channel
from channels.console.send import Console
from channels.mailer import Mailer
from channels.smtp.send import Smtp
from core.settings import PREFIX, Settings, WrongSettings


@dataclass(frozen=True)
class ChannelEntry:
    """A channel that is built in."""

    make: Callable[[Settings], Channel]
    """Makes the channel. Called only when all settings in `needs` are set."""
    needs: tuple[str, ...] = ()
    """Fields of `Settings` that must be set."""
    purpose: str = "send messages"


def _smtp(settings: Settings) -> Channel:
    assert settings.smtp_url and settings.mail_from, "`needs` names both"
    return Smtp(settings.smtp_url.get_secret_value(), settings.mail_from)


CHANNELS: Mapping[str, ChannelEntry] = {
    "console": ChannelEntry(lambda _: Console()),
    "smtp": ChannelEntry(_smtp, needs=("smtp_url", "mail_from"), purpose="send mail"),
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
    """Return the sender of mails to people outside: by mail if that is switched on, else into the log.

    Raises WrongSettings.
    """
    return Mailer(channels_of(settings).get("smtp") or Console())
