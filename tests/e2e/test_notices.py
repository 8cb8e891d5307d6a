"""Notifications of the whole product to a real mail server: an import, and a killed worker."""

import asyncio
import csv
import io
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from channels.message_writer import SHOWN
from tests.support.installed_app import Product
from tests.support.smtp_sink import Mail, Sink
from tests.test_real_data_import import REAL_DATA, with_our_headings

MANAGERS = [f"manager-{number}@example.org" for number in (1, 2, 3)]
COUNTED = re.compile(r"^(?P<count>[\d,]+) payments wait for you, (?P<sum>[\d,.]+) GBP$")


def with_mail(folder: Path, sink: Sink, window_s: int) -> Product:
    return Product(
        folder,
        HOLDGATE_CHANNELS="smtp",
        HOLDGATE_SMTP_URL=f"smtp://127.0.0.1:{sink.port}",
        HOLDGATE_MAIL_FROM="Holdgate <holdgate@example.org>",
        HOLDGATE_NOTICE_WINDOW_S=str(window_s),
    )


def upload(product: Product, name: str, content: bytes) -> str:
    with product.client("requester-1") as client:
        taken = client.post("/batches", params={"process": "payment"}, files={"file": (name, content, "text/csv")})
    assert taken.status_code == 202, taken.text
    return str(taken.json()["batch_id"])


def pay(product: Product, reference: str, payee: str, amount: str) -> None:
    payment = {"payee": payee, "amount": amount, "currency": "GBP", "account": "operating"}
    with product.client("requester-1") as client:
        body = {"process": "payment", "reference": reference, "input": payment}
        assert client.post("/cases", json=body).status_code == 201


def in_sql(product: Product, query: str) -> int:
    """One number out of the product's own database."""
    engine = create_engine(f"sqlite:///{product.folder}/holdgate.db")
    with engine.connect() as connection:
        number = int(connection.execute(text(query)).scalar_one())
    engine.dispose()
    return number


def unsent(product: Product) -> int:
    """Return the messages for managers that the audit log or the outbox still has."""
    unread = in_sql(
        product, "SELECT chain.position - readers.position FROM chain, readers WHERE readers.name = 'notices'"
    )
    unsealed = in_sql(product, "SELECT count(*) FROM notices WHERE message_id IS NULL AND person LIKE 'manager-%'")
    return unread + unsealed + in_sql(product, "SELECT count(*) FROM messages WHERE state = 'waiting'")


def counted(mails: Iterable[Mail]) -> tuple[int, Decimal]:
    """How many payments these mails count in their subjects, and what they come to."""
    found = [match for mail in mails if (match := COUNTED.match(mail.subject))]
    count = sum(int(match["count"].replace(",", "")) for match in found)
    return count, sum((Decimal(match["sum"].replace(",", "")) for match in found), Decimal(0))


def at_most_one_each(mails: Iterable[Mail], window_s: float) -> None:
    """No two messages to one person within the window; a second copy of one message is no second message."""
    first: dict[tuple[str, str], float] = {}
    for mail in mails:
        first.setdefault((mail.to, mail.message_id), mail.at)
    arrived: defaultdict[str, list[float]] = defaultdict(list)
    for (to, _), at in first.items():
        arrived[to].append(at)
    for to, times in arrived.items():
        for earlier, later in pairwise(sorted(times)):
            assert later - earlier >= window_s - 0.5, f"{to} got two messages within {later - earlier:.1f} s"


def hundred_payments() -> bytes:
    """None of them for a rule to decide, or alike enough for the fraud analysts."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["reference", "payee", "amount", "currency", "account"])
    writer.writerows([f"B-{n:03}", f"Supplier {n} Ltd", f"{1000 + n}.10", "GBP", "operating"] for n in range(100))
    return file.getvalue().encode()


@pytest.mark.soak
async def test_an_import_of_100_rows_sends_each_manager_few_mails_that_tell_of_every_payment(tmp_path: Path) -> None:
    window = 6
    with Sink() as sink, with_mail(tmp_path, sink, window) as product:
        upload(product, "100.csv", hundred_payments())
        started = time.monotonic()
        everything = (100, sum((Decimal(f"{1000 + n}.10") for n in range(100)), Decimal(0)))
        while any(counted(sink.to(manager)) != everything for manager in MANAGERS):
            assert time.monotonic() < started + 90, {manager: counted(sink.to(manager)) for manager in MANAGERS}
            await asyncio.sleep(0.2)
        lasted = time.monotonic() - started
        at_most_one_each(sink.mails, window)
        for manager in MANAGERS:
            assert 1 <= len(sink.to(manager)) <= lasted / window + 1
            # How many a mail tells of is up to how fast the import was.
            assert all(
                ("\nand " in mail.plain.replace("\r", "")) == (counted([mail])[0] > SHOWN) for mail in sink.to(manager)
            )
            assert any(counted([mail])[0] > SHOWN for mail in sink.to(manager))
        assert len({mail.message_id for mail in sink.mails}) == len(sink.mails)


@pytest.mark.soak  # test_dispatcher has two workers that send each message once
async def test_a_worker_killed_while_it_sends_loses_no_notice_and_repeats_only_the_same_message(tmp_path: Path) -> None:
    window = 2
    # It keeps a mail, and takes its time to say so: the moment in which a worker dies without knowing.
    with Sink(pause_s=1.5) as sink, with_mail(tmp_path, sink, window) as product:
        references = [f"KILL-{number}" for number in range(4)]
        for reference in references:
            pay(product, reference, f"Payee of {reference}", "2640.00")
        await sink.until(2)
        product.kill("worker")
        died = time.monotonic()
        pay(product, "KILL-4", "Payee of KILL-4", "2640.00")
        references.append("KILL-4")
        while any(told(sink.to(manager)).keys() != set(references) for manager in MANAGERS):
            assert time.monotonic() < died + 60, {manager: told(sink.to(manager)) for manager in MANAGERS}
            await asyncio.sleep(0.2)
        while unsent(product):
            assert time.monotonic() < died + 70
            await asyncio.sleep(0.2)
        for manager in MANAGERS:
            assert set(told(sink.to(manager)).values()) == {1}, "each payment is told in one message"
        copies = Counter((mail.to, mail.message_id) for mail in sink.mails)
        assert max(copies.values()) == 2, "the message that was under way came twice"
        assert {mail.to for mail in sink.mails} >= set(MANAGERS)
        at_most_one_each(sink.mails, window)


def told(mails: Iterable[Mail]) -> dict[str, int]:
    """In how many messages each payment is told; copies of one message count once, and say the same."""
    contents: dict[str, set[str]] = {}
    for mail in mails:
        found = set(re.findall(r"^Pay Payee of (KILL-\d) 2,640.00 GBP", mail.plain.replace("\r", ""), re.MULTILINE))
        assert contents.setdefault(mail.message_id, found) == found
    return Counter(reference for found in contents.values() for reference in found)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not REAL_DATA.exists(), reason="../shared/real-data is absent")
async def test_an_import_of_3836_rows_sends_each_manager_at_most_one_mail_in_five_minutes(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    window, name = 300, "council-payments-apr-jun-2014.csv"
    with Sink() as sink, with_mail(tmp_path, sink, window) as product:
        batch_id = upload(product, name, with_our_headings(REAL_DATA / name))
        started, imported, quiet = time.monotonic(), 0.0, 0.0
        await asyncio.sleep(60)
        pay(product, "MEANWHILE-1", "Somebody Else Ltd", "777.00")
        while not quiet or time.monotonic() < quiet + 30:
            await asyncio.sleep(1)
            if not imported and in_sql(product, "SELECT count(*) FROM batches WHERE closed_at IS NOT NULL"):
                imported = time.monotonic() - started
            busy = not imported or unsent(product) or in_sql(product, _MOVING)
            quiet = 0.0 if busy else quiet or time.monotonic()
        at_most_one_each(sink.mails, window)
        with product.client("auditor-1") as client:
            rows = client.get(f"/batches/{batch_id}").json()["rows"]
        record_property("import", f"{rows}, {imported:.0f} s")
        to_managers = in_sql(product, "SELECT count(*) FROM tasks WHERE gate = 'manager-approval'")
        record_property("tasks of managers", to_managers)
        for person in sorted({mail.to for mail in sink.mails}):
            said = [f"{mail.at - started:.0f} s: {mail.subject}" for mail in sink.to(person)]
            record_property(person, said)
        for manager in MANAGERS:
            first, *others = sink.to(manager)
            assert first.subject == "Pay Somebody Else Ltd 777.00 GBP needs your decision", (
                "a file holds up nothing else"
            )
            assert counted(others)[0] == to_managers - 1


_MOVING = "SELECT count(*) FROM cases WHERE status IN ('starting', 'running', 'rolling_back')"
