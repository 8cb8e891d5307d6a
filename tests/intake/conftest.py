"""A front office: a real Temporal server, real SQL, the shipped policy, an upload folder; a worker where asked for."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import WorkflowRunner

from cases.submit import CaseRequest, Starter
from core.signed_client import signing
from domain.case import CaseEvent, CaseResult
from domain.names import SEARCH_ATTRIBUTES
from domain.records import CaseRecord
from domain.status import Status
from intake.start_rows import BatchPace
from intake.upload import BatchReport, Uploads
from plugins.testing.signatures import TEST_KEY
from policy.file import PolicyFile
from store.cases import batches, cases
from store.db.database import Database
from tests.intake.bulk_worker import QUICK, bulk_worker
from tests.support.encrypted import EVERYWHERE, encrypting
from tests.support.requesters import add_requesters
from tests.support.temporal import TEMPORAL
from workflows.registry import INPUTS, PROCESSES, Process

ROOT = Path(__file__).parent.parent.parent
POLICY = ROOT / "config" / "policy.toml"
HEAD = "reference,payee,amount,currency,account\n"


@dataclass
class Office:
    """The functions that take cases and files in, and short ways to read the results."""

    client: Client
    db: Database
    url: str
    folder: Path
    policy: PolicyFile
    processes: Mapping[str, Process] = field(default_factory=lambda: PROCESSES)

    def __post_init__(self) -> None:
        self.starter = Starter(self.db, self.client, self.policy, self.processes)
        self.uploads = Uploads(
            self.db, self.client, self.policy, self.folder, self.processes, ROOT / "config" / "mappings.toml"
        )

    def worker(
        self, pace: BatchPace = QUICK, runner: WorkflowRunner | None = None
    ) -> AbstractAsyncContextManager[None]:
        return bulk_worker(self.client, self.db, self.policy, self.processes, pace, runner)

    async def case(self, case_id: str) -> cases.CaseRow:
        async with self.db.read() as conn:
            row = await cases.get(conn, case_id)
        assert row is not None, f"no case {case_id}"
        return row

    async def rows(self, batch_id: str) -> list[batches.BatchRow]:
        async with self.db.read() as conn:
            return await batches.rows(conn, batch_id, limit=100_000)

    async def finished(self, batch_id: str, seconds: float = 60) -> BatchReport:
        """The report of a batch as soon as it is closed."""
        async with asyncio.timeout(seconds):
            while (report := await self.report(batch_id)).closed_at is None:
                await asyncio.sleep(0.15)
        return report

    async def report(self, batch_id: str | None) -> BatchReport:
        report = await self.uploads.report(batch_id or "")
        assert report is not None
        return report

    async def take(self, data: str | bytes, filename: str = "payments.csv") -> BatchReport:
        """Upload a file as the requester `rita`."""
        raw = data.encode() if isinstance(data, str) else data
        return await self.uploads.start("payment", filename, raw, "rita")

    async def counted_workflows(self, batch_id: str, expected: int) -> int:
        """How many cases of a batch Temporal lists; asked again for a while, as its lists lag behind."""
        async with asyncio.timeout(60):
            while len(found := await self.workflow_ids(batch_id)) < expected:
                await asyncio.sleep(0.1)
        return len(found)

    async def workflow_ids(self, batch_id: str) -> list[str]:
        """The ids of all cases of a batch that Temporal knows."""
        query = f'HoldgateBatch = "{batch_id}" AND WorkflowType = "payment"'
        return [found.id async for found in self.client.list_workflows(query)]


def payment(reference: str = "INV-1", amount: str = "12.50", **more: object) -> CaseRequest:
    """A request for a payment that nothing is wrong with."""
    given = {"payee": "Acme Paper Ltd", "amount": amount, "currency": "GBP", "account": "operating"}
    fields: dict[str, object] = {"process": "payment", "reference": reference, "input": given}
    return CaseRequest.model_validate(fields | more)


async def ended(office: Office, case_id: str, status: Status) -> None:
    """Record that a case has ended, in a house of the test's own."""
    event = CaseEvent(
        event_id=f"{case_id}/1", case_id=case_id, at=datetime.now(UTC), kind="case_ended", actor="holdgate", summary="x"
    )
    result = CaseResult(case_id=case_id, status=status, reason="a test")
    async with office.db.write() as conn:
        await cases.record(conn, CaseRecord(case_id=case_id, status=status, events=[event], result=result))


async def server(*namespaces: str) -> WorkflowEnvironment:
    """A Temporal server, on the real clock."""
    return await WorkflowEnvironment.start_local(
        dev_server_existing_path=TEMPORAL,
        data_converter=pydantic_data_converter,
        search_attributes=SEARCH_ATTRIBUTES,
        dev_server_extra_args=[f"--namespace={name}" for name in namespaces],
    )


@pytest_asyncio.fixture(scope="module")
async def clients(request: pytest.FixtureRequest) -> AsyncIterator[Iterator[Client]]:
    """Clients of one server, each in a namespace in which nothing has happened: one for each office of the file."""
    items = (each for each in request.session.items if each.path == request.path and isinstance(each, pytest.Function))
    names = [f"office-{number}" for number, item in enumerate(items) if "office" in item.fixturenames]
    async with await server(*names) as env:
        service = env.client.service_client
        plain = [Client(service, namespace=name, data_converter=pydantic_data_converter) for name in names]
        yield iter([signing(client, TEST_KEY) for client in plain])


@pytest_asyncio.fixture
async def office(clients: Iterator[Client], sqlite_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    db = Database(sqlite_url)
    await add_requesters(db, "rita", "raul")
    client = await encrypting(next(clients), db, tmp_path) if EVERYWHERE else next(clients)
    yield Office(client, db, sqlite_url, tmp_path / "uploads", PolicyFile(POLICY, INPUTS))
    await db.close()


@pytest_asyncio.fixture
async def temporal(office: Office) -> AsyncIterator[WorkflowEnvironment]:
    """A server of its own for this office, which the test may stop."""
    async with await server() as env:
        office.client = signing(env.client, TEST_KEY)
        office.__post_init__()
        yield env
