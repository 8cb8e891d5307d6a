"""Single mails to external people, by a real mail server or into the log."""

import io
import logging
from collections.abc import Iterator

import pytest

from channels.channel import Outgoing
from channels.console.send import Console
from channels.mailer import Mailer, MailNotSent, MailRefused
from channels.message import MessageText
from channels.registry import mailer
from channels.smtp.send import Smtp
from core.settings import Settings
from tests.support.installed_app import free_port
from tests.support.smtp_sink import Sink

ADA = "ada@example.org"


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


def by_mail(port: int) -> Mailer:
    return Mailer(Smtp(f"smtp://127.0.0.1:{port}", "Holdgate <holdgate@example.net>"))


async def test_a_mail_is_plain_text_and_has_the_id_it_was_given(sink: Sink) -> None:
    await by_mail(sink.port).send("welcome-1", ADA, "Your account", "Grüße\n")
    (mail,) = sink.mails
    assert (mail.to, mail.subject, mail.message_id) == (ADA, "Your account", "<welcome-1@example.net>")
    assert mail.content.get_content_type() == "text/plain" and mail.plain.strip() == "Grüße"


async def test_a_server_that_is_away_is_tried_again_and_one_that_says_no_is_not(sink: Sink) -> None:
    with pytest.raises(MailNotSent) as away:
        await by_mail(free_port()).send("m", ADA, "s", "t")
    assert not away.value.non_retryable
    sink.replies[ADA] = f"550 no such user {ADA}"
    with pytest.raises(MailRefused, match="550 no such user the address") as refused:
        await by_mail(sink.port).send("m", ADA, "s", "t")
    assert refused.value.non_retryable and ADA not in str(refused.value)


async def test_a_subject_cannot_add_a_header(sink: Sink) -> None:
    with pytest.raises(ValueError):
        await by_mail(sink.port).send("m", ADA, "Hello\r\nBcc: all@example.org", "t")
    assert sink.mails == []


async def test_without_mail_it_is_printed() -> None:
    output = io.StringIO()
    await Mailer(Console(output, texts=True)).send("m", ADA, "Your account", "Hello Ada\n")
    assert f"to {ADA}: Your account" in output.getvalue() and "Hello Ada" in output.getvalue()


async def test_only_ids_of_messages_are_logged_unless_texts_are_asked_for(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    text = MessageText("Pay Acme", "Pay Acme 10\n", html="")
    console = Console()
    await console.send(Outgoing("m-1", "manager-1", "Mo Manager", "mo@example.org", text))
    await Mailer(console).send("m-2", ADA, "Your account", "Hello Ada\n")
    first, second = caplog.messages
    assert "message m-1 for manager-1" in first and "message m-2 for somebody outside" in second
    said = caplog.text + capsys.readouterr().out
    assert not [secret for secret in (ADA, "Acme", "Mo M", "Hello", "Your account") if secret in said]


async def test_the_channels_of_the_settings_say_which_it_is(sink: Sink, capsys: pytest.CaptureFixture[str]) -> None:
    mail = {"smtp_url": f"smtp://127.0.0.1:{sink.port}", "mail_from": "holdgate@example.org"}
    await mailer(Settings.model_validate({**mail, "channels": "console,smtp"})).send("m", ADA, "By mail", "t\n")
    assert [each.subject for each in sink.mails] == ["By mail"]
    await mailer(Settings.model_validate({**mail, "channels": "console", "log_texts": True})).send(
        "m", ADA, "Into the log", "t\n"
    )
    assert len(sink.mails) == 1
    said = capsys.readouterr().out
    assert "Into the log" in said and "By mail" not in said
