"""More than one machine: an external Temporal server, PostgreSQL, two workers and two gateways."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from ops import bootstrap
from store.audit.audit_log import verify
from store.db.database import Database
from store.receivers.ledger import Ledger
from tests.support.installed_app import ROOT, Product, free_port
from tests.support.postgres import Postgres
from tests.support.temporal import TEMPORAL

CASES = 16


@contextmanager
def process(command: str, environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One more worker or gateway, as a service manager would run it."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", "cli", command], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        yield started
    finally:
        started.terminate()
        started.wait(20)


@dataclass
class House:
    """What `make up` started, and a second gateway."""

    product: Product
    second: str
    """Address of the second gateway."""
    url: str
    elsewhere: dict[str, str]
    """The environment of the second gateway."""

    def client(self, person: str, gateway: int = 1) -> httpx2.Client:
        client = self.product.client(person)
        if gateway == 2:
            client.base_url = f"{self.second}/api/v1"
        return client


def answering(address: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx2.get(f"{address}/health/ready").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        assert time.monotonic() < deadline, f"{address} does not answer"
        time.sleep(0.1)


@pytest_asyncio.fixture(scope="module")
async def house(tmp_path_factory: Any, postgres_server: Postgres) -> AsyncIterator[House]:
    folder: Path = tmp_path_factory.mktemp("scaled")
    url = postgres_server.url(postgres_server.create())
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=TEMPORAL) as server:
        address = server.client.service_client.config.target_host
        product = Product(folder, TEMPORAL_ADDRESS=address, HOLDGATE_DATABASE_URL=url)
        await bootstrap.prepare(server.client)
        with product:
            port = str(free_port())
            elsewhere = {**product.environment, "HOLDGATE_PORT": port}
            with process("api", elsewhere, folder / "gateway-2.log"):
                second = f"http://127.0.0.1:{port}"
                await asyncio.to_thread(answering, second)
                yield House(product, second, url, elsewhere)
            assert product.up["pids"]["temporal"] is None and product.up["temporal_address"] == address
        assert await Client.connect(address), "a server that was not started here is left running"


@pytest.fixture
def worker(house: House) -> Iterator[subprocess.Popen[bytes]]:
    """Start a second worker."""
    with process("worker", house.elsewhere, house.product.folder / "worker-2.log") as worker:
        yield worker


def waiting(client: httpx2.Client, reference: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while not (found := patiently(lambda: client.get(f"/tasks?mine=true&q={reference}")).json()["items"]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    task: dict[str, Any] = found[0]
    return task


def payment(reference: str, amount: str) -> dict[str, Any]:
    fields = {"payee": f"Payee {reference}", "amount": amount, "currency": "GBP", "account": "operating"}
    return {"process": "payment", "reference": reference, "input": fields}


def patiently(send: Any) -> httpx2.Response:
    """Repeat until a gateway answers: the same ids make it harmless."""
    deadline = time.monotonic() + 30
    while True:
        try:
            answer: httpx2.Response = send()
        except httpx2.TransportError:
            answer = httpx2.Response(503)
        if answer.status_code != 503:
            return answer
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_case_that_one_gateway_starts_is_decided_at_the_other_and_once(house: House) -> None:
    with house.client("requester-1") as requester, house.client("manager-1", 2) as there:
        assert requester.post("/cases", json=payment("BOTH-1", "900.00")).status_code == 201
        assert there.post("/cases", json=payment("BOTH-1", "900.00")).status_code == 403
        task = waiting(there, "BOTH-1")["task_id"]
        answer = {"verdict": "approve", "revision": 1, "decision_id": "the-same"}
        first = there.post(f"/tasks/{task}/decision", json=answer)
        with house.client("manager-1", 1) as here:
            again = here.post(f"/tasks/{task}/decision", json=answer)
            other = here.post(f"/tasks/{task}/decision", json=answer | {"verdict": "reject"})
        assert (first.status_code, again.status_code, other.status_code) == (200, 200, 409)
        assert first.json()["decision_id"] == again.json()["decision_id"]


def test_an_upload_at_one_gateway_is_seen_at_the_other(house: House) -> None:
    lines = ["reference,payee,amount,currency,account"]
    lines += [f"ROW-{number},Shop {number},20.00,GBP,operating" for number in range(10)]
    with house.client("requester-1", 1) as here, house.client("requester-1", 2) as there:
        files = {"file": ("rows.csv", "\n".join(lines).encode(), "text/csv")}
        batch = here.post("/batches?process=payment", files=files).json()["batch_id"]
        deadline = time.monotonic() + 30
        while (seen := there.get(f"/batches/{batch}").json())["status"] != "completed":
            assert time.monotonic() < deadline, seen
            time.sleep(0.1)
        assert seen["rows"]["started"] == 10


@pytest.mark.soak
def test_killing_a_worker_and_a_gateway_loses_and_doubles_nothing(
    house: House, worker: subprocess.Popen[bytes]
) -> None:
    approved = CASES // 2
    requesters = [house.client("requester-1", gateway) for gateway in (1, 2)]
    managers = [house.client("manager-1", gateway) for gateway in (1, 2)]

    def start(number: int) -> httpx2.Response:
        body = payment(f"KILLED-{number:02}", f"{600 + number}.00")
        key = {"Idempotency-Key": f"start-{number}"}
        return patiently(lambda: requesters[number % 2].post("/cases", json=body, headers=key))

    def decide(number: int) -> httpx2.Response:
        manager = managers[number % 2]
        task = waiting(manager, f"KILLED-{number:02}")["task_id"]
        verdict = "approve" if number < approved else "reject"
        answer = {"verdict": verdict, "revision": 1, "decision_id": "once"}
        return patiently(lambda: manager.post(f"/tasks/{task}/decision", json=answer))

    # Others are under way, at both gateways, whenever one is killed.
    with ThreadPoolExecutor(4) as pool:
        for number, started in enumerate(pool.map(start, range(CASES))):
            assert started.status_code == 201, started.text
            if number == 4:
                worker.kill()
            if number == 8:
                house.product.kill("gateway")
            if number == 12:
                house.product.kill("worker")
        for number, decided in enumerate(pool.map(decide, range(CASES))):
            assert decided.status_code in (200, 202), decided.text
            if number == 8:
                house.product.kill("gateway")
    worker.wait(10)
    for client in (*requesters, *managers):
        client.close()
    answering(f"http://127.0.0.1:{house.product.environment['HOLDGATE_PORT']}")
    with house.client("auditor-1", 1) as auditor:
        deadline = time.monotonic() + 60
        while [case for case in auditor.get("/cases?q=killed&limit=100").json()["items"] if case["closed_at"] is None]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        cases = auditor.get("/cases?q=killed&limit=100").json()["items"]
        assert sorted(case["status"] for case in cases) == ["completed"] * approved + ["rejected"] * approved
        for case in cases:
            entries = auditor.get(f"/ledger/entries?reference={case['reference']}").json()["items"]
            wanted = ["hold", "capture" if case["status"] == "completed" else "release"]
            assert [entry["kind"] for entry in entries] == wanted
        money = auditor.get("/ledger/accounts/operating?currency=GBP").json()
        paid = sum(600 + number for number in range(approved)) + 900 + 10 * 20
        assert Decimal(money["balance"]) == 100_000_000 - paid and Decimal(money["held"]) == 0


async def test_the_ledger_and_the_audit_log_are_right_afterwards(house: House) -> None:
    database = Database(house.url)
    assert await Ledger(database).check() == []
    assert (await verify(database)).problems == []
    await database.close()
