"""The registry of channels: which channels are on, and which settings each needs."""

import pytest

from channels.console.send import Console
from channels.registry import CHANNELS, channels_of, check
from channels.smtp.send import Smtp
from core.settings import WrongSettings, load


def test_mail_needs_a_server_and_a_sender_and_says_which_is_missing() -> None:
    for given, missing in (
        ({}, "set HOLDGATE_SMTP_URL and HOLDGATE_MAIL_FROM too"),
        ({"mail_from": "holdgate@example.org"}, "set HOLDGATE_SMTP_URL too"),
        ({"smtp_url": "smtp://127.0.0.1"}, "set HOLDGATE_MAIL_FROM too"),
    ):
        with pytest.raises(WrongSettings, match=f"^HOLDGATE_CHANNELS=console,smtp: {missing}, to send mail$"):
            check(load(channels="console,smtp", **given))


@pytest.mark.parametrize(
    ("channels", "says"),
    [("console,pigeon", "'pigeon' is not a channel. Name one or more of: console, smtp"), ("", "'' is not a channel")],
)
def test_an_unknown_channel_is_refused_with_the_names_there_are(channels: str, says: str) -> None:
    with pytest.raises(WrongSettings, match=says):
        check(load(channels=channels))


def test_the_channels_of_the_settings_are_made_by_their_name() -> None:
    settings = load(channels="smtp,console", smtp_url="smtps://h", mail_from="Holdgate <holdgate@example.org>")
    found = channels_of(settings)
    assert [type(channel) for channel in found.values()] == [Smtp, Console]
    assert {name: channel.name for name, channel in found.items()} == {"smtp": "smtp", "console": "console"}


def test_every_setting_that_a_channel_needs_exists() -> None:
    known = set(load().model_dump())
    assert {needed for entry in CHANNELS.values() for needed in entry.needs} <= known
