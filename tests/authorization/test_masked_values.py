"""No answer to a GET holds more than the end of a masked value: pages, API, streams, CSV, packs, mails and logs.

Payments in every state have account numbers of a bank that does not exist. Then everybody asks for every route and page
with every id, and eight characters of such a number in a row are a fault.
"""

import html
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import cycle
from typing import Any
from urllib.parse import quote, quote_plus
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy import select

from activities.payment.request import PaymentRequest
from activities.payment.screening import Screening, ScreeningReason
from channels.message_writer import MessageWriter
from domain.errors import Refused, Trouble
from store.audit import audit_log
from store.notifications.fan_out import Plan
from store.notifications.outbox import Outbox
from store.people import people, tokens
from store.receivers.ledger import Ledger
from store.tables.base import metadata
from tests.authorization.callers import ROLES
from tests.authorization.conftest import Product
from tests.authorization.rows import Place, Row
from tests.authorization.rows_of_api import ROWS as API_ROWS
from tests.authorization.rows_of_pages import ROWS as PAGE_ROWS
from tests.authorization.test_strangers import texts
from tests.authorization.things import Ids, Things, path_of
from workflows.registry import PROCESSES

BANK = "QZXJ"
"""No other text of the tests has these letters."""
READS = {name: row for name, row in {**API_ROWS, **PAGE_ROWS}.items() if name.startswith("GET ")}
CONDITIONS = (
    'when = "payee_account != null && amount >= limits.manager"',
    'when = "int(payee_account) > 0"',
    'auto_approve = "payee_account != null"',
)
"""Conditions of the policy that read the account: one holds, one cannot be evaluated, one decides."""


def iban(number: int) -> str:
    """Return a valid account number."""
    bban = f"{BANK}60161331{number:06}"
    digits = "".join(str(int(sign, 36)) for sign in f"{bban}GB00")
    return f"GB{98 - int(digits) % 97:02}{bban}"


ACCOUNTS = [iban(926_000 + 37 * number) for number in range(60)]
WRONG = [f"GB00{BANK}60161331{926_000 + number:06}" for number in range(10)]
"""Account numbers with wrong check digits."""
_PARTS = {number[at : at + 8] for number in ACCOUNTS + WRONG for at in range(15)}


def hits(text: str, asked: str = "") -> set[str]:
    """Return the parts of account numbers in a text, in whatever case and with whatever blanks.

    `asked` is what the reader searched for, and so reads in the search field.
    """
    for spelled in {asked, html.escape(asked), quote(asked), quote_plus(asked)} - {""}:
        text = text.replace(spelled, "")
    squeezed = re.sub(r"[\s\u00a0-]|%20|&nbsp;", "", html.unescape(text)).upper()
    return {part for part in _PARTS if part in squeezed} if BANK in squeezed or "60161331" in squeezed else set()


@dataclass
class Story:
    """Payments in every state, and the ids by which addresses name them and what belongs to them."""

    product: Product
    logs: list[str]
    ids: list[Ids] = field(default_factory=list)
    refusals: dict[str, httpx2.Response] = field(default_factory=dict)
    """The answers to requests with wrong account numbers."""
    quiet: int = 0
    """How many lines were logged before the cases whose steps complain."""
    _accounts: Iterator[str] = field(default_factory=lambda: iter(ACCOUNTS))

    def __post_init__(self) -> None:
        self.things = Things(self.product.gate)

    def account(self) -> str:
        return next(self._accounts)

    async def post(self, person: str, path: str, **request: Any) -> Any:
        return await self.things._post(person, path, **request)

    async def waiting(self, **input: Any) -> Ids:
        ids = await self.things.case(**{"payee_account": self.account(), **input})
        self.ids.append(ids)
        return ids

    async def decide(self, ids: Ids, person: str, verdict: str, **more: Any) -> None:
        task = await self.things._task(ids["case_id"])
        body = {"verdict": verdict, "revision": task["revision"], "comment": "Seen", **more}
        await self.post(person, f"/tasks/{task['task_id']}/decision", json=body)

    async def until(self, ids: Ids, status: str) -> None:
        await self.things._until(ids["case_id"], lambda case: case["status"] == status)

    # -------------------------------------------------------------------------------------------------------- the cases

    async def tell(self) -> None:
        async with self.product.gate.database.write() as conn:
            await people.add(conn, "fraud-9", "An analyst", ["fraud-analysts"], by="holdgate")
            self.product.gate.tokens["fraud-9"] = await tokens.make(conn, "fraud-9", "test", by="holdgate")
        await self._waiting()
        await self._ended()
        await self._incidents()
        await self._changed()
        await self._same_payee()
        await self._ruled_by_the_account()
        await self._uploads()
        await self._refused()
        self.quiet = len(self.logs)
        await self._said_by_steps()

    async def _waiting(self) -> None:
        ids = await self.waiting()
        case = path_of("/cases/{case_id}", ids)
        await self.post("requester-1", f"{case}/comments", json={"text": "A comment"})
        file = {"file": ("order.txt", b"An order", "text/plain")}
        ids["attachment_id"] = (await self.post("requester-1", f"{case}/attachments", files=file))["attachment_id"]
        question = {"to": "requester-1", "text": "Which order?"}
        await self.post("manager-1", path_of("/tasks/{task_id}/questions", ids), json=question)
        seen = {"field": "payee_account", "reason": "A test"}
        revealed = await self.post("manager-1", path_of("/tasks/{task_id}/reveal", ids), json=seen)
        assert hits(revealed["value"]), "the sweep would find a number"

    async def _ended(self) -> None:
        for verdict, status in (("approve", "completed"), ("approve", "completed"), ("reject", "rejected")):
            ids = await self.waiting()
            await self.decide(ids, "manager-1", verdict)
            await self.until(ids, status)
        _, completed, rejected = self.ids[-3:]
        await self.post("operator-1", path_of("/cases/{case_id}/rollback", completed), json={"reason": "A test"})
        await self.until(completed, "rolled_back")
        again = {**self.things.side.new(payee_account=self.account()), "resubmits": rejected["case_id"]}
        again["reference"] = (await self.things._case(rejected["case_id"]))["reference"]
        self.ids.append({"case_id": (await self.post("requester-1", "/cases", json=again))["case_id"]})

    async def _incidents(self) -> None:
        for _ in range(2):
            account = f"locked-{uuid4().hex[:8]}"
            await Ledger(self.product.gate.database).fund(account, account, "GBP", Decimal(1000), locked=True)
            case_id = await self.things._start(account=account, amount="20.00", payee_account=self.account())
            await self.things._until(case_id, lambda case: case["status"] == "needs_intervention")
            task = await self.things._task(case_id)
            found = (await self.product.gate.get("operator-1", "/incidents")).json()["items"]
            group = next(each["group"] for each in found if task["task_id"] in each["task_ids"])
            self.ids.append({"case_id": case_id, "task_id": task["task_id"], "group": group})
        edits = {"payee_account": self.account(), "account": "operating"}
        await self.decide(self.ids[-1], "operator-1", "retry", edits=edits)

    async def _changed(self) -> None:
        for _ in range(2):
            ids = await self.waiting()
            await self.decide(ids, "manager-1", "request_changes")
            await self.until(ids, "awaiting_changes")
            ids["task_id"] = (await self.things._task(ids["case_id"]))["task_id"]
        await self.decide(ids, "requester-1", "resubmit", edits={"payee_account": self.account()})
        await self.until(ids, "awaiting_approval")
        self.ids.append({"case_id": ids["case_id"], "task_id": (await self.things._task(ids["case_id"]))["task_id"]})

    async def _same_payee(self) -> None:
        """The screening finds that the account of the payee has changed."""
        payee = f"Payee {uuid4().hex[:8]}"
        for _ in range(2):
            await self.waiting(payee=payee)

    async def _ruled_by_the_account(self) -> None:
        """Conditions of the policy read the account, so that the ruling and its error name the value."""
        for condition in CONDITIONS:
            with self._policy('when = "amount >= limits.manager"', condition):
                ids = await self.waiting() if "auto_approve" not in condition else None
                if ids is None:
                    case_id = await self.things._start(payee_account=self.account())
                    self.ids.append(ids := {"case_id": case_id})
                    await self.until(ids, "completed")
            async with self.product.gate.database.read() as conn:
                (event,) = [
                    each
                    for each in await audit_log.page(conn, ids["case_id"])
                    if each.kind.startswith("gate_") and each.data["gate"] == "manager-approval"
                ]
            assert event.data["names"]["payee_account"].startswith("…"), event

    async def _said_by_steps(self) -> None:
        """Steps find, answer and complain with the whole number."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("activities.payment.steps.score", _score)
            patched.setattr(Ledger, "capture", _fail)
            ids = await self.waiting()
            facts = (await self.things._task(ids["case_id"]))["facts"]
            assert facts["reasons"][0]["text"].count("…") == 2, facts
            await self.decide(ids, "fraud-9", "approve")
            await self.things._until(ids["case_id"], lambda case: case["tasks"][-1]["gate"] == "manager-approval")
            await self.decide(ids, "manager-1", "approve")
            await self.until(ids, "needs_intervention")
            ids["task_id"] = (await self.things._task(ids["case_id"]))["task_id"]
            patched.setattr(Ledger, "hold", _refuse)
            self.ids.append(refused := {"case_id": await self.things._start(payee_account=self.account())})
            await self.until(refused, "failed")

    @contextmanager
    def _policy(self, old: str, new: str) -> Iterator[None]:
        file = self.product.gate.settings.policy
        whole = file.read_text()
        assert old in whole
        file.write_text(whole.replace(old, new))
        policy = self.product.gate.app.state.services.policy
        assert policy.problem is None, policy.problem
        yield
        file.write_text(whole)

    async def _uploads(self) -> None:
        mapped = {"columns": {"payee_account": "Bank details", "payee": "Supplier", "reference": "No"}}
        files = {"plain": _sheet(self), "mapped": _foreign(self), "again": _sheet(self, same=True), "fixed": _fixed()}
        for name, data in files.items():
            sent = {"file": (f"{name}.csv", data, "text/csv")}
            mapping = {"mapping": json.dumps(mapped | {"constants": CONSTANTS})}
            fixed = {"mapping": json.dumps({"constants": CONSTANTS | {"payee_account": self.account()}})}
            more: dict[str, Any] = (
                {"data": {"mapped": mapping, "fixed": fixed}[name]} if name in ("mapped", "fixed") else {}
            )
            for dry in ("true", "false"):
                path = f"/batches?process=payment&dry_run={dry}"
                self.refusals[f"upload {name}, dry run {dry}"] = answer = await self.product.gate.as_(
                    "requester-1"
                ).post(f"/api/v1{path}", files=sent, **more)
                assert answer.status_code in (200, 202), answer.text
            batch_id = answer.json()["batch_id"]
            await self.things_batch(batch_id)
            self.ids.append({"batch_id": batch_id})
            held = self.product.gate.app.state.services.held.hold("requester-1", data)
            self.ids.append({"sha256": held, "process": "payment"})

    async def things_batch(self, batch_id: str) -> None:
        from tests.api.conftest import eventually

        async def look() -> Any:
            return (await self.product.gate.get("requester-1", f"/batches/{batch_id}")).json()

        await eventually(look, lambda batch: batch["status"] != "running" or not batch["rows"].get("waiting", 0))

    async def _refused(self) -> None:
        """Requests with wrong account numbers: their problems name the field and not the value."""
        gate, new = self.product.gate, self.things.side.new()
        for n, wrong in enumerate([*WRONG[:3], f"{ACCOUNTS[0]}0" * 3, [ACCOUNTS[0]], {"a": ACCOUNTS[1]}]):
            body = {**new, "input": {**new["input"], "payee_account": wrong}}
            self.refusals[f"case {n}"] = await gate.post("requester-1", "/cases", body)
        task = await self.things._task(self.ids[0]["case_id"])
        edits = {"payee_account": WRONG[0], "account": "operating"}
        self.refusals["edits"] = await gate.decide("manager-1", task, edits=edits)
        lost = {"field": "payee", "reason": f"Is it {ACCOUNTS[0]}?"}
        self.refusals["reveal"] = await gate.post("operator-1", f"/tasks/{task['task_id']}/reveal", lost)


CONSTANTS = {"account": "operating", "currency": "GBP"}


_REFERENCES = [f"ROW-{uuid4()}" for _ in range(3)]


def _sheet(story: Story, same: bool = False) -> bytes:
    """Valid rows, rows with a wrong account, rows that are invalid for another reason, and rows whose cells moved."""
    rows = [
        [reference, "Somebody", "1.00", "GBP", "operating", story.account()] for reference in _REFERENCES
    ]  # with `same`, duplicates whose account differs
    if not same:
        rows += [[f"ROW-{uuid4()}", "Somebody", "1.00", "GBP", "operating", wrong] for wrong in WRONG[:3]]
        rows += [[f"ROW-{uuid4()}", "Somebody", "none", "GBP", "operating", story.account()]]
        spaced = " ".join(story.account()[n : n + 4] for n in range(0, 24, 4)).lower()
        rows += [[f"ROW-{uuid4()}", "Some", "body", "1.00", "GBP", "operating", spaced]]
        rows += [[f"ROW-{uuid4()}", "1.00", "GBP", "operating", story.account()]]
    lines = [["reference", "payee", "amount", "currency", "account", "payee_account"], *rows]
    return "\n".join(",".join(line) for line in lines).encode()


def _fixed() -> bytes:
    """A file for which the same account is given for every row."""
    return f"reference,payee,amount\nROW-{uuid4()},Somebody,1.00\n".encode()


def _foreign(story: Story) -> bytes:
    """A file with headings of its own, and an account in a column that no field uses."""
    rows = [[f"ROW-{uuid4()}", "Somebody", "1.00", story.account(), story.account()] for _ in range(2)]
    rows += [[f"ROW-{uuid4()}", "Somebody", "none", WRONG[4], story.account()]]
    lines = [["No", "Supplier", "amount", "Bank details", "Old account"], *rows]
    return "\n".join(";".join(line) for line in lines).encode()


def _score(request: PaymentRequest, *_: Any) -> Screening:
    number = str(request.payee_account)
    grouped = " ".join(number[n : n + 4] for n in range(0, 24, 4)).lower()
    reason = ScreeningReason(code=number, points=99, text=f"One with {number}, and in groups {grouped}.")
    return Screening(score=99, reasons=[reason], earlier_payments=0)


async def _fail(_ledger: Ledger, *, payee_account: str, **_: Any) -> Any:
    raise Trouble(f"{payee_account} is closed", about=payee_account, permanent=True)


async def _refuse(_ledger: Ledger, *, payee_account: str, **_: Any) -> Any:
    raise Refused(f"{payee_account} is closed", about=payee_account)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith("httpx"):  # the client of the tests
            self.lines.append(f"{record.name}: {self.format(record)}")


@pytest_asyncio.fixture(scope="module")
async def story(product: Product) -> AsyncIterator[Story]:
    handler, root = _Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    told = Story(product, handler.lines)
    await told.tell()
    yield told
    root.removeHandler(handler)
    root.setLevel(level)


# ---------------------------------------------------------------------------------------------------------- the answers


async def _client(product: Product, place: Place, person: str) -> httpx2.AsyncClient:
    return product.callers.program(person) if place.of_api else await product.callers.browser(person)


def _questions(story: Story, place: Place, row: Row) -> Iterator[tuple[Ids, dict[str, str], dict[str, str]]]:
    """Yield ids, further parameters and headers with which a row is asked for."""
    needed = set(re.findall(r"{(\w+)}", f"{place.path} {row.query}"))
    for ids in story.ids if needed else [{}]:
        if needed <= set(ids):
            yield ids, {}, {}
            if place.path in OTHERWISE:
                yield ids, {}, OTHERWISE[place.path]
    if not needed:
        yield {}, {"q": ACCOUNTS[0]}, {}
        yield {}, {"since": "0"}, {}
    if place.path == "/new/{process}":
        for ids in story.ids:
            if "case_id" in ids:
                yield {"process": "payment"}, {"resubmits": ids["case_id"]}, {}
    if place.path == "/upload/{sha256}":
        for ids in story.ids:
            if "sha256" in ids:
                yield ids, {"read": "1", "col.payee_account": "Bank details"}, {}


OTHERWISE = {
    "/api/v1/cases": {"Accept": "text/csv"},
    "/api/v1/batches/{batch_id}/rows": {"Accept": "text/csv"},
    "/tasks/{task_id}": {"HX-Request": "true"},
    "/": {"HX-Request": "true"},
}
"""Headers with which these answer in another form."""


async def _sweep(story: Story, names: Sequence[str], turns: Sequence[Sequence[str]]) -> dict[str, set[str]]:
    """Ask for everything, and return the answers with a part of an account number. Each of `turns` asks in turn."""
    wrong: dict[str, set[str]] = {}
    turn = cycle(turns)
    for name in names:
        place, row = Place.named(name), READS[name]
        for ids, params, headers in _questions(story, place, row):
            for person in next(turn):
                client = await _client(story.product, place, person)
                own = ids if ids or "{" not in place.path else await row.ids(story.product.things, person)
                query = {**row.request(own).get("params", {}), **params}
                answer = await client.get(path_of(place.path, own), params=query, headers=headers)
                client.cookies.clear()
                assert answer.status_code < 500, (name, answer.text)
                if found := {part for text in texts(answer) for part in hits(text, params.get("q", ""))}:
                    wrong[f"{name} {own} {params} {headers} by {person}"] = found
    return wrong


def _part(name: str) -> str:
    if Place.named(name).of_api:
        return "the API"
    return {"/cases": "cases", "/tasks": "tasks"}.get(re.sub(r"GET (/\w*).*", r"\1", name), "other pages")


@pytest.mark.parametrize("part", ["the API", "cases", "tasks", "other pages"])
async def test_no_answer_holds_an_account_number(story: Story, part: str) -> None:
    """The people ask in turn. The next test has everybody ask for everything."""
    names = [name for name in READS if _part(name) == part]
    assert names
    assert await _sweep(story, names, [["admin-1"], ["requester-1"], ["admin-1"], ["manager-1"]]) == {}


@pytest.mark.soak
async def test_no_answer_holds_an_account_number_whoever_asks(story: Story) -> None:
    assert await _sweep(story, [*READS], [[*ROLES.values()]]) == {}


async def test_rows_come_back_with_the_ends_of_their_account_numbers(story: Story) -> None:
    """Otherwise the tests above would look at files without rows."""
    for batch, rows, ends in ((0, 6, 6), (1, 1, 2)):
        (batch_id,) = [ids["batch_id"] for ids in story.ids if "batch_id" in ids][batch : batch + 1]
        answer = await story.product.gate.as_("requester-1").get(
            f"/api/v1/batches/{batch_id}/rows", headers={"Accept": "text/csv"}
        )
        _heading, *lines = answer.text.splitlines()
        assert (len(lines), len(re.findall(r",…[0-9]{4}\b", answer.text))) == (rows, ends), answer.text


async def test_a_search_for_an_account_number_finds_nothing(story: Story) -> None:
    for path, name in (("/cases", "q"), ("/tasks", "q"), ("/ledger/entries", "reference")):
        found = (await story.product.gate.get("admin-1", path, **{name: ACCOUNTS[0]})).json()
        assert found["items"] == [], path


async def test_no_problem_repeats_a_wrong_account_number(story: Story) -> None:
    wrong = {what: found for what, answer in story.refusals.items() if (found := hits(answer.text))}
    assert wrong == {}
    assert {answer.status_code for what, answer in story.refusals.items() if "upload" not in what} == {422}


async def test_no_mail_holds_an_account_number(story: Story) -> None:
    database, later = story.product.gate.database, datetime.now(UTC) + timedelta(days=2)
    money = {name: each.words.money for name, each in PROCESSES.items() if each.words.money}
    outbox = Outbox(database, Plan({"console": False}, timedelta(0), time(8)), money, "a test")
    assert await outbox.hold(later)
    while await outbox.advance(later):
        pass
    writer = MessageWriter("https://gateway", {name: each.words.nouns for name, each in PROCESSES.items()})
    due = await outbox.due("console", later, 1000)
    assert len(due) > 10
    for each in due:
        if letter := await outbox.letter(each.message_id):
            text = writer.write(letter, later)
            assert hits(f"{text.subject} {text.plain} {text.html}") == set()


async def test_no_line_of_a_log_holds_an_account_number(story: Story) -> None:
    """Without the last cases, whose steps complain: what the SDK logs about a failed step is not ours to mask."""
    assert story.quiet > 20
    assert {line: found for line in story.logs[: story.quiet] if (found := hits(line))} == {}


HELD = {
    "cases.input",
    "cases.plan",
    "entries.payee_account",
    "proofs.text",
}
"""The columns of the database that hold whole account numbers: docs/privacy.md lists them."""


async def test_only_columns_for_programs_hold_whole_account_numbers(story: Story) -> None:
    found: set[str] = set()
    async with story.product.gate.database.read() as conn:
        for table in metadata.sorted_tables:
            for row in (await conn.execute(select(table))).mappings():
                found |= {f"{table.name}.{name}" for name, value in row.items() if hits(str(value))}
    assert found == HELD
