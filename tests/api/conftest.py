"""A gateway for tests: the real application over a real Temporal server, real SQL and the real worker."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from activities.engine.signatures import Signatures
from api.__main__ import Server
from api.app import create_app
from api.container import Services
from cases.reconcile.jobs import heartbeat
from cases.reconcile.refused_messages import Refusals
from cases.submit import Starter
from core.payload_keys import PayloadKeyFile, create_payload_keys
from core.payloads import converter
from core.settings import Settings
from core.signed_client import signing
from core.signing_keys import KeyFile, make_missing_keys, own_key
from domain.names import SEARCH_ATTRIBUTES
from domain.proof.keys import Role
from plugins.workers import workers
from policy.file import PolicyFile
from store.cases import tasks
from store.cases.case_keys import CaseKeys
from store.db.database import Database
from store.people import people, tokens as access_tokens
from store.receivers.ledger import Ledger
from tests.support.encrypted import EVERYWHERE
from tests.support.installed_app import ROOT, free_port
from tests.support.migrated_database import migrated_copy
from tests.support.temporal import TEMPORAL
from workflows.registry import INPUTS

PEOPLE = {
    "requester-1": ["requesters"],
    "requester-2": ["requesters"],
    "manager-1": ["managers"],
    "manager-2": ["managers"],
    "manager-3": ["managers"],
    "director-1": ["directors"],
    "director-2": ["directors"],
    "fraud-1": ["fraud-analysts"],
    "steward-1": ["data-stewards"],
    "security-1": ["security"],
    "hr-1": ["hr"],
    "privacy-1": ["privacy"],
    "operator-1": ["operators"],
    "auditor-1": ["auditors"],
    "admin-1": ["admins"],
}
API = "/api/v1"
IMPATIENT = """
[payment.steps.reserve]
permanent = ["AccountLocked"]
"""
"""So that a test need not wait a minute for a locked account to become an incident."""


@dataclass
class Gate:
    """The gateway and words for what people do with it."""

    app: FastAPI
    settings: Settings
    database: Database
    client: Client
    tokens: dict[str, str]
    refusals: Refusals
    keys: KeyFile
    """The registry of public keys that the worker believes; a test that changes its file calls `refresh`."""
    _clients: dict[str | None, httpx2.AsyncClient] = field(default_factory=dict)

    def as_(self, person: str | None) -> httpx2.AsyncClient:
        """An HTTP client of this person; None for somebody without a token."""
        if person not in self._clients:
            headers = {"Authorization": f"Bearer {self.tokens[person]}"} if person else {}
            transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False)
            self._clients[person] = httpx2.AsyncClient(
                transport=transport, base_url=self.settings.public_url, headers=headers, timeout=30
            )
        return self._clients[person]

    async def get(self, person: str | None, path: str, **params: Any) -> httpx2.Response:
        return await self.as_(person).get(API + path, params=params)

    async def post(self, person: str | None, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.as_(person).post(API + path, json=body, headers=named)

    async def start(self, person: str = "requester-1", *, reference: str | None = None, **input: Any) -> str:
        """Start a payment; answers the id of its case."""
        answer = await self.post(person, "/cases", payment(reference, **input))
        assert answer.status_code == 201, answer.text
        case_id: str = answer.json()["case_id"]
        return case_id

    async def case(self, case_id: str, person: str = "admin-1") -> dict[str, Any]:
        answer = await self.get(person, f"/cases/{quote(case_id, safe='')}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def until(self, case_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The case as soon as the condition holds; fails after 60 s with the case."""
        found: dict[str, Any] = await eventually(lambda: self.case(case_id), holds)
        return found

    async def open_task(self, case_id: str) -> dict[str, Any]:
        """The task the case waits at, as soon as it does."""
        case = await self.until(case_id, lambda case: any(task["status"] == "open" for task in case["tasks"]))
        task: dict[str, Any] = next(task for task in case["tasks"] if task["status"] == "open")
        return task

    async def decide(self, person: str, task: dict[str, Any], verdict: str = "approve", **more: Any) -> httpx2.Response:
        """Decide a task as it is now, unless the test names the `revision` that its person has seen."""
        if "revision" not in more:
            async with self.database.read() as conn:
                now = await tasks.get(conn, task["task_id"])
            more["revision"] = now.revision if now else 1
        said = {"verdict": verdict, **more}
        return await self.post(person, f"/tasks/{task['task_id']}/decision", said)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """The real worker, while the block runs."""
        starter = Starter(self.database, self.client, PolicyFile(self.settings.policy, INPUTS))
        heart = asyncio.create_task(heartbeat(self.database, "test").run())
        async with AsyncExitStack() as stack:
            signatures = Signatures(lambda: self.keys.registry, lambda: datetime.now(UTC))
            for worker in workers(
                self.client, self.database, starter, self.settings, signatures, interceptors=[self.refusals]
            ):
                await stack.enter_async_context(worker)
            yield
        heart.cancel()
        await asyncio.gather(heart, return_exceptions=True)


class Work:
    """The worker that modules share: starting one costs more than most tests."""

    def __init__(self) -> None:
        self._running = AsyncExitStack()
        self._failed: int | None = None

    async def start(self, gate: Gate, failed: int) -> None:
        """Let a worker run, a new one after a test that failed: it may have been interrupted, too."""
        if self._failed != failed:
            await self.stop()
            await self._running.enter_async_context(gate.worker())
            self._failed = failed

    async def stop(self) -> None:
        await self._running.aclose()
        self._failed = None


class Served(NamedTuple):
    """A second gateway on the same database and Temporal, listening on a port as the real one does."""

    server: Server
    url: str
    services: Services


class Event(NamedTuple):
    """A server-sent event."""

    name: str
    data: Any
    id: str = ""


async def events_of(answer: httpx2.Response) -> AsyncIterator[Event]:
    """What comes, as it comes; also an id alone, as an event without a name."""
    parts: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            parts[name] = value
        elif parts:
            yield Event(parts.get("event", ""), json.loads(parts.get("data", "null")), parts.get("id", ""))
            parts = {}


async def eventually(look: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> Any:
    """What `look` answers as soon as the condition holds of it; fails after 60 s with the last answer."""
    deadline, pause = time.monotonic() + 60, 0.02
    while not holds(seen := await look()):
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.3)  # looking costs more than waiting when many wait at once
    return seen


def payment(reference: str | None = None, **input: Any) -> dict[str, Any]:
    """A request for a case: 1,250 GBP needs one manager."""
    fields = {
        "payee": f"Payee {uuid4().hex[:8]}",
        "amount": "1250.00",
        "currency": "GBP",
        "account": "operating",
        "payee_account": "GB82WEST12345698765432",
    }
    return {"process": "payment", "reference": reference or f"INV-{uuid4()}", "input": {**fields, **input}}


@pytest.fixture(scope="session")
def work() -> Work:
    return Work()


@pytest_asyncio.fixture(scope="module", autouse=True)
async def _nobody_works(work: Work, request: pytest.FixtureRequest) -> None:
    """A module with tests that ask for no worker begins without one."""
    here = [item for item in request.session.items if item.path == request.path and isinstance(item, pytest.Function)]
    if any("stopped" in item.fixturenames and "gate" not in item.fixturenames for item in here):
        await work.stop()


@asynccontextmanager
async def opened_gateway(
    folder: Path, policy: str, everybody: Mapping[str, Sequence[str]] = PEOPLE, **chosen: Any
) -> AsyncIterator[Gate]:
    """The gateway without a worker, over a Temporal server and a database of its own, with these people.

    `policy` is the text of the policy, and `chosen` are settings.
    """
    file = folder / "policy.toml"
    file.write_text(policy)
    usual = {
        "public_url": "http://gateway",
        "demo": False,
        "rate_limits": "off",  # test_rate_limits.py has limits; here all tests share an address and tokens
        "max_upload_bytes": 2 * 1024 * 1024,
        "batch_in_flight": 5,
        "batch_rate": 10,  # so that the import of a file of few rows takes long enough to be stopped
    }
    if EVERYWHERE:
        usual["payload_keys"] = folder / "payload-keys.toml"
    settings = Settings(var=folder, policy=file, temporal_port=free_port(), **{**usual, **chosen})
    migrated_copy(settings.var / "holdgate.db")
    make_missing_keys(settings)
    database = Database(settings.database_url)
    keys = None
    if settings.payload_keys:
        create_payload_keys(settings.payload_keys)
        keys = CaseKeys(database, PayloadKeyFile(settings.payload_keys))
        await keys.open()
    tokens = {}
    async with database.write() as conn:
        for person, groups in everybody.items():
            await people.add(conn, person, person.title(), groups, by="holdgate")
            tokens[person] = await access_tokens.make(conn, person, "test", by="holdgate")  # as for the demo: no news
    await Ledger(database).fund("fund", "operating", "GBP", Decimal("100000000"))
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=TEMPORAL,
        data_converter=converter(keys),
        search_attributes=SEARCH_ATTRIBUTES,
        port=settings.temporal_port,
    ) as env:
        app = create_app(settings)
        async with app.router.lifespan_context(app):
            client = signing(env.client, own_key(settings, Role.WORKER))
            yield Gate(app, settings, database, client, tokens, Refusals(database), KeyFile(settings.trusted_keys))
    await database.close()


@pytest_asyncio.fixture(scope="session")
async def stopped(tmp_path_factory: Any, work: Work) -> AsyncIterator[Gate]:
    """The gateway without a worker."""
    policy = (ROOT / "config" / "policy.toml").read_text() + IMPATIENT
    async with opened_gateway(tmp_path_factory.mktemp("gateway"), policy) as gate:
        yield gate
        await work.stop()


@pytest_asyncio.fixture(scope="module")
async def gate(stopped: Gate, work: Work, request: pytest.FixtureRequest) -> Gate:
    """The gateway with everything it needs. The worker stays for the next module that wants one."""
    await work.start(stopped, request.session.testsfailed)
    return stopped


@pytest_asyncio.fixture
async def served(gate: Gate) -> AsyncIterator[Served]:
    app, port = create_app(gate.settings), free_port()
    server = Server(app, port=port, log_config=None)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    yield Served(server, f"http://127.0.0.1:{port}", app.state.services)
    server.should_exit = True
    await serving
