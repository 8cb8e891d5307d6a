"""A file is imported while its processes are killed: every row becomes one case or one recorded reason."""

import asyncio
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx2
import pytest
from temporalio.client import Client

from store.cases import batch_cases
from store.db.database import Database
from store.receivers.ledger import Ledger
from tests.support.installed_app import Product

HEAD = "reference,payee,amount,currency,account\n"
IN_TURN = ("worker", "gateway", "worker", "temporal")
"""What is killed, again and again."""


def line(number: int) -> str:
    """Nine of ten rows are good; a third of all waits for a manager, the others are paid by rule."""
    if number % 10 == 9:
        return f"K-{number},Payee {number},{'abc' if number % 20 == 9 else '12.50'},GBP,{'' if number % 20 else 'x'}\n"
    return f"K-{number},Payee {number},{'1250.00' if number % 3 == 0 else '12.50'},GBP,operating\n"


def shared(request: pytest.FixtureRequest) -> nullcontext[Product]:
    return nullcontext(request.getfixturevalue("product"))


async def patiently(client: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    """What the gateway answers as soon as it does."""
    while True:
        try:
            answer = await client.get(path)
            if answer.status_code == 200:
                found: dict[str, Any] = answer.json()
                return found
        except httpx2.TransportError:
            pass
        await asyncio.sleep(0.2)


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("count", "kills"), [(60, 2), pytest.param(5_000, 12, marks=pytest.mark.soak)], ids=["60", "5000"]
)
async def test_every_row_is_one_case_or_one_reason_though_processes_are_killed(
    tmp_path: Path, request: pytest.FixtureRequest, count: int, kills: int
) -> None:
    body = HEAD + "".join(line(number) for number in range(count))
    many = count > 60  # for which the rows that all tests are given a second are too few
    context = Product(tmp_path, HOLDGATE_BATCH_RATE=str(count / 15)) if many else shared(request)
    with context as product:
        url, headers = product.up["gateway_url"], {"Authorization": f"Bearer {product.token('requester-1')}"}
        async with httpx2.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=60) as client:
            taken = await client.post("/batches?process=payment", files={"file": ("kills.csv", body, "text/csv")})
            assert taken.status_code == 202, taken.text
            batch = f"/batches/{taken.json()['batch_id']}"
            valid = taken.json()["rows"]["valid"]
            for number in range(kills):
                # As spread over the rows as the kills are, so that none comes when all is done. Counted in SQL: to ask
                # the gateway would be to wait until it is back, however long that takes.
                goal = valid * number // (kills + 1)
                while (started := await stored(product, taken.json()["batch_id"])).total() < goal:
                    await asyncio.sleep(0.1)
                assert started.total() < valid, "killed too late"
                product.kill(IN_TURN[number % len(IN_TURN)])
                await asyncio.sleep(2)
            done = await patiently(client, batch)
            deadline = time.monotonic() + 60 + count / 5
            while done["status"] != "completed" or set(done["cases"]) - {"completed", "awaiting_approval"}:
                assert time.monotonic() < deadline, done
                await asyncio.sleep(0.5)
                done = await patiently(client, batch)
            await every_row_once(product, done, count)


async def stored(product: Product, batch_id: str) -> Counter[str]:
    """How many cases of a batch are in SQL, by status."""
    database = Database(product.up["database_url"])
    async with database.read() as conn:
        found = await batch_cases.counts_by_status(conn, batch_id)
    await database.close()
    return Counter(found)


async def every_row_once(product: Product, done: dict[str, Any], count: int) -> None:
    """Count at the receivers: rows and cases in SQL, Workflows in Temporal, money in the ledger."""
    rows = done["rows"]
    assert rows["total"] == rows["valid"] + rows["invalid"] == count
    assert rows["started"] == rows["valid"] and rows["failed"] == rows["duplicate"] == 0
    by_status = await stored(product, done["batch_id"])
    database = Database(product.up["database_url"])
    effects: dict[str, list[str]] = {}
    for entry in await Ledger(database).entries(limit=100_000):
        if entry.reference.startswith("K-"):
            effects.setdefault(entry.reference, []).append(entry.kind)
    await database.close()
    assert by_status.total() == rows["started"]
    temporal = await Client.connect(product.up["temporal_address"])
    query = f"HoldgateBatch = '{done['batch_id']}' AND WorkflowType = 'payment'"
    assert (await temporal.count_workflows(query)).count == rows["started"]
    kinds = Counter(tuple(sorted(found)) for found in effects.values())
    assert kinds == {("capture", "hold"): by_status["completed"], ("hold",): by_status["awaiting_approval"]}
