"""Two processes whose people are strangers to each other: nobody finds a trace of the other process anywhere.

Every GET route and page is asked by every person of both processes, with the ids of the other process. No Temporal
server runs: what is read comes from the database.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.app import create_app
from api.services import live_updates
from core.settings import Settings
from core.signing_keys import make_missing_keys
from domain.case import CaseEvent
from domain.records import DecisionRecord
from store.audit import audit_log
from store.audit.evidence import Attachment, attach, comment
from store.cases import batches
from store.cases.batches import PlannedRow
from store.db.database import Database
from store.people import people, tokens as tokens_of_people
from store.people.people import Person
from tests.store.cases.test_batches import batch
from tests.store.sample_cases import decision, opening, recorded, submitted, task
from tests.support.installed_app import ROOT, free_port
from tests.support.migrated_database import migrated_copy

PROCESSES = {"alpha": "payment", "bravo": "approval"}
"""By a word that is in everything of the process, its name."""
ROLES = ("asks", "views", "runs", "audits", "decides")
POLICY = """
[{process}]
requesters = ["asks-{word}"]
viewers = ["views-{word}"]
operators = ["runs-{word}"]
auditors = ["audits-{word}"]
"""
OVERSEERS = ("views", "runs", "audits")
PEOPLE = {f"{role}-{word}": [f"{role}-{word}"] for word in PROCESSES for role in ROLES}
PEOPLE |= {f"all-{word}": [f"{role}-{word}" for role in ROLES] for word in PROCESSES}
"""A person with all roles of a process finds everything that a person with one of the roles finds."""


@dataclass
class House:
    app: FastAPI
    db: Database
    policy: Path
    tokens: dict[str, str]

    async def ask(self, person: str, method: str, path: str, **more: Any) -> httpx2.Response:
        transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {self.tokens[person]}"} | more.pop("headers", {})
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
            return await client.request(method, path, **more)


def case_of(word: str) -> str:
    """The id has no word of the process, because pages repeat the address that was asked."""
    return f"{PROCESSES[word]}:c-1"


def ids_of(word: str) -> dict[str, str]:
    """What the paths of routes name, of one process."""
    number = list(PROCESSES).index(word)
    return {
        "case_id": case_of(word),
        "task_id": task(case_of(word)).task_id,
        "batch_id": f"b{number:016x}",
        "decision_id": f"d-{number}",
        "attachment_id": f"a-{number}",
        "process": PROCESSES[word],
        "name": PROCESSES[word],
    }


async def furnish(db: Database, word: str) -> None:
    process, requester, ids = PROCESSES[word], f"asks-{word}", ids_of(word)
    row = await submitted(
        db, f"{word}-1", case_id=case_of(word), process=process, requester=requester, title=f"Title {word}",
        input={"payee": word, "amount": "10.00"},
    )  # fmt: skip
    named: dict[str, Any] = {"process": process, "requester": requester, "title": f"Title {word}", "excluded_users": []}
    gate = task(row.case_id, candidate_groups=[f"decides-{word}"], subject=word, key_fields={"Payee": word}, **named)
    stuck = task(
        row.case_id, "intervention", kind="intervention", candidate_groups=[f"runs-{word}"],
        facts={"step": word, "failure": word, "cause": word}, **named,
    )  # fmt: skip
    made = DecisionRecord(decision=decision(gate, f"decides-{word}", id=ids["decision_id"], comment=f"Said {word}"))
    await recorded(db, opening(gate).model_copy(update={"decisions": [made]}))
    await recorded(db, opening(stuck, 2))
    async with db.write() as conn:
        file = {"attachment_id": ids["attachment_id"], "case_id": row.case_id, "filename": f"{word}.txt", "size": 1}
        about = {
            "sha256": word,
            "content_type": "text/plain",
            "person": requester,
            "note": word,
            "at": datetime.now(UTC),
        }
        await attach(conn, Attachment.model_validate(file | about))
        await comment(conn, row.case_id, requester, f"Comment {word}", word, datetime.now(UTC))
        named_batch: dict[str, Any] = {
            "requester": requester,
            "process": process,
            "filename": f"{word}.csv",
            "status": "running",
        }
        await batches.receive(conn, batch(ids["batch_id"], **named_batch))
        line = PlannedRow(line=2, reference=f"{word}-9", outcome="invalid", process=process)
        await batches.add_rows(conn, ids["batch_id"], [line])
        order = CaseEvent(
            event_id=f"batch/{ids['batch_id']}/1/paused", case_id="", at=datetime.now(UTC), kind="batch_paused",
            actor=requester, summary=f"{word}.csv was paused", data={"batch_id": ids["batch_id"]},
        )  # fmt: skip
        await audit_log.append(conn, [order])


@pytest_asyncio.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("strangers")
    policy = folder / "policy.toml"
    policy.write_text(text_of(PROCESSES))
    settings = Settings(var=folder, policy=policy, temporal_port=free_port(), public_url="http://gateway", demo=False)
    migrated_copy(settings.var / "holdgate.db")
    make_missing_keys(settings)
    db, tokens = Database(settings.database_url), {}
    async with db.write() as conn:
        for person, groups in PEOPLE.items():
            await people.add(conn, person, person.title(), groups, by="holdgate")
            tokens[person] = await tokens_of_people.make(conn, person, "test", by="holdgate")
    for word in PROCESSES:
        await furnish(db, word)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield House(app, db, policy, tokens)
    await db.close()


def text_of(words: dict[str, str]) -> str:
    roles = [POLICY.format(process=process, word=word) for word, process in words.items()]
    return (ROOT / "config" / "policy.toml").read_text() + "".join(roles)


def readable(routes: Iterable[Any], prefix: str = "") -> Iterator[str]:
    """The path of every route that answers GET."""
    for route in routes:
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
            yield prefix + route.path
        elif inner := getattr(route, "original_router", None):
            yield from readable(inner.routes, prefix + route.include_context.prefix)


def addresses(app: FastAPI, word: str) -> list[str]:
    """Every GET route and page of the application, with the ids of one process."""
    where = []
    for path in sorted({*readable(app.routes)} - {"/metrics", "/health/live", "/health/ready"}):
        for name, value in ids_of(word).items():
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        where.append(path)
    assert len(where) > 80
    return where


@pytest.fixture(autouse=True)
def _short_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_updates, "LIFETIME_S", 0.05)  # here an answer is there when it has ended


@pytest.mark.parametrize("roles", [["all"], pytest.param(ROLES, marks=pytest.mark.soak)])
@pytest.mark.parametrize("word", PROCESSES)
async def test_no_route_and_no_page_shows_a_trace_of_the_other_process(
    house: House, word: str, roles: Sequence[str]
) -> None:
    other = next(each for each in PROCESSES if each != word)
    own = 0
    for where in addresses(house.app, other):
        for role in roles:
            params = {"since": "0"} if where.endswith("/events") else {}
            answer = await house.ask(f"{role}-{word}", "GET", where, params=params)
            assert answer.status_code < 500, (role, where)
            assert other not in answer.text.lower(), (role, where, answer.status_code)
            own += word in answer.text.lower()
    assert own > 12, "they find their own process"


ACTIONS: list[tuple[str, str, Any]] = [
    ("POST", "/cases/{case_id}/cancel", {"reason": "a test"}),
    ("POST", "/cases/{case_id}/start", None),
    ("POST", "/cases/{case_id}/rollback", {"reason": "a test"}),
    ("POST", "/cases/{case_id}/comments", {"text": "a test"}),
    ("POST", "/tasks/{task_id}/decision", {"verdict": "approve", "revision": 1}),
    ("POST", "/tasks/{task_id}/reassign", {"to": "all-alpha"}),
    ("POST", "/tasks/{task_id}/claim", {}),
    ("POST", "/tasks/{task_id}/questions", {"to": "all-alpha", "text": "a test"}),
    ("POST", "/tasks/{task_id}/questions/none/withdraw", {}),
    ("POST", "/batches/{batch_id}/pause", {"reason": "a test"}),
    ("POST", "/batches/{batch_id}/cancel", {"reason": "a test", "rollback_started": True}),
]


@pytest.mark.parametrize(("method", "path", "body"), ACTIONS, ids=[path for _, path, _ in ACTIONS])
async def test_nothing_can_be_done_to_what_belongs_to_the_other_process(
    house: House, method: str, path: str, body: Any
) -> None:
    where = "/api/v1" + path.format(**{name: quote(value, safe="") for name, value in ids_of("bravo").items()})
    no = await house.ask("all-alpha", method, where, json=body)
    assert (no.status_code, "bravo" in no.text) == (404, False)


async def test_many_incidents_and_many_reassignments_stay_in_the_process(house: House) -> None:
    stuck = task(case_of("bravo"), "intervention").task_id
    many = {"verdict": "retry", "task_ids": [stuck]}
    answer = (await house.ask("all-alpha", "POST", "/api/v1/incidents/decisions", json=many)).json()
    assert [each["problem"]["status"] for each in answer["items"]] == [404]
    found = (await house.ask("all-alpha", "GET", "/api/v1/incidents")).json()["items"]
    assert [each["cause"] for each in found] == ["alpha"]
    given = {"to": "decides-alpha", "filter": {"process": PROCESSES["bravo"]}}
    assert (await house.ask("all-alpha", "POST", "/api/v1/tasks/reassign", json=given)).json()["items"] == []


@pytest.mark.parametrize("role", ROLES)
async def test_only_requesters_of_the_process_start_its_cases(house: House, role: str) -> None:
    sheet = {"file": ("x.csv", b"", "text/csv")}
    for word, process in PROCESSES.items():
        body = {"process": process, "reference": f"{role}-{word}", "input": {}}
        started = await house.ask(f"{role}-alpha", "POST", "/api/v1/cases", json=body)
        page = await house.ask(f"{role}-alpha", "GET", f"/new/{process}")
        if (role, word) == ("asks", "alpha"):
            assert (started.status_code, page.status_code) == (422, 200), "the input is empty, but they may ask"
            continue
        assert (started.status_code, page.status_code) == (403, 404 if role == "asks" else 403)
        for way in ("", "&dry_run=true"):
            upload = await house.ask(f"{role}-alpha", "POST", f"/api/v1/batches?process={process}{way}", files=sheet)
            assert upload.status_code == 403
            assert "bravo" not in started.text + upload.text + page.text, "who may is not told to strangers"


async def test_a_changed_policy_counts_for_the_next_request_and_for_open_streams(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_updates, "LIFETIME_S", 10.0)
    live, person = house.app.state.services.live, "audits-bravo"

    async def still() -> Person | None:
        async with house.db.read() as conn:
            return await tokens_of_people.by_token(conn, house.tokens[person])

    async def listed() -> list[str]:
        return [each["case_id"] for each in (await house.ask(person, "GET", "/api/v1/cases")).json()["items"]]

    listens = await still()
    assert listens is not None and await listed() == [case_of("bravo")]
    before = house.policy.read_text()
    try:
        async with asyncio.timeout(5), aclosing(live.feed.listen(listens, 0, still)) as stream:
            heard = await anext(stream) if not (first := await anext(stream)).count("event: ") else first
            assert case_of("bravo") in heard and case_of("alpha") not in heard
            house.policy.write_text(before.replace('auditors = ["audits-bravo"]', 'auditors = ["audits-alpha"]'))
            assert "event: reset" in await anext(stream)
        assert await listed() == []
        assert (await house.ask(person, "GET", "/api/v1/audit")).status_code == 404
        assert {case_of("alpha"), case_of("bravo")} == {
            each["case_id"] for each in (await house.ask("audits-alpha", "GET", "/api/v1/cases")).json()["items"]
        }
    finally:
        house.policy.write_text(before)
