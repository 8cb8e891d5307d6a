"""Measure files of payments that all wait for a manager, and compare them with a loop that starts bare Workflows.

The loop has less work, because it stores no rows in SQL. The loop starts as many Workflows at the same time as an
import does. Both times end at the same state: all cases wait at their gates.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import psutil
from temporalio.client import Client
from temporalio.common import Priority, SearchAttributePair, TypedSearchAttributes
from temporalio.contrib.pydantic import pydantic_data_converter

from cases.pinned_policies import PinnedPolicies
from cases.submit import Starter
from cases.workflow_starter import BATCH_PRIORITY, START_CONCURRENCY
from domain.case import CaseInput
from domain.names import BATCH_ATTRIBUTE, PROCESS_ATTRIBUTE, REQUESTER_ATTRIBUTE, STATUS_ATTRIBUTE, TASK_QUEUE
from domain.status import Status
from policy.file import PolicyFile
from store.cases import cases, policies
from store.db.database import Database
from tests.support.installed_app import ROOT, Product
from workflows.registry import INPUTS, PROCESSES

Figures = dict[str, Any]
HEAD = "reference,payee,amount,currency,account\n"
MB = 1024 * 1024


class Payments:
    """A running Holdgate, with functions that submit payments and measure them."""

    def __init__(self, product: Product, temporal: Client) -> None:
        self.product, self.temporal = product, temporal
        self.database = Database(product.up["database_url"])
        self.requester = httpx2.AsyncClient(
            base_url=f"{product.up['gateway_url']}/api/v1",
            headers={"Authorization": f"Bearer {product.token('requester-1')}"},
            timeout=600,
        )

    async def upload(self, rows: int, mark: str) -> tuple[str, float]:
        """Upload a file with this number of payments.

        Return the id of its batch, and the seconds until the answer 202.
        """
        body = HEAD + "".join(f"{mark}-{n},Payee {mark} {n},1250.00,GBP,operating\n" for n in range(rows))
        began = time.perf_counter()
        answer = await self.requester.post("/batches?process=payment", files={"file": ("bench.csv", body, "text/csv")})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["batch_id"]), time.perf_counter() - began

    async def waiting(self, batch_id: str, rows: int) -> None:
        """Wait until all cases of a batch wait for approval."""
        while True:
            async with self.database.read() as conn:
                counts = await cases.counts_by_status(conn, batch_id)
            if counts.get("awaiting_approval", 0) >= rows:
                return
            assert sum(counts.get(ended, 0) for ended in ("failed", "cancelled", "completed")) == 0, counts
            await asyncio.sleep(0.2)

    async def single(self, mark: str) -> float:
        """Submit a single case, and return the seconds until its task is open."""
        fields = {"payee": f"Payee {mark}", "amount": "1250.00", "currency": "GBP", "account": "operating"}
        began = time.perf_counter()
        body = {"process": "payment", "reference": mark, "input": fields}
        case_id = (await self.requester.post("/cases", json=body)).json()["case_id"]
        while True:
            case = (await self.requester.get(f"/cases/{case_id}")).json()
            if case.get("status") == "awaiting_approval":
                return time.perf_counter() - began
            await asyncio.sleep(0.05)

    def memory(self) -> dict[str, float]:
        """Return the megabytes of memory that the gateway and the worker use."""
        pids = self.product.up["pids"]
        return {name: psutil.Process(pids[name]).memory_info().rss / MB for name in ("gateway", "worker")}

    async def bare(self, rows: int, mark: str) -> float:
        """Start bare Workflows in a loop, and return the seconds until all of them wait at their gates."""
        policy = PolicyFile(ROOT / "config" / "policy.toml", INPUTS)
        starter = Starter(self.database, self.temporal, policy)
        process = PROCESSES["payment"]
        batch_id = f"bare-{mark}"
        fields = {"amount": "1250.00", "currency": "GBP", "account": "operating"}
        async with self.database.write() as conn:
            await policies.keep(conn, policy.current.hash, policy.current.text)
        inputs = {name: each.input for name, each in PROCESSES.items()}
        terms = await PinnedPolicies(self.database, inputs).terms(policy.current.hash, "payment")
        made: list[CaseInput[Any]] = []
        for first in range(0, rows, 500):
            chunk = []
            for number in range(first, min(first + 500, rows)):
                parsed = process.input.model_validate({**fields, "payee": f"Payee {mark} {number}"})
                new, event = starter.prepare(
                    process,
                    f"{mark}-{number}",
                    parsed,
                    by="requester-1",
                    policy_hash=policy.current.hash,
                    priority=BATCH_PRIORITY,
                    batch_id=batch_id,
                )
                chunk.append((new, event))
                known = new.model_dump(include=set(CaseInput.model_fields) - {"input"})
                made.append(CaseInput(**known, **terms._asdict(), input=parsed))
            async with self.database.write() as conn:
                await cases.insert_many(conn, chunk)
                await cases.mark_running(conn, [new.case_id for new, _ in chunk], Status.RUNNING)
        began = time.perf_counter()
        queue = iter(made)

        async def loop() -> None:
            for case in queue:
                await self.temporal.start_workflow(
                    "payment",
                    case,
                    id=case.case_id,
                    task_queue=TASK_QUEUE,
                    search_attributes=TypedSearchAttributes(
                        [
                            SearchAttributePair(PROCESS_ATTRIBUTE, "payment"),
                            SearchAttributePair(STATUS_ATTRIBUTE, "running"),
                            SearchAttributePair(REQUESTER_ATTRIBUTE, "requester-1"),
                            SearchAttributePair(BATCH_ATTRIBUTE, batch_id),
                        ]
                    ),
                    priority=Priority(priority_key=BATCH_PRIORITY),
                )

        await asyncio.gather(*(loop() for _ in range(START_CONCURRENCY)))
        await self.waiting(batch_id, rows)
        return time.perf_counter() - began


async def batches(folder: Path, *, rows: int, singles: int) -> Figures:
    """Measure a file with this number of rows, with `singles` cases submitted beside it. Return the figures."""
    async with _product(folder) as payments:
        await payments.waiting((await payments.upload(50, "warm"))[0], 50)
        before = payments.memory()
        most = dict(before)

        async def watch() -> None:
            while True:
                for name, now in payments.memory().items():
                    most[name] = max(most[name], now)
                await asyncio.sleep(0.5)

        watching = asyncio.create_task(watch())
        began = time.perf_counter()
        batch_id, accepted = await payments.upload(rows, "A")
        await payments.waiting(batch_id, rows)
        ours = time.perf_counter() - began
        watching.cancel()
        bare = await payments.bare(rows, "B")
        batch_id, _ = await payments.upload(rows, "C")
        opened = []
        for number in range(singles):
            opened.append(await payments.single(f"S-{number}-{uuid4().hex[:6]}"))
            async with payments.database.read() as conn:
                moving = await cases.count_running(conn, batch_id)
            assert moving or number == 0, "the batch was imported before all single cases were started: too few rows"
            await asyncio.sleep(0.5)
        await payments.waiting(batch_id, rows)
    return {
        "rows": rows,
        "accepted_s": round(accepted, 2),
        "all_waiting_s": round(ours, 1),
        "bare_s": round(bare, 1),
        "ratio": round(ours / bare, 2),
        "single_median_s": round(statistics.median(opened), 2),
        "single_p95_s": round(sorted(opened)[int(len(opened) * 0.95) - (len(opened) > 1)], 2),
        "memory_growth_mb": {name: round(most[name] - before[name]) for name in most},
    }


@asynccontextmanager
async def _product(folder: Path) -> AsyncIterator[Payments]:
    with Product(folder, HOLDGATE_CHANNELS="console") as product:
        temporal = await Client.connect(product.up["temporal_address"], data_converter=pydantic_data_converter)
        payments = Payments(product, temporal)
        try:
            yield payments
        finally:
            await payments.requester.aclose()
            await payments.database.close()
