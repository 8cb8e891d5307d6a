"""Mail to a real SMTP server: delivered, refused, and what is never sent unencrypted."""

import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from channels.channel import Outgoing, RefusedForGood, TryLater
from channels.message import MessageText
from channels.smtp.send import Smtp
from tests.support.installed_app import free_port
from tests.support.smtp_sink import Sink, sent_at

FROM = "Holdgate <holdgate@example.org>"


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Of a server at 127.0.0.1, trusted by this process."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run([*made, *name, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def outgoing(subject: str = "Pay Müller & Söhne 2,640.00 EUR needs your decision", **changes: str) -> Outgoing:
    text = MessageText(subject=subject, plain="Grüße\nhttp://127.0.0.1:8000/tasks/t1\n", html="<p>Grüße</p>")
    return Outgoing(
        message_id=changes.get("message_id", "m1"),
        person="manager-1",
        name="Mary",
        address=changes.get("address", "mary@example.org"),
        text=text,
    )


async def test_a_mail_arrives_as_text_and_html_and_says_that_a_machine_wrote_it(sink: Sink) -> None:
    await Smtp(f"smtp://127.0.0.1:{sink.port}", FROM).send(outgoing())
    (mail,) = sink.mails
    content = mail.content
    assert (mail.to, mail.sender, content["To"], content["From"]) == (
        "mary@example.org",
        "holdgate@example.org",
        "mary@example.org",
        FROM,
    )
    assert mail.subject == "Pay Müller & Söhne 2,640.00 EUR needs your decision"
    assert mail.plain.replace("\r\n", "\n") == "Grüße\nhttp://127.0.0.1:8000/tasks/t1\n"
    assert mail.html.strip() == "<p>Grüße</p>"
    assert content.get_content_type() == "multipart/alternative"
    assert content["Auto-Submitted"] == "auto-generated"
    assert abs(sent_at(mail) - datetime.now(UTC)) < timedelta(seconds=30)


async def test_a_second_attempt_has_the_same_message_id(sink: Sink) -> None:
    smtp = Smtp(f"smtp://127.0.0.1:{sink.port}", FROM)
    for message_id in ("m1", "m1", "m2"):
        await smtp.send(outgoing(message_id=message_id))
    assert [mail.message_id for mail in sink.mails] == ["<m1@example.org>", "<m1@example.org>", "<m2@example.org>"]


@pytest.mark.parametrize("reply", ["550 5.1.1 <mary@example.org>: no such user", "552 MARY@EXAMPLE.ORG is full"])
async def test_a_recipient_whom_the_server_refuses_is_refused_for_good_without_the_address(
    sink: Sink, reply: str
) -> None:
    sink.replies["mary@example.org"] = reply
    with pytest.raises(RefusedForGood, match=r"^55\d .*the address") as refused:
        await Smtp(f"smtp://127.0.0.1:{sink.port}", FROM).send(outgoing())
    assert "@" not in str(refused.value) and sink.mails == []


async def test_a_mail_that_the_server_will_not_have_is_refused_for_good(sink: Sink) -> None:
    sink.answer = "554 this looks like spam"
    with pytest.raises(RefusedForGood, match="554 this looks like spam"):
        await Smtp(f"smtp://127.0.0.1:{sink.port}", FROM).send(outgoing())


async def test_a_server_that_refuses_the_sender_is_tried_later_for_that_is_not_the_recipients_fault(sink: Sink) -> None:
    sink.sender_reply = "550 not from here"
    with pytest.raises(TryLater, match=r"^550 not from here$"):
        await Smtp(f"smtp://127.0.0.1:{sink.port}", FROM).send(outgoing())


@pytest.mark.parametrize("where", ["recipient", "mail"])
async def test_a_server_that_says_not_now_is_tried_later(sink: Sink, where: str) -> None:
    if where == "recipient":
        sink.replies["mary@example.org"] = "451 greylisted, mary@example.org"
    else:
        sink.answer = "451 greylisted"
    with pytest.raises(TryLater, match="451 greylisted"):
        await Smtp(f"smtp://127.0.0.1:{sink.port}", FROM).send(outgoing())


async def test_a_server_that_is_away_is_tried_later() -> None:
    with pytest.raises(TryLater):
        await Smtp(f"smtp://127.0.0.1:{free_port()}", FROM).send(outgoing())


async def test_a_server_that_never_answers_is_given_up_for_now(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channels.smtp.send.TIMEOUT_S", 0.2)
    sink.pause_s = 2
    with pytest.raises(TryLater):
        await Smtp(f"smtp://127.0.0.1:{sink.port}", FROM).send(outgoing())


async def test_the_password_goes_over_tls(certificate: ssl.SSLContext) -> None:
    with Sink(tls=certificate, login=("holdgate", "p@ss/word")) as sink:
        await Smtp(f"smtp://holdgate:p%40ss%2Fword@127.0.0.1:{sink.port}", FROM).send(outgoing())
        assert [mail.encrypted for mail in sink.mails] == [True]
        with pytest.raises(TryLater, match="535"):
            await Smtp(f"smtp://holdgate:wrong@127.0.0.1:{sink.port}", FROM).send(outgoing())


async def test_a_server_that_speaks_tls_from_the_start_is_spoken_to_so(certificate: ssl.SSLContext) -> None:
    with Sink(tls=certificate, tls_at_once=True) as sink:
        await Smtp(f"smtps://127.0.0.1:{sink.port}", FROM).send(outgoing())
        assert [mail.encrypted for mail in sink.mails] == [True]


async def test_the_password_is_not_sent_to_a_server_without_tls_even_if_it_would_take_it() -> None:
    with Sink(login=("holdgate", "secret")) as sink:
        with pytest.raises(TryLater, match="STARTTLS"):
            await Smtp(f"smtp://holdgate:secret@127.0.0.1:{sink.port}", FROM).send(outgoing())
        assert sink.logins == 0 and sink.mails == []


async def test_the_password_is_not_sent_to_a_server_whose_certificate_is_not_trusted(
    certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with Sink(tls=certificate) as sink, pytest.raises(TryLater, match="CERTIFICATE_VERIFY_FAILED"):
        await Smtp(f"smtp://holdgate:secret@127.0.0.1:{sink.port}", FROM).send(outgoing())


async def test_a_relay_without_a_login_gets_tls_if_it_offers_it(
    certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with Sink(tls=certificate) as sink:
        await Smtp(f"smtp://127.0.0.1:{sink.port}", FROM).send(outgoing())
        assert [mail.encrypted for mail in sink.mails] == [True]


async def test_a_subject_cannot_add_a_header(sink: Sink) -> None:
    with pytest.raises(ValueError):
        await Smtp(f"smtp://127.0.0.1:{sink.port}", FROM).send(outgoing(subject="Hello\r\nBcc: all@example.org"))
    assert sink.mails == []
