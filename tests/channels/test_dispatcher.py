"""The dispatcher with the real outbox and a real mail server that is down, slow, or refuses recipients."""

import asyncio
import io
import logging
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from channels import dispatcher
from channels.channel import Channel, Outgoing
from channels.console.send import Console
from channels.message_writer import MessageWriter
from channels.smtp.send import Smtp
from domain.status import Outcome
from store.db.database import Database, DatabaseUnavailable
from store.notifications import fan_out, outbox
from store.people import people
from tests.store.outbox_fixture import Mailroom
from tests.support.smtp_sink import Sink

WINDOW = timedelta(seconds=3)
BOTH = {"manager-1@example.org", "manager-2@example.org"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute of waiting in two seconds."""
    monkeypatch.setattr(dispatcher, "POLL_S", 0.05)
    monkeypatch.setattr(dispatcher, "RENEW_S", 0.2)
    monkeypatch.setattr(dispatcher, "BACKOFF", timedelta(seconds=0.4))
    monkeypatch.setattr(fan_out, "SETTLE", timedelta(seconds=0.2))


@pytest.fixture
async def room(sqlite_url: str) -> AsyncIterator[Mailroom]:
    database = Database(sqlite_url)
    room = Mailroom(database)
    await room.staff()
    await room.outbox.let_go()
    yield room
    await database.close()


@asynccontextmanager
async def a_worker(room: Mailroom, *channels: Channel, name: str = "worker") -> AsyncIterator[asyncio.Task[None]]:
    """A dispatcher that works until the block ends."""
    plan = fan_out.Plan({channel.name: channel.needs_address for channel in channels}, WINDOW, room.plan.digest_at)
    writer = MessageWriter("http://127.0.0.1:8000", {"payment": ("payment", "payments")})
    sends = dispatcher.Dispatcher(outbox.Outbox(room.db, plan, {}, name), channels, writer, DatabaseUnavailable)
    task = asyncio.create_task(sends.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def mail_to(sink: Sink) -> Smtp:
    return Smtp(f"smtp://127.0.0.1:{sink.port}", "holdgate@example.org")


async def lines(room: Mailroom, state: str) -> list[outbox.UnsentMessages]:
    async with room.db.read() as conn:
        return [line for line in await outbox.unsent(conn) if line.state == state]


async def until_lines(room: Mailroom, state: str, count: int) -> Sequence[outbox.UnsentMessages]:
    """What is unsent in this state, as soon as there is so much of it."""
    async with asyncio.timeout(10):
        while len(found := await lines(room, state)) < count:
            await asyncio.sleep(0.02)
    return found


async def test_a_server_that_was_away_gets_each_message_once_when_it_is_back(
    room: Mailroom, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Sink()
    async with a_worker(room, mail_to(sink)):
        await room.open()
        waiting = await until_lines(room, "retrying", 2)
        assert {line.person for line in waiting} == {"manager-1", "manager-2"}
        assert all(line.problem and str(sink.port) in line.problem for line in waiting)
        with sink:
            assert {mail.to for mail in await sink.until(2)} == BOTH
            await asyncio.sleep(0.5)
            assert len(sink.mails) == 2 and await lines(room, "retrying") == []
    assert "again in 0:00:00.400000" in caplog.text and "@example.org" not in caplog.text


async def test_the_pauses_between_attempts_double_up_to_ten_minutes(
    room: Mailroom, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_worker(room, mail_to(Sink())):
        await room.open(candidate_groups=[], candidate_users=["manager-1"])
        async with asyncio.timeout(10):
            while "0:00:01.600000" not in caplog.text:
                await asyncio.sleep(0.02)
    pauses = [
        record.args[2] for record in caplog.records if "again in" in record.msg and isinstance(record.args, tuple)
    ]
    assert pauses == [timedelta(seconds=0.4 * 2**number) for number in range(3)]
    assert dispatcher.LONGEST_BACKOFF / timedelta(minutes=1) == 10


async def test_a_slow_server_holds_up_neither_the_other_mails_nor_the_console(room: Mailroom) -> None:
    printed = io.StringIO()
    with Sink(pause_s=1.5) as sink:
        async with a_worker(room, mail_to(sink), Console(printed, texts=True)):
            await room.open()
            first, second = await sink.until(2)
            assert second.at - first.at < 1
            by_mail = [line for line in await lines(room, "sending") if line.channel == "smtp"]
            assert len(by_mail) == 2, "the server has not answered yet"
            assert printed.getvalue().count("needs your decision") >= 2
            await room.open("INV-2")
            async with asyncio.timeout(WINDOW.total_seconds() + 2):
                while printed.getvalue().count("---- notice to") < 4:
                    await asyncio.sleep(0.02)


async def test_a_refused_recipient_is_marked_and_the_others_get_their_mail(
    room: Mailroom, caplog: pytest.LogCaptureFixture
) -> None:
    with Sink(replies={"manager-1@example.org": "550 manager-1@example.org: no such user"}) as sink:
        async with a_worker(room, mail_to(sink)):
            await room.open()
            (mail,) = await sink.until(1)
            (line,) = await until_lines(room, "refused", 1)
            assert mail.to == "manager-2@example.org"
            assert (line.person, line.problem) == ("manager-1", "550 the address: no such user")
            async with room.db.read() as conn:
                assert (await outbox.lag(conn)).refused == 1
    assert "refused message" in caplog.text and "@example.org" not in caplog.text


async def test_two_workers_send_each_message_once_and_the_second_goes_on_when_the_first_stops(
    room: Mailroom, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with Sink() as sink:
        async with a_worker(room, mail_to(sink), name="second") as second:
            async with a_worker(room, mail_to(sink), name="first"):
                await room.open("INV-1")
                await sink.until(2)
                await asyncio.sleep(0.5)
                assert len(sink.mails) == 2
            await room.open("INV-2")
            started = time.monotonic()
            assert len(await sink.until(4)) == 4
            assert time.monotonic() - started < WINDOW.total_seconds() + 2
            assert not second.done()


async def test_no_second_mail_comes_within_the_window_whatever_happens(room: Mailroom) -> None:
    with Sink() as sink:
        async with a_worker(room, mail_to(sink)):
            begun = time.monotonic()
            for number in range(12):
                await room.open(f"INV-{number}", candidate_groups=[], candidate_users=["manager-1"])
                await asyncio.sleep(0.5)
            mails = await sink.until(3)
            gaps = [later.at - earlier.at for earlier, later in pairwise(mails)]
            assert len(mails) == 3 and min(gaps) >= WINDOW.total_seconds() - 0.1
            assert mails[0].at < begun + WINDOW.total_seconds()  # the first waits for no others
            assert re.match(r"\d+ payments need", mails[1].subject)


async def test_an_outage_of_the_database_is_a_warning_and_then_it_goes_on(
    room: Mailroom, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = Path(sqlite_url.partition("///")[2])
    with Sink() as sink:
        async with a_worker(room, mail_to(sink)) as worker:
            await room.open()
            await sink.until(2)
            away = await asyncio.to_thread(file.rename, file.with_suffix(".away"))
            async with asyncio.timeout(10):
                while "reading the audit log waits: " not in caplog.text:
                    await asyncio.sleep(0.02)
            await asyncio.to_thread(away.rename, file)
            await room.open("INV-2", candidate_groups=[], candidate_users=["operator-1"])
            assert (await sink.until(3))[2].to == "operator-1@example.org"
            assert not worker.done()
    assert "Traceback" not in caplog.text


async def test_a_dispatcher_with_nothing_to_do_writes_nothing(
    room: Mailroom, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "RENEW_S", 60.0)
    with Sink() as sink, closing(sqlite3.connect(sqlite_url.partition("///")[2])) as watcher:
        async with a_worker(room, mail_to(sink)):
            await room.open()
            await sink.until(2)
            await asyncio.sleep(0.5)
            before = watcher.execute("PRAGMA data_version").fetchone()
            await asyncio.sleep(1)
            assert watcher.execute("PRAGMA data_version").fetchone() == before


async def test_a_message_that_makes_a_channel_stumble_waits_and_the_others_go(
    room: Mailroom, caplog: pytest.LogCaptureFixture
) -> None:
    class Stumbling(Smtp):
        async def send(self, message: Outgoing) -> None:
            if message.person == "manager-1":
                raise ZeroDivisionError
            await super().send(message)

    with Sink() as sink:
        async with a_worker(room, Stumbling(f"smtp://127.0.0.1:{sink.port}", "holdgate@example.org")):
            await room.open()
            assert [mail.to for mail in await sink.until(1)] == ["manager-2@example.org"]
            (line,) = await until_lines(room, "retrying", 1)
            assert (line.person, line.problem) == ("manager-1", "ZeroDivisionError")
    assert "ZeroDivisionError" in caplog.text


async def test_who_has_no_address_any_more_when_the_mail_is_written_gets_none(room: Mailroom) -> None:
    sink = Sink()
    async with a_worker(room, mail_to(sink)):
        await room.open(candidate_groups=[], candidate_users=["manager-1"])
        await until_lines(room, "retrying", 1)
        async with room.db.write() as conn:
            await people.set_email(conn, "manager-1", None, by="admin-1")
        (line,) = await until_lines(room, "refused", 1)
        assert line.problem == "the person is no longer active, or has no address"


async def test_a_mail_that_is_late_says_what_is_true_when_it_goes(
    room: Mailroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Sink()
    async with a_worker(room, mail_to(sink)):
        view = await room.open()
        await until_lines(room, "retrying", 2)
        await room.decide(view, "manager-2")
        await room.close(view, Outcome.APPROVED)
        with sink:
            await sink.until(2)
            (mail,) = sink.to("manager-1@example.org")
            assert mail.subject.endswith("no longer needs your decision") and "Approved by Manager 2." in mail.plain


async def test_the_console_prints_what_a_mail_says(room: Mailroom) -> None:
    printed = io.StringIO()
    async with a_worker(room, Console(printed, texts=True)):
        view = await room.open(candidate_groups=[], candidate_users=["manager-1"])
        async with asyncio.timeout(10):
            while "/notices" not in printed.getvalue():
                await asyncio.sleep(0.02)
    first, *_ = printed.getvalue().strip().splitlines()
    assert first.startswith("---- notice to manager-1: Pay Acme for INV-1 needs your decision ----")
    assert f"    http://127.0.0.1:8000/tasks/{view.task_id}\n" in printed.getvalue()
    assert "Requested by Requester 1." in printed.getvalue()
